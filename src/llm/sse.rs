//! Server-sent events: finds where each ends, over any cut of the stream, and copies nothing that came
//! whole.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// A block that does not end within its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Cuts a stream into blocks: an event with the empty line behind it, or a comment, which does not wait
/// for one. LF, CRLF and CR end lines.
#[derive(Debug)]
pub(super) struct Scanner {
    /// What came in one piece and is being cut.
    whole: Bytes,
    /// The beginning of a block whose end has not come.
    part: BytesMut,
    cursor: Cursor,
    block_max: usize,
}

/// Where the search for the end of the block has come to: no byte is looked at twice.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    line: usize,
    at: usize,
}

impl Scanner {
    pub(super) fn new(block_max: usize) -> Self {
        Self {
            whole: Bytes::new(),
            part: BytesMut::new(),
            cursor: Cursor::default(),
            block_max,
        }
    }

    /// More of the stream. All blocks are taken out before there is more.
    pub(super) fn feed(&mut self, chunk: &Bytes) {
        if self.part.is_empty() {
            self.whole = chunk.clone();
        } else {
            self.part.extend_from_slice(chunk);
        }
    }

    /// The next block that is complete.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, TooLong> {
        let block = if self.part.is_empty() {
            let end = self.cursor.end_of_block(&self.whole);
            if end.is_none() {
                self.part.extend_from_slice(&self.whole);
                self.whole = Bytes::new();
            }
            end.map(|end| self.whole.split_to(end))
        } else {
            let end = self.cursor.end_of_block(&self.part);
            end.map(|end| self.part.split_to(end).freeze())
        };
        let length = block.as_ref().map_or(self.part.len(), Bytes::len);
        if length > self.block_max {
            return Err(TooLong);
        }
        if block.is_some() {
            self.cursor = Cursor::default();
        }
        Ok(block)
    }

    /// The stream ended: what is left, as if its end were that of a block.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        let mut rest = std::mem::take(&mut self.part);
        self.cursor = Cursor::default();
        if rest.is_empty() {
            return None;
        }
        let missing = match rest.last() {
            Some(b'\n') => 1,
            _ => 2,
        };
        for _ in 0..missing {
            rest.extend_from_slice(b"\n");
        }
        Some(rest.freeze())
    }

    pub(super) fn holds_part(&self) -> bool {
        !self.part.is_empty()
    }
}

impl Cursor {
    /// Behind the next block in `bytes`, which begin with it.
    fn end_of_block(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let Some(found) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.at = bytes.len();
                return None;
            };
            let end = self.at + found;
            self.at = end;
            let next = match (bytes.get(end), bytes.get(end + 1)) {
                (Some(b'\r'), Some(b'\n')) => end + 2,
                // It may be the half of a line's end.
                (Some(b'\r'), None) => return None,
                _ => end + 1,
            };
            let is_empty = end == self.line;
            let is_comment = self.line == 0 && bytes.first() == Some(&b':');
            (self.line, self.at) = (next, next);
            if is_empty || is_comment {
                return Some(next);
            }
        }
    }
}

/// What a block's `data:` lines say.
pub(super) struct Data<'a> {
    /// Joined by line feeds, without space around it.
    pub(super) text: Cow<'a, [u8]>,
    /// Where it is in the block, if it is in one piece.
    at: Option<usize>,
}

impl Data<'_> {
    /// llama.cpp begins a stream of several prompts with `null`.
    pub(super) fn says_nothing(&self) -> bool {
        self.text.is_empty() || *self.text == *b"null"
    }
}

/// `None` for a comment, and for an event without data.
pub(super) fn data(block: &[u8]) -> Option<Data<'_>> {
    let mut data: Option<Data<'_>> = None;
    for (at, line) in lines(block) {
        let Some(value) = field(line, b"data") else {
            continue;
        };
        if let Some(data) = &mut data {
            let text = data.text.to_mut();
            text.push(b'\n');
            text.extend_from_slice(value);
            data.at = None;
        } else {
            let text = value.trim_ascii_start();
            let at = at + line.len() - text.len();
            data = Some(Data {
                text: Cow::Borrowed(text.trim_ascii_end()),
                at: Some(at),
            });
        }
    }
    data
}

/// The block with these bytes of its data replaced.
pub(super) fn replace(
    block: &[u8],
    data: &Data<'_>,
    range: Range<usize>,
    with: &[u8],
    out: &mut BytesMut,
) {
    if let Some(at) = data.at {
        for part in [
            block.get(..at + range.start).unwrap_or_default(),
            with,
            block.get(at + range.end..).unwrap_or_default(),
        ] {
            out.extend_from_slice(part);
        }
        return;
    }
    let head = data.text.get(..range.start).unwrap_or_default();
    let tail = data.text.get(range.end..).unwrap_or_default();
    rewrite(block, &[head, with, tail].concat(), out);
}

/// The block with other data, on one line: line feeds in JSON are space between its parts.
fn rewrite(block: &[u8], data: &[u8], out: &mut BytesMut) {
    for (_, line) in lines(block) {
        if !line.is_empty() && field(line, b"data").is_none() {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\n");
        }
    }
    out.extend_from_slice(b"data: ");
    out.extend(data.iter().map(|b| match b {
        b'\n' | b'\r' => b' ',
        other => *other,
    }));
    out.extend_from_slice(b"\n\n");
}

/// One event, made by us.
pub(super) fn event(out: &mut BytesMut, name: Option<&str>, data: &[u8]) {
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

/// Each with its place. A byte order mark belongs to no line.
fn lines(block: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = if block.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    std::iter::from_fn(move || {
        let rest = block.get(at..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = (at, rest.get(..length)?);
        let end = rest.get(length..)?;
        at += length + if end.starts_with(b"\r\n") { 2 } else { 1 };
        Some(line)
    })
}

/// The value of a line of this name, without the one space that belongs to the colon.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest.strip_prefix(b":") {
        Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        None => rest.is_empty().then_some(rest),
    }
}

#[cfg(test)]
mod tests;
