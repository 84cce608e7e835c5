//! Strings of JSON: what they say, how long that is, and how one is written.

use std::borrow::Cow;

/// What a quoted string says; nothing else says anything.
pub(in crate::llm) fn decoded(quoted: &[u8]) -> Option<Cow<'_, str>> {
    let inside = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inside).is_none() {
        return std::str::from_utf8(inside).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<String>(quoted)
        .ok()
        .map(Cow::Owned)
}

/// How many bytes of text a quoted string is, without making it: `\n` is one, `\u00e4` is two.
pub(in crate::llm) fn length(quoted: &[u8]) -> u64 {
    let mut rest = quoted
        .get(1..quoted.len().saturating_sub(1))
        .unwrap_or_default();
    let mut length = 0;
    while let Some(plain) = memchr::memchr(b'\\', rest) {
        let (written, read) = match rest.get(plain + 1) {
            Some(b'u') => (
                6,
                rest.get(plain + 2..plain + 6)
                    .and_then(unit)
                    .map_or(1, utf8),
            ),
            _ => (2, 1),
        };
        length += plain as u64 + read;
        rest = rest.get(plain + written..).unwrap_or_default();
    }
    length + rest.len() as u64
}

pub(in crate::llm) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Four hexadecimal digits.
pub(super) fn unit(digits: &[u8]) -> Option<u16> {
    let are_plain = digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| are_plain)?;
    u16::from_str_radix(text, 16).ok()
}

/// Bytes of one UTF-16 unit; half of a pair is half of four.
fn utf8(unit: u16) -> u64 {
    match unit {
        0..=0x7F => 1,
        0x80..=0x7FF | 0xD800..=0xDFFF => 2,
        _ => 3,
    }
}
