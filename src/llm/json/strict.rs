//! Is it JSON to the letter, and not too deep? Without recursion: no nesting exhausts a stack.

use crate::llm::json::text::unit;

/// Why it is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::llm) enum Fault {
    /// At this byte.
    Malformed(usize),
    TooDeep,
}

/// The grammar of RFC 8259, valid UTF-8, and escapes of whole characters only: what one parser repairs
/// and another refuses is refused here. `depth_max` is at most 64.
pub(in crate::llm) fn check(bytes: &[u8], depth_max: u32) -> Result<(), Fault> {
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(Fault::Malformed(error.valid_up_to()));
    }
    let mut checker = Checker {
        bytes,
        at: 0,
        objects: 0,
        depth: 0,
        depth_max: depth_max.min(64),
    };
    checker.document()
}

struct Checker<'a> {
    bytes: &'a [u8],
    at: usize,
    /// One bit a level, the innermost last: set for an object.
    objects: u64,
    depth: u32,
    depth_max: u32,
}

impl Checker<'_> {
    fn document(&mut self) -> Result<(), Fault> {
        loop {
            let has_opened = self.value()?;
            if has_opened {
                continue;
            }
            if self.rest()? {
                return Ok(());
            }
        }
    }

    /// One scalar, or the opening of something that is not empty: `true`.
    fn value(&mut self) -> Result<bool, Fault> {
        self.space();
        match self.peek() {
            Some(b'{') => self.open(b'}', 1),
            Some(b'[') => self.open(b']', 0),
            Some(b'"') => self.string().map(|()| false),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => self.number().map(|()| false),
        }
    }

    /// Closes what ends here, up to the next value; `true` at the end of all.
    fn rest(&mut self) -> Result<bool, Fault> {
        loop {
            self.space();
            if self.depth == 0 {
                return self
                    .wrong_unless(self.at == self.bytes.len())
                    .map(|()| true);
            }
            let is_object = self.objects & 1 == 1;
            match (self.peek(), is_object) {
                (Some(b','), _) => {
                    self.at += 1;
                    return if is_object { self.key() } else { Ok(()) }.map(|()| false);
                }
                (Some(b'}'), true) | (Some(b']'), false) => self.close(),
                _ => return Err(self.wrong()),
            }
        }
    }

    fn open(&mut self, close: u8, bit: u64) -> Result<bool, Fault> {
        if self.depth == self.depth_max {
            return Err(Fault::TooDeep);
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | bit;
        self.at += 1;
        self.space();
        if self.peek() == Some(close) {
            self.close();
            return Ok(false);
        }
        if bit == 1 {
            self.key()?;
        }
        Ok(true)
    }

    fn close(&mut self) {
        self.at += 1;
        self.depth -= 1;
        self.objects >>= 1;
    }

    fn key(&mut self) -> Result<(), Fault> {
        self.space();
        self.string()?;
        self.space();
        self.wrong_unless(self.peek() == Some(b':'))?;
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        let end = super::string_end(self.bytes, self.at).ok_or_else(|| self.wrong())?;
        let inside = self.bytes.get(self.at + 1..end - 1).unwrap_or_default();
        // Not `any`: without a way out of the loop it is done many bytes at a time.
        let least = inside.iter().fold(u8::MAX, |least, b| least.min(*b));
        self.wrong_unless(least >= 0x20)?;
        let mut from = 0;
        for backslash in memchr::memchr_iter(b'\\', inside) {
            // The second of two is no beginning.
            if backslash >= from {
                let rest = inside.get(backslash + 1..).unwrap_or_default();
                from = backslash + 1 + escape(rest).ok_or_else(|| self.wrong())?;
            }
        }
        self.at = end;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.wrong_unless(self.at > start)
    }

    fn literal(&mut self, word: &[u8]) -> Result<bool, Fault> {
        let end = self.at + word.len();
        self.wrong_unless(self.bytes.get(self.at..end) == Some(word))?;
        self.at = end;
        Ok(false)
    }

    fn space(&mut self) {
        self.at = super::after_space(self.bytes, self.at);
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn wrong(&self) -> Fault {
        Fault::Malformed(self.at)
    }

    fn wrong_unless(&self, holds: bool) -> Result<(), Fault> {
        if holds { Ok(()) } else { Err(self.wrong()) }
    }
}

/// The length of what follows a backslash. Half a surrogate pair is no character.
fn escape(rest: &[u8]) -> Option<usize> {
    match rest.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(1),
        b'u' => match unit(rest.get(1..5)?)? {
            0xD800..=0xDBFF => {
                let low = rest.get(5..)?.strip_prefix(b"\\u")?;
                let low = unit(low.get(..4)?)?;
                (0xDC00..=0xDFFF).contains(&low).then_some(11)
            }
            0xDC00..=0xDFFF => None,
            _ => Some(5),
        },
        _ => None,
    }
}
