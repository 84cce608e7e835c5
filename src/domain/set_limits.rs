//! Limits that were set while the appliance ran: what they change of the configuration's.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::domain::model::{MODEL_LEN_MAX, ModelName};
use crate::domain::quota::{Limits, Models, Scope, TokenLimit, Weights};

const TOKEN_LIMITS_MAX: usize = 64;
const TOKENS_MAX: u64 = 1_000_000_000_000;
/// A week.
const WINDOW_S_MAX: u32 = 604_800;
const COUNT_MAX: u32 = 1_000_000;
/// In thousandths: a token counts at most a thousand.
const WEIGHT_MAX: u32 = 1_000_000;
const MODELS_MAX: usize = 256;

/// What is `None` is as the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SetLimits {
    /// All of them: none is left of the configuration's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Vec<TokenLimit>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// All of them; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_concurrency: Option<BTreeMap<ModelName, u32>>,
}

impl SetLimits {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is in force.
    pub fn over(&self, configured: &Limits) -> Limits {
        let mut limits = configured.clone();
        if let Some(tokens) = &self.tokens {
            limits.tokens.clone_from(tokens);
        }
        if let Some(weights) = self.weights {
            limits.weights = weights;
        }
        if let Some(count) = self.requests_per_minute {
            limits.requests_per_minute = NonZeroU32::new(count);
        }
        if let Some(count) = self.concurrency {
            limits.concurrency = NonZeroU32::new(count);
        }
        if let Some(models) = &self.model_concurrency {
            let models = models.iter();
            limits.model_concurrency = models
                .filter_map(|(model, count)| Some((model.clone(), NonZeroU32::new(*count)?)))
                .collect();
        }
        limits
    }

    /// What is set now, and what was set before wherever nothing is.
    #[must_use]
    pub fn then(self, before: Self) -> Self {
        Self {
            tokens: self.tokens.or(before.tokens),
            weights: self.weights.or(before.weights),
            requests_per_minute: self.requests_per_minute.or(before.requests_per_minute),
            concurrency: self.concurrency.or(before.concurrency),
            model_concurrency: self.model_concurrency.or(before.model_concurrency),
        }
    }

    /// The first thing that cannot be, in words.
    pub fn problem(&self) -> Option<String> {
        let tokens = self.tokens.as_deref().and_then(tokens_problem);
        let counts = [
            ("requests_per_minute", self.requests_per_minute),
            ("concurrency", self.concurrency),
        ];
        let mut counts = counts.into_iter();
        let count = counts.find_map(|(name, count)| count_problem(name, count?));
        let weights = self.weights.and_then(weights_problem);
        let models = self.model_concurrency.as_ref().and_then(models_problem);
        tokens.or(count).or(weights).or(models)
    }
}

fn tokens_problem(limits: &[TokenLimit]) -> Option<String> {
    if limits.len() > TOKEN_LIMITS_MAX {
        return Some(format!("at most {TOKEN_LIMITS_MAX} token limits"));
    }
    let mut ids = BTreeSet::new();
    limits.iter().find_map(|limit| {
        let id = limit.id();
        if limit.tokens == 0 || limit.tokens > TOKENS_MAX {
            return Some(format!("`{id}`: `tokens` is 1 to {TOKENS_MAX}"));
        }
        if limit.window_s.get() > WINDOW_S_MAX {
            return Some(format!("`{id}`: `window_s` is 1 to {WINDOW_S_MAX}, a week"));
        }
        if limit.per_member && limit.scope != Scope::Group {
            return Some(format!("`{id}`: `per_member` is for groups"));
        }
        if let Models::One(model) = &limit.models
            && let Some(words) = model_problem(model)
        {
            return Some(words);
        }
        (!ids.insert(id.clone())).then(|| format!("`{id}` is there twice"))
    })
}

fn count_problem(name: &str, count: u32) -> Option<String> {
    (count > COUNT_MAX).then(|| format!("`{name}` is 0, for no limit, to {COUNT_MAX}"))
}

fn weights_problem(weights: Weights) -> Option<String> {
    let greatest = weights.input.max(weights.cached).max(weights.output);
    (greatest > WEIGHT_MAX)
        .then(|| format!("`weights` are thousandths of a token, at most {WEIGHT_MAX}"))
}

fn models_problem(models: &BTreeMap<ModelName, u32>) -> Option<String> {
    if models.len() > MODELS_MAX {
        return Some(format!("at most {MODELS_MAX} models"));
    }
    let mut models = models.iter();
    models.find_map(|(model, count)| {
        model_problem(model).or_else(|| count_problem(model.as_str(), *count))
    })
}

fn model_problem(model: &ModelName) -> Option<String> {
    let is_fine = (1..=MODEL_LEN_MAX).contains(&model.as_str().len());
    (!is_fine).then(|| format!("a model's name has 1 to {MODEL_LEN_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(tokens: u64) -> TokenLimit {
        TokenLimit {
            scope: Scope::User,
            models: Models::Together,
            tokens,
            window_s: NonZeroU32::new(60).unwrap(),
            mode: crate::domain::quota::Mode::Balanced,
            per_member: false,
        }
    }

    #[test]
    fn what_is_not_set_is_as_the_configuration_says() {
        let configured = Limits {
            tokens: vec![limit(100)],
            concurrency: NonZeroU32::new(2),
            ..Limits::default()
        };
        assert_eq!(SetLimits::default().over(&configured), configured);
        let set = SetLimits {
            concurrency: Some(0),
            requests_per_minute: Some(30),
            ..SetLimits::default()
        };
        let limits = set.over(&configured);
        assert_eq!((limits.concurrency, limits.tokens.len()), (None, 1));
        assert_eq!(limits.requests_per_minute, NonZeroU32::new(30));
        let later = SetLimits {
            tokens: Some(Vec::new()),
            ..SetLimits::default()
        };
        let both = later.then(set).over(&configured);
        assert_eq!((both.tokens.len(), both.concurrency), (0, None));
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        let tokens = |limits: Vec<TokenLimit>| SetLimits {
            tokens: Some(limits),
            ..SetLimits::default()
        };
        for (set, words) in [
            (tokens(vec![limit(0)]), "`tokens` is 1 to"),
            (tokens(vec![limit(1), limit(2)]), "is there twice"),
            (
                tokens(vec![TokenLimit {
                    per_member: true,
                    ..limit(1)
                }]),
                "for groups",
            ),
            (
                tokens(vec![TokenLimit {
                    models: Models::One(ModelName::new("")),
                    ..limit(1)
                }]),
                "model's name",
            ),
            (
                tokens(vec![TokenLimit {
                    window_s: NonZeroU32::MAX,
                    ..limit(1)
                }]),
                "a week",
            ),
            (tokens(vec![limit(1); 65]), "at most 64"),
            (
                SetLimits {
                    concurrency: Some(u32::MAX),
                    ..SetLimits::default()
                },
                "`concurrency`",
            ),
            (
                SetLimits {
                    weights: Some(Weights {
                        cached: u32::MAX,
                        ..Weights::default()
                    }),
                    ..SetLimits::default()
                },
                "thousandths",
            ),
        ] {
            let problem = set.problem().unwrap();
            assert!(problem.contains(words), "{problem}");
        }
        assert_eq!(tokens(vec![limit(1)]).problem(), None);
    }
}
