//! Which models there are for participants, and by which names.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::model::ModelName;

/// Nothing named: whatever the servers have.
#[derive(Clone, Debug, Default)]
pub struct Offered {
    names: BTreeSet<ModelName>,
    aliases: BTreeMap<String, ModelName>,
}

impl Offered {
    /// Names as servers have them, each with another name that people may use.
    pub fn new(models: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        let mut offered = Self::default();
        for (name, alias) in models {
            let name = ModelName::new(&name);
            if let Some(alias) = alias {
                offered.aliases.insert(alias, name.clone());
            }
            offered.names.insert(name);
        }
        offered
    }

    /// The model that somebody means. `None`: it is not offered.
    pub(super) fn resolve(&self, written: &str, name: ModelName) -> Option<ModelName> {
        let by_alias = self
            .aliases
            .get(written)
            .or_else(|| self.aliases.get(name.as_str()));
        let name = by_alias.cloned().unwrap_or(name);
        self.is_offered(&name).then_some(name)
    }

    pub(super) fn is_offered(&self, name: &ModelName) -> bool {
        self.names.is_empty() || self.names.contains(name)
    }

    /// What else a model may be called.
    pub(super) fn aliases(&self) -> impl Iterator<Item = (&String, &ModelName)> {
        self.aliases.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_its_model_and_what_is_not_named_is_not_offered() {
        let models = [("user.qwen3".to_owned(), Some("fast".to_owned()))];
        let offered = Offered::new(models);
        let resolve = |written: &str| offered.resolve(written, ModelName::new(written));
        for written in ["qwen3", "user.qwen3", "qwen3:latest", "fast", "fast:latest"] {
            assert_eq!(resolve(written).unwrap().as_str(), "qwen3", "{written}");
        }
        assert_eq!(resolve("gemma"), None);
        let all = Offered::default();
        assert!(all.resolve("gemma", ModelName::new("gemma")).is_some());
    }
}
