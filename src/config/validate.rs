//! File and environment to `Config`, reporting every problem at once.

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path of the key, for example `proxy.https_listen`.
    pub key: String,
    /// What is wrong and what is accepted.
    pub message: String,
}

/// Everything wrong with it, at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);
