//! A model's name in one spelling.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a name of Lemonade's may say that the model came from.
const ORIGINS: [&str; 3] = ["user.", "extra.", "builtin."];

/// What Lemonade takes off a name by itself.
const LATEST: &str = ":latest";

/// Longer ones are nobody's.
pub const MODEL_LEN_MAX: usize = 200;

/// `X`, `user.X`, `X:latest` are the same model, and its limits are the same: every decision about a
/// model is made with this name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ModelName(String);

impl ModelName {
    pub fn new(written: &str) -> Self {
        let mut name = written.trim();
        name = name.strip_suffix(LATEST).unwrap_or(name);
        for origin in ORIGINS {
            if let Some(rest) = name.strip_prefix(origin).filter(|rest| !rest.is_empty()) {
                name = rest;
                break;
            }
        }
        Self(name.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ModelName {
    fn from(written: String) -> Self {
        Self::new(&written)
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_one_name_however_it_is_written() {
        for written in [
            "qwen3",
            "user.qwen3",
            "extra.qwen3",
            "builtin.qwen3",
            "qwen3:latest",
            "user.qwen3:latest",
            " qwen3 ",
        ] {
            assert_eq!(ModelName::new(written).as_str(), "qwen3", "{written}");
        }
        for other in ["qwen3:8b", "user.", "user", "my.user.qwen3", "Qwen3"] {
            assert_eq!(ModelName::new(other).as_str(), other);
        }
    }
}
