//! Keys: who may use the language model. A key is `sk-thon-{id}-{secret}`; the secret is known by its
//! hash only.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq as _};

use crate::domain::id::{GroupName, InstanceId, KeyId, ParseError, UserRef};
use crate::domain::model::ModelName;
use crate::domain::session::TokenHash;

/// What every key begins with.
pub const PREFIX: &str = "sk-thon-";

/// Secrets that are good at the same time: the one from before has a grace period.
pub const SECRETS_MAX: usize = 2;

/// What a request shows of itself, once it was read. The secret is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub id: KeyId,
    pub hash: TokenHash,
}

/// Whose requests they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    User(UserRef),
    /// Everybody in the group together.
    Group(GroupName),
}

impl Owner {
    pub fn group(&self) -> &GroupName {
        match self {
            Self::User(user) => &user.group,
            Self::Group(group) => group,
        }
    }

    pub fn user(&self) -> Option<&UserRef> {
        match self {
            Self::User(user) => Some(user),
            Self::Group(_) => None,
        }
    }
}

/// `group/user`, or the group alone.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Group(group) => group.fmt(f),
        }
    }
}

impl FromStr for Owner {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.contains('/') {
            text.parse().map(Self::User)
        } else {
            text.parse().map(Self::Group)
        }
    }
}

/// Who holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// Whoever it was shown to.
    Person,
    /// One container: good from its address only, and gone with it.
    Instance {
        instance: InstanceId,
        generation: u64,
        address: IpAddr,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySecret {
    pub hash: TokenHash,
    /// When it ends; `None` for the present one.
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub id: KeyId,
    pub owner: Owner,
    pub holder: Holder,
    /// The present one first, at most [`SECRETS_MAX`].
    pub secrets: Vec<KeySecret>,
    /// Empty: every model.
    pub models: Vec<ModelName>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub disabled: bool,
    pub last_used_at: Option<Timestamp>,
    /// What its maker calls it.
    pub note: String,
}

impl Key {
    /// Is this one of the secrets that are good at this moment? Every one is compared to its end,
    /// whatever the others said: the time it takes tells nothing about any of them.
    pub fn is_opened_by(&self, hash: &TokenHash, now: Timestamp) -> bool {
        let mut opens = Choice::from(0);
        for secret in &self.secrets {
            let lives = secret.until.is_none_or(|until| now < until);
            opens |= secret.hash.ct_eq(hash) & Choice::from(u8::from(lives));
        }
        opens.into()
    }

    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Whether it is for this model.
    pub fn allows(&self, model: &ModelName) -> bool {
        self.models.is_empty() || self.models.contains(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key() -> Key {
        let secret = |hash, until| KeySecret { hash, until };
        Key {
            id: KeyId::from_bits(1),
            owner: Owner::User("red/alice".parse().unwrap()),
            holder: Holder::Person,
            secrets: vec![secret([1; 32], None), secret([2; 32], Some(at(100)))],
            models: Vec::new(),
            created_at: at(0),
            expires_at: Some(at(1_000)),
            disabled: false,
            last_used_at: None,
            note: String::new(),
        }
    }

    #[test]
    fn the_secret_from_before_opens_until_its_end() {
        let key = key();
        for (hash, second, opens) in [
            (1, 99, true),
            (2, 99, true),
            (1, 100, true),
            (2, 100, false),
            (3, 99, false),
        ] {
            let opened = key.is_opened_by(&[hash; 32], at(second));
            assert_eq!(opened, opens, "{hash} at {second}");
        }
        let nobody_s = Key {
            secrets: Vec::new(),
            ..key
        };
        assert!(!nobody_s.is_opened_by(&[0; 32], at(0)));
    }

    #[test]
    fn an_owner_is_a_participant_or_a_group() {
        for text in ["red/alice", "red"] {
            let owner: Owner = text.parse().unwrap();
            assert_eq!(owner.to_string(), text);
            assert_eq!(owner.user().is_some(), text.contains('/'));
        }
        assert!("red/".parse::<Owner>().is_err());
    }

    #[test]
    fn a_key_ends_at_the_moment_that_it_names() {
        assert!(!key().has_expired(at(999)));
        assert!(key().has_expired(at(1_000)));
    }

    #[test]
    fn a_key_without_a_list_is_for_every_model_and_one_with_a_list_for_those() {
        let any = key();
        assert!(any.allows(&ModelName::new("qwen3")));
        let one = Key {
            models: vec![ModelName::new("user.qwen3")],
            ..any
        };
        assert!(one.allows(&ModelName::new("qwen3:latest")));
        assert!(!one.allows(&ModelName::new("gemma")));
    }
}
