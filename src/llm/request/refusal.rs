//! Why a request is not sent: said so that its author can mend it.

use std::borrow::Cow;

use crate::llm::error::ErrorWords;
use crate::llm::words;

/// Do not repeat it: 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    #[error("The body is not valid JSON: look at byte {0}.")]
    NotJson(usize),
    #[error("The body must be a JSON object.")]
    NotObject,
    #[error("The body is nested too deeply.")]
    TooDeep,
    #[error("The body has too many fields.")]
    TooManyFields,
    #[error("The field `{0}` is there twice; which one is meant?")]
    Twice(Cow<'static, str>),
    #[error("The field `{0}` is missing.")]
    Missing(&'static str),
    #[error("The field `{0}` must be {1}.")]
    Wrong(&'static str, &'static str),
    #[error("The field `{0}` asks for too much: at most {1} here.")]
    TooMany(&'static str, u32),
    #[error(
        "The field `{0}` names a file or an address. Pictures and sounds must be in the request itself, as a `data:` address."
    )]
    Remote(&'static str),
    #[error("The field `{0}` has a part of the kind `{1}`, which the model cannot be given.")]
    Unsupported(&'static str, String),
    #[error("The field `{0}` cannot be read: {1}.")]
    Unreadable(&'static str, String),
}

impl BadRequest {
    pub fn words(&self) -> ErrorWords {
        let message = words::permanent(&self.to_string());
        let code = match self {
            Self::NotJson(_) | Self::NotObject | Self::TooDeep => "invalid_json",
            Self::Missing(_) => "missing_required_parameter",
            _ => "invalid_value",
        };
        let mut error = ErrorWords::new(400, "invalid_request_error", code, message);
        error.param = self.field().map(Cow::Owned);
        error
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::NotJson(_) | Self::NotObject | Self::TooDeep | Self::TooManyFields => None,
            Self::Twice(field) => Some(words::permanent(field)),
            Self::Missing(field)
            | Self::Wrong(field, _)
            | Self::TooMany(field, _)
            | Self::Remote(field)
            | Self::Unsupported(field, _)
            | Self::Unreadable(field, _) => Some((*field).to_owned()),
        }
    }
}
