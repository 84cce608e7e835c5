//! JSON as it came: where its parts are, so that a few can be changed and all others stay byte for byte.
//!
//! [`check`] is strict and is asked first of what clients send. The others find their way over values
//! without recursion and give up on what is no JSON; they read what has been checked, or what the model's
//! server wrote.

mod strict;
mod text;

use std::ops::Range;

pub(super) use strict::{Fault, check};
pub(super) use text::{decoded, length, quoted};

/// The largest number that every parser reads exactly.
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// One member of an object: `key` and `value` with their quotes, `span` from the one to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) span: Range<usize>,
}

impl Member<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        names(self.key, name)
    }

    pub(super) fn value_at(&self) -> usize {
        self.span.end.saturating_sub(self.value.len())
    }
}

/// Whether a quoted key says this name, also when it is written with escapes: whoever reads it after us
/// decodes them.
pub(super) fn names(key: &[u8], name: &str) -> bool {
    let inside = key.len().saturating_sub(1);
    key.get(1..inside) == Some(name.as_bytes()) || (is_escaped(key) && decodes_to(key, name))
}

fn is_escaped(key: &[u8]) -> bool {
    key.contains(&b'\\')
}

#[cold]
fn decodes_to(key: &[u8], name: &str) -> bool {
    decoded(key).is_some_and(|key| key == name)
}

/// The same name twice in one object: two parsers take different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Twice(pub(super) &'static str);

/// What is being walked is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Members of an object in the order they are written; nothing else has any.
pub(super) struct Members<'a> {
    walk: Walk<'a>,
}

/// Elements of an array; nothing else has any.
pub(super) struct Elements<'a> {
    walk: Walk<'a>,
}

pub(super) fn members(value: &[u8]) -> Members<'_> {
    Members {
        walk: Walk::into(value, b'{', b'}'),
    }
}

pub(super) fn elements(value: &[u8]) -> Elements<'_> {
    Elements {
        walk: Walk::into(value, b'[', b']'),
    }
}

impl<'a> Members<'a> {
    /// Where the closing brace is, once all members were walked.
    pub(super) fn end(&self) -> usize {
        self.walk.at
    }

    fn step(&mut self) -> Option<Member<'a>> {
        let bytes = self.walk.bytes;
        let start = self.walk.at;
        let key_end = string_end(bytes, start)?;
        let colon = after_space(bytes, key_end);
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let value_at = after_space(bytes, colon + 1);
        let end = value_end(bytes, value_at)?;
        self.walk.at = end;
        Some(Member {
            key: bytes.get(start..key_end)?,
            value: bytes.get(value_at..end)?,
            span: start..end,
        })
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.walk.arrives()? {
            return Some(Err(Malformed));
        }
        let member = self.step();
        Some(member.ok_or_else(|| self.walk.give_up()))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8], Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.walk.arrives()? {
            return Some(Err(Malformed));
        }
        let start = self.walk.at;
        let bytes = self.walk.bytes;
        let element = value_end(bytes, start).and_then(|end| {
            self.walk.at = end;
            bytes.get(start..end)
        });
        Some(element.ok_or_else(|| self.walk.give_up()))
    }
}

/// Where one is in an object or array, between two of its parts.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    close: u8,
    is_first: bool,
    is_over: bool,
}

impl<'a> Walk<'a> {
    fn into(bytes: &'a [u8], open: u8, close: u8) -> Self {
        let at = after_space(bytes, 0);
        Self {
            bytes,
            at: at + 1,
            close,
            is_first: true,
            is_over: bytes.get(at) != Some(&open),
        }
    }

    /// Moves to the next part; `None` at the end, `false` where neither is.
    fn arrives(&mut self) -> Option<bool> {
        if self.is_over {
            return None;
        }
        self.at = after_space(self.bytes, self.at);
        let here = self.bytes.get(self.at);
        if here == Some(&self.close) {
            self.is_over = true;
            return None;
        }
        if !std::mem::take(&mut self.is_first) {
            if here != Some(&b',') {
                self.give_up();
                return Some(false);
            }
            self.at = after_space(self.bytes, self.at + 1);
        }
        Some(true)
    }

    fn give_up(&mut self) -> Malformed {
        self.is_over = true;
        Malformed
    }
}

/// The members of these names; an error if one is there twice.
pub(super) fn pick<'a, const N: usize>(
    object: &'a [u8],
    names: [&'static str; N],
) -> Result<[Option<&'a [u8]>; N], Twice> {
    let mut found = [None; N];
    for member in members(object).map_while(Result::ok) {
        for (place, name) in found.iter_mut().zip(names) {
            if member.is(name) && place.replace(member.value).is_some() {
                return Err(Twice(name));
            }
        }
    }
    Ok(found)
}

pub(super) fn is_object(value: &[u8]) -> bool {
    value.first() == Some(&b'{')
}

pub(super) fn is_array(value: &[u8]) -> bool {
    value.first() == Some(&b'[')
}

pub(super) fn is_string(value: &[u8]) -> bool {
    value.first() == Some(&b'"')
}

pub(super) fn is_null(value: &[u8]) -> bool {
    value == b"null"
}

/// A whole number from 0 on, written with digits only.
pub(super) fn whole(value: &[u8]) -> Option<u64> {
    let is_plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_plain)?;
    text.parse().ok().filter(|number| *number <= WHOLE_MAX)
}

fn after_space(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let space = rest
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
    from + space.count()
}

/// Behind the closing quote of the string that begins at `from`: the first quote with an even number of
/// backslashes before it. Texts are full of `\n`, so quotes are looked for and not backslashes.
fn string_end(bytes: &[u8], from: usize) -> Option<usize> {
    if bytes.get(from) != Some(&b'"') {
        return None;
    }
    let start = from + 1;
    let mut at = start;
    loop {
        let quote = at + memchr::memchr(b'"', bytes.get(at..)?)?;
        let before = bytes.get(start..quote)?.iter().rev();
        if before.take_while(|b| **b == b'\\').count() % 2 == 0 {
            return Some(quote + 1);
        }
        at = quote + 1;
    }
}

/// Behind the value that begins at `from`.
fn value_end(bytes: &[u8], from: usize) -> Option<usize> {
    match bytes.get(from)? {
        b'"' => string_end(bytes, from),
        b'{' | b'[' => nest_end(bytes, from),
        _ => {
            let rest = bytes.get(from..)?;
            let is_end = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
            let length = rest.iter().position(is_end).unwrap_or(rest.len());
            (length > 0).then_some(from + length)
        }
    }
}

/// Behind the bracket that closes the one at `from`; a count is enough of what is well formed.
fn nest_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = from;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests;
