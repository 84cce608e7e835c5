//! What there is to say about a setting: where it was written, and what is wrong with it.

use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

/// More of a value than this helps nobody to find it.
const SHOWN_CHARS_MAX: usize = 60;

/// The longest path of a key that is known, and then some.
const KEY_CHARS_MAX: usize = 160;

/// Where a value comes from. Files come before variables when notes are sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    File {
        path: Arc<str>,
        /// The first line is 1; 0 stands for the file as a whole.
        line: usize,
    },
    Variable(String),
    /// Nobody wrote it.
    Default,
}

/// One thing to say, as an error or as a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub place: Place,
    /// Dotted path of the key as written, for example `proxy.https_listen`; empty for all of it.
    pub key: String,
    /// What is wrong and what is accepted.
    pub message: String,
}

/// Everything wrong with the configuration, at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Note>);

impl Note {
    pub(super) fn new(place: &Place, key: &str, message: impl Into<String>) -> Self {
        Self {
            place: place.clone(),
            key: plain(&shortened(key, KEY_CHARS_MAX)),
            message: message.into(),
        }
    }
}

impl Problems {
    pub(super) fn one(place: &Place, message: impl Into<String>) -> Self {
        Self(vec![Note::new(place, "", message)])
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => f.write_str(&plain(path)),
            Self::File { path, line } => write!(f, "{}:{line}", plain(path)),
            Self::Variable(name) => f.write_str(name),
            Self::Default => Ok(()),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.to_string();
        let parts = [place.as_str(), &self.key, &self.message];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        f.write_str(&parts.join(": "))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Note::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// `{"file", "line", "variable", "key", "message"}`; what does not apply is `null`.
impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (file, line, variable) = match &self.place {
            Place::File { path, line } => (Some(path.as_ref()), Some(*line), None),
            Place::Variable(name) => (None, None, Some(name)),
            Place::Default => (None, None, None),
        };
        let mut note = serializer.serialize_struct("Note", 5)?;
        note.serialize_field("file", &file)?;
        note.serialize_field("line", &line.filter(|line| *line > 0))?;
        note.serialize_field("variable", &variable)?;
        note.serialize_field("key", &self.key)?;
        note.serialize_field("message", &self.message)?;
        note.end()
    }
}

/// A value in backquotes, short, with nothing that could steer a terminal or begin a line.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", plain(&shortened(text, SHOWN_CHARS_MAX)))
}

fn shortened(text: &str, chars_max: usize) -> String {
    let short: String = text.chars().take(chars_max).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    short + dots
}

fn plain(text: &str) -> String {
    let steers =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_short_and_harmless() {
        assert_eq!(quoted("a\u{1b}[2Jb\nc"), "`a\\u{1b}[2Jb\\u{a}c`");
        assert_eq!(quoted(&"x".repeat(61)), format!("`{}…`", "x".repeat(60)));
    }

    #[test]
    fn a_note_says_where_what_and_why() {
        let file = Place::File {
            path: "/etc/thon/thon.yaml".into(),
            line: 3,
        };
        let note = Note::new(&file, "demo", "no");
        assert_eq!(note.to_string(), "/etc/thon/thon.yaml:3: demo: no");
        let note = Note::new(&Place::Variable("THON_DOMAIN".into()), "proxy.domain", "no");
        assert_eq!(note.to_string(), "THON_DOMAIN: proxy.domain: no");
    }
}
