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
    let inside = quoted.get(1..quoted.len().saturating_sub(1));
    let inside = inside.unwrap_or_default();
    let mut length = inside.len() as u64;
    let mut from = 0;
    for backslash in memchr::memchr_iter(b'\\', inside) {
        // The second of two is no beginning.
        if backslash < from {
            continue;
        }
        let unit = inside.get(backslash + 2..backslash + 6).and_then(unit);
        let (written, read) = match (inside.get(backslash + 1), unit) {
            (Some(b'u'), Some(unit)) => (6, utf8(unit)),
            _ => (2, 1),
        };
        from = backslash + written;
        length = length.saturating_sub(written as u64 - read);
    }
    length
}

pub(in crate::llm) fn quoted(text: &str) -> String {
    // Texts are always written.
    serde_json::to_string(text).unwrap_or_default()
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
