//! Sentences that came from elsewhere, made fit for clients: short, without places on the host, and
//! without the words by which agents take a lasting error for one that passes.

/// Longer ones help nobody, and may be a whole prompt.
const CHARS_MAX: usize = 400;

/// Read as a status by agents, which then try again for ever, even in "at most 500 tokens".
const STATUSES: [(&str, &str); 6] = [
    ("429", "four hundred and twenty-nine"),
    ("500", "five hundred"),
    ("502", "five hundred and two"),
    ("503", "five hundred and three"),
    ("504", "five hundred and four"),
    ("524", "five hundred and twenty-four"),
];

/// The same, in words.
const PASSING: [(&str, &str); 7] = [
    ("rate limit", "allowance"),
    ("rate_limit", "allowance"),
    ("rate-limit", "allowance"),
    ("too many requests", "more than is allowed"),
    ("try again", "do so"),
    ("overloaded", "loaded"),
    ("unavailable", "not there"),
];

/// For an error that goes away by itself.
pub(super) fn passing(text: &str) -> String {
    let words = tidy(text).map(|word| place(&word).unwrap_or(word));
    joined(words)
}

/// For an error that comes again however often it is tried.
pub(super) fn permanent(text: &str) -> String {
    let mut plain = passing(text);
    for (found, instead) in PASSING {
        while let Some(at) = position(&plain, found) {
            plain.replace_range(at..at + found.len(), instead);
        }
    }
    joined(plain.split(' ').map(without_status))
}

/// Words, with nothing between them that moves a terminal's cursor.
fn tidy(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .take(CHARS_MAX)
        .map(|word| word.chars().take(CHARS_MAX).collect())
}

fn joined(words: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&word);
    }
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => {
            text.truncate(at);
            text.push('…');
            text
        }
        None => text,
    }
}

/// What is said instead of a word that holds a path or an address of the host.
fn place(word: &str) -> Option<String> {
    let begins_inside = |c: char| !c.is_alphanumeric() && !matches!(c, '/' | '.' | '~' | '\\');
    let bare = word.trim_matches(begins_inside);
    let is_address = word.contains("://");
    let is_path = word.match_indices(['/', '\\']).any(|(at, slash)| {
        let before = word.get(..at).unwrap_or_default();
        let after = word.get(at + slash.len()..).unwrap_or_default();
        let starts = !before.ends_with(|c: char| c.is_alphanumeric()) || before.ends_with(':');
        starts
            && after.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.')
            && !before.ends_with('<')
    }) || bare.starts_with("../");
    if is_address {
        Some("[address]".to_owned())
    } else if is_path {
        Some("[file]".to_owned())
    } else {
        None
    }
}

/// Without regard to case; both are of the same length in bytes, since only ASCII is lowered.
fn position(text: &str, found: &str) -> Option<usize> {
    text.to_ascii_lowercase().find(found)
}

fn without_status(word: &str) -> String {
    let mut plain = word.to_owned();
    for (status, instead) in STATUSES {
        let mut from = 0;
        while let Some(at) = plain.get(from..).and_then(|rest| rest.find(status)) {
            let at = from + at;
            let end = at + status.len();
            let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let before = plain.get(..at).and_then(|text| text.chars().next_back());
            let after = plain.get(end..).and_then(|text| text.chars().next());
            if is_part(before) || is_part(after) {
                from = end;
            } else {
                plain.replace_range(at..end, instead);
                from = at + instead.len();
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_place_on_the_host_is_told() {
        for (told, said) in [
            (
                "failed to load /var/lib/lemonade/x.gguf today",
                "failed to load [file] today",
            ),
            ("model '/models/tiny chat.gguf'", "model [file] chat.gguf'"),
            (
                "at http://127.0.0.1:8001/v1: refused",
                "at [address] refused",
            ),
            ("file:///etc/passwd", "[address]"),
            ("C:\\models\\x.gguf", "[file]"),
            ("path=/srv/x", "[file]"),
            ("../../etc/passwd is", "[file] is"),
            ("use and/or, 3/4, n/a", "use and/or, 3/4, n/a"),
            ("use GET /v1/models", "use GET [file]"),
        ] {
            assert_eq!(passing(told), said);
        }
    }

    #[test]
    fn nothing_in_a_lasting_error_looks_like_a_passing_one() {
        assert_eq!(
            permanent("request (500 tokens) exceeds 1500; Rate Limit, try again in 429s or 503."),
            "request (five hundred tokens) exceeds 1500; allowance, do so in 429s or five hundred and three."
        );
        assert_eq!(
            passing("Loading model (503), try again"),
            "Loading model (503), try again"
        );
    }

    #[test]
    fn a_sentence_is_one_line_and_short() {
        assert_eq!(passing("a\nb\u{1b}[2J\tc\u{7}"), "a b [2J c");
        assert_eq!(passing(&"x".repeat(9_000)).chars().count(), CHARS_MAX);
        assert_eq!(
            permanent(&"ä ".repeat(9_000)).chars().count(),
            CHARS_MAX + 1
        );
    }

    fn has_word(text: &str, word: &str) -> bool {
        text.split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|it| it == word)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn whatever_is_said_it_is_short_and_shows_no_status(
            text in "([ -~]|/a/b|429|500 |50|2|rate |limit|Try again|ä|\n|\u{202e}|:){0,60}"
        ) {
            let plain = permanent(&text);
            prop_assert!(plain.chars().count() <= CHARS_MAX + 1);
            for (status, _) in STATUSES {
                prop_assert!(!has_word(&plain, status), "{plain}");
            }
            for (words, _) in PASSING {
                prop_assert!(!plain.to_ascii_lowercase().contains(words), "{plain}");
            }
        }
    }
}
