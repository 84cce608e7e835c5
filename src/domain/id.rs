//! A newtype for every identifier, parsed once at the border.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest group or user name: it becomes a DNS label together with another one.
pub const NAME_LEN_MAX: usize = 32;

/// Why a text is not an identifier; the words are meant for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error(
        "`{given}` is not a valid name: use 1 to 32 of a-z, 0-9 and `-`, with a letter or digit first and last{}",
        hint(.cleaned)
    )]
    Name { given: String, cleaned: String },
    #[error("`{0}` is not an identifier: 16 hexadecimal digits are expected")]
    Id(String),
    #[error("`{0}` does not name a participant: write GROUP/USER")]
    UserRef(String),
}

fn hint(cleaned: &str) -> String {
    if cleaned.is_empty() {
        String::new()
    } else {
        format!(", for example `{cleaned}`")
    }
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge =
        |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inside = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    bytes.len() <= NAME_LEN_MAX
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(inside)
}

fn parse_name(text: &str) -> Result<String, ParseError> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(ParseError::Name {
        given: text.to_owned(),
        cleaned: cleaned_name(text),
    })
}

/// The nearest valid name, or nothing when no letter or digit is left.
fn cleaned_name(text: &str) -> String {
    let mut cleaned = String::new();
    for c in text.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' => cleaned.push(c),
            _ if !cleaned.ends_with('-') => cleaned.push('-'),
            _ => {}
        }
    }
    let cleaned: String = cleaned
        .trim_matches('-')
        .chars()
        .take(NAME_LEN_MAX)
        .collect();
    cleaned.trim_matches('-').to_owned()
}

fn parse_id(text: &str) -> Result<String, ParseError> {
    if text.len() == 16
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        return Ok(text.to_owned());
    }
    Err(ParseError::Id(text.to_owned()))
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $parse:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                $parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseError;

            fn try_from(text: String) -> Result<Self, ParseError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// A group's name: unique in the event, a path segment and half of a DNS label.
    GroupName,
    parse_name
);
identifier!(
    /// A participant's name: unique in the group.
    UserName,
    parse_name
);
/// Sixteen hexadecimal digits, which no bits fail to make.
macro_rules! numbered {
    ($($name:ident),*) => {
        $(impl $name {
            pub fn from_bits(bits: u64) -> Self {
                Self(format!("{bits:016x}"))
            }
        })*
    };
}

numbered!(
    ApplianceId,
    InstanceId,
    InviteId,
    KeyId,
    SessionId,
    WorkspaceId
);

identifier!(
    /// An instance, for as long as it exists; its containers come and go.
    InstanceId,
    parse_id
);
identifier!(
    /// A workspace, whoever it belongs to at the moment.
    WorkspaceId,
    parse_id
);
identifier!(
    /// An invite; not its code.
    InviteId,
    parse_id
);
identifier!(
    /// A session; not its token.
    SessionId,
    parse_id
);
identifier!(
    /// A key for the language model; not its secret.
    KeyId,
    parse_id
);
identifier!(
    /// This appliance, made once with the store; tells our containers from another appliance's.
    ApplianceId,
    parse_id
);

/// A participant: `group/user`. Unambiguous, since names have no slash.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserRef {
    pub group: GroupName,
    pub user: UserName,
}

impl UserRef {
    pub fn new(group: GroupName, user: UserName) -> Self {
        Self { group, user }
    }

    /// Would this text be one?
    pub fn is_valid(text: &str) -> bool {
        text.split_once('/')
            .is_some_and(|(group, user)| is_name(group) && is_name(user))
    }

    /// Where the participant's instance is on the public listener, with the final slash.
    pub fn path(&self) -> String {
        format!("/w/{}/{}/", self.group, self.user)
    }
}

impl fmt::Display for UserRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.user)
    }
}

impl FromStr for UserRef {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (group, user) = text
            .split_once('/')
            .ok_or_else(|| ParseError::UserRef(text.to_owned()))?;
        Ok(Self {
            group: group.parse()?,
            user: user.parse()?,
        })
    }
}

impl TryFrom<String> for UserRef {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<UserRef> for String {
    fn from(value: UserRef) -> Self {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_short_lower_case_label() {
        for good in ["a", "red", "team-7", "0", "a1-b2", &"x".repeat(32)] {
            assert!(good.parse::<GroupName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "Team",
            "a b",
            "a/b",
            "..",
            "ä",
            "a_b",
            &"x".repeat(33),
        ] {
            assert!(bad.parse::<GroupName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_name_comes_with_a_cleaned_up_one() {
        let error = "Team A!".parse::<UserName>().unwrap_err();
        assert!(error.to_string().contains("`team-a`"), "{error}");
    }

    #[test]
    fn an_identifier_of_any_bits_can_be_read_again() {
        for bits in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let id = InstanceId::from_bits(bits);
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
        }
    }

    #[test]
    fn a_participant_is_written_as_group_slash_user() {
        let user: UserRef = "red/alice".parse().unwrap();
        assert_eq!(user.to_string(), "red/alice");
        assert_eq!(user.path(), "/w/red/alice/");
        assert!("alice".parse::<UserRef>().is_err());
        assert!("red/alice/x".parse::<UserRef>().is_err());
    }
}
