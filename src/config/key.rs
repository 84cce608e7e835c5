//! What is known of a key: the one description that everything else is read off.

use crate::config::kind::Kind;

/// A key of the settings file. Unknown keys, defaults, variables, `config show`, `config env`, the
/// reference file and the tables of the reference page all come from these.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Dotted; `[]` stands for each entry of a list.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// As somebody would write it, YAML for lists; empty for none.
    pub(super) default: &'static str,
    /// The default in words, where it depends on the host or on another key.
    pub(super) computed: Option<&'static str>,
    /// What it is for: a phrase without a full stop at the end.
    pub(super) meaning: &'static str,
    /// The environment variable that wins over the file.
    pub(super) variable: Option<&'static str>,
    pub(super) status: Status,
    /// Never shown; may be read from a file that `{path}_file` or `{variable}_FILE` names.
    pub(super) secret: bool,
    /// An entry of a list means nothing without it.
    pub(super) required: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    InForce,
    /// Accepted and checked; nothing uses it in this version.
    Later,
    /// Accepted because the original had it, and said to be of no use; `meaning` says what replaces it.
    Gone,
}

impl Key {
    pub(super) const fn new(
        path: &'static str,
        kind: Kind,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            path,
            kind,
            default,
            computed: None,
            meaning,
            variable: None,
            status: Status::InForce,
            secret: false,
            required: false,
        }
    }

    /// A key that lost its meaning, with the default that the original wrote by itself.
    pub(super) const fn gone(
        path: &'static str,
        default: &'static str,
        instead: &'static str,
    ) -> Self {
        let mut key = Self::new(path, Kind::Anything, default, instead);
        key.status = Status::Gone;
        key
    }

    /// A key that is gone and has a type all the same, because something is read off it.
    pub(super) const fn of(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub(super) const fn variable(mut self, name: &'static str) -> Self {
        self.variable = Some(name);
        self
    }

    pub(super) const fn computed(mut self, words: &'static str) -> Self {
        self.computed = Some(words);
        self
    }

    pub(super) const fn later(mut self) -> Self {
        self.status = Status::Later;
        self
    }

    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The part behind the last dot.
    pub(super) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The part before it; empty at the top.
    pub(super) fn section(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or("", |(section, _)| section)
    }

    /// The sections it stands in, from the outermost.
    pub(super) fn sections(&self) -> impl Iterator<Item = &'static str> {
        self.section().split('.').filter(|name| !name.is_empty())
    }

    /// Whether the secret may also be in a file of its own.
    pub(super) fn has_file(&self) -> bool {
        self.secret && self.status != Status::Gone
    }
}
