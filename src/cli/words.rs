//! How answers read: tables, spans of time, and text that cannot steer a terminal.

use jiff::Timestamp;

/// Without control characters: a container's log or a reason could hold escape sequences that
/// rewrite what the organizer's terminal shows.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// Columns under their heads, as wide as they have to be; the last one is not padded.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = std::iter::once(heads.map(str::to_uppercase))
        .chain(rows.iter().map(|row| row.clone().map(|cell| clean(&cell))))
        .collect();
    let widths: Vec<usize> = (0..N)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// `5s`, `12m 5s`, `4h 12m`, `3d 4h`.
pub(super) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// How long ago, or `-` for never.
pub(super) fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(
        || "-".to_owned(),
        |at| span(u64::try_from(now.duration_since(at).as_secs()).unwrap_or_default()),
    )
}

/// `1,234,567`.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12ms`, `3.4s`, `2m 5s`, or `-` for what is not known.
pub(super) fn millis(ms: Option<u64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms @ 0..1_000) => format!("{ms}ms"),
        Some(ms @ 1_000..60_000) => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        Some(ms) => span(ms / 1_000),
    }
}

/// A path with what is said in its query; names may hold anything.
pub(super) fn query(path: &str, said: &[(&str, Option<String>)]) -> String {
    let mut target = path.to_owned();
    let mut mark = '?';
    for (name, value) in said {
        if let Some(value) = value {
            target.push(mark);
            target.extend([name, "=", &escaped(value)]);
            mark = '&';
        }
    }
    target
}

fn escaped(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let bytes = text.bytes();
    bytes
        .map(|byte| {
            if is_plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// `1 editor`, `2 editors`.
pub(super) fn count(n: usize, one: &str) -> String {
    if n == 1 {
        format!("{n} {one}")
    } else {
        format!("{n} {one}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let rows = [
            ["red/alice".to_owned(), "ready".to_owned(), String::new()],
            ["b/c".to_owned(), "failed".to_owned(), "é ü".to_owned()],
        ];
        assert_eq!(
            table(["who", "state", "reason"], &rows),
            "WHO        STATE   REASON\n\
             red/alice  ready\n\
             b/c        failed  é ü\n"
        );
    }

    #[test]
    fn text_from_a_container_cannot_steer_the_terminal() {
        assert_eq!(
            clean("a\x1b[2Jb\r\u{9b}c\td"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\td"
        );
    }

    #[test]
    fn numbers_are_written_as_people_read_them() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(grouped(n), text);
        }
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (3_450, "3.4s"),
            (125_000, "2m 5s"),
        ] {
            assert_eq!(millis(Some(ms)), text);
        }
        assert_eq!(millis(None), "-");
    }

    #[test]
    fn whatever_is_said_in_a_query_ends_nothing_early() {
        let said = [("model", Some("a&b=c d/é".to_owned())), ("user", None)];
        assert_eq!(query("/x", &said), "/x?model=a%26b%3Dc%20d/%C3%A9");
        assert_eq!(query("/x", &[("a", None)]), "/x");
    }

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (65, "1m 5s"),
            (3 * 3600 + 720, "3h 12m"),
            (90_000, "1d 1h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
