//! Errors as clients read them: OpenAI's shape and Anthropic's, nothing else at their top level.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;

use crate::llm::endpoint::Dialect;

/// One refusal or failure, in words. The status decides what Anthropic's shape calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorWords {
    pub status: u16,
    /// OpenAI's `error.type`.
    pub kind: &'static str,
    pub code: Cow<'static, str>,
    /// The field of the request that it is about.
    pub param: Option<Cow<'static, str>>,
    pub message: String,
}

impl ErrorWords {
    pub fn new(status: u16, kind: &'static str, code: &'static str, message: String) -> Self {
        Self {
            status,
            kind,
            code: Cow::Borrowed(code),
            param: None,
            message,
        }
    }

    fn openai(&self) -> OpenAiError<'_> {
        OpenAiError {
            message: &self.message,
            r#type: self.kind,
            param: self.param.as_deref(),
            code: &self.code,
        }
    }

    /// `error.type` of Anthropic's shape.
    fn anthropic_kind(&self) -> &'static str {
        match self.status {
            400 => "invalid_request_error",
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | 529 => "overloaded_error",
            _ => "api_error",
        }
    }
}

#[derive(Serialize)]
struct OpenAi<'a> {
    error: OpenAiError<'a>,
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

#[derive(Serialize)]
struct Anthropic<'a> {
    r#type: &'static str,
    error: AnthropicError<'a>,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'a str,
    message: &'a str,
}

/// The whole body. AI SDK's schema wants exactly these members, or it shows the status text instead.
pub fn error_body(dialect: Dialect, error: &ErrorWords) -> Bytes {
    let written = match dialect {
        Dialect::OpenAi => serde_json::to_vec(&OpenAi {
            error: error.openai(),
        }),
        Dialect::Anthropic => serde_json::to_vec(&Anthropic {
            r#type: "error",
            error: AnthropicError {
                r#type: error.anthropic_kind(),
                message: &error.message,
            },
        }),
    };
    // Texts alone are always written.
    Bytes::from(written.unwrap_or_default())
}

#[derive(Serialize)]
struct Step<'a> {
    r#type: &'static str,
    sequence_number: u32,
    code: &'a str,
    message: &'a str,
    param: Option<&'a str>,
    error: OpenAiError<'a>,
}

/// In the stream of a response, where some clients look for `error` and others for what is beside it.
pub(super) fn response_step(error: &ErrorWords) -> Bytes {
    let written = serde_json::to_vec(&Step {
        r#type: "error",
        sequence_number: 0,
        code: &error.code,
        message: &error.message,
        param: error.param.as_deref(),
        error: error.openai(),
    });
    Bytes::from(written.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(status: u16) -> ErrorWords {
        let message = "Too \"much\".\n".to_owned();
        ErrorWords::new(status, "tokens", "rate_limit_exceeded", message)
    }

    #[test]
    fn openai_s_shape_has_four_members_and_nothing_beside() {
        assert_eq!(
            error_body(Dialect::OpenAi, &words(429)),
            r#"{"error":{"message":"Too \"much\".\n","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#
        );
        let mut about = words(400);
        about.param = Some("messages".into());
        let body = error_body(Dialect::OpenAi, &about);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["param"], "messages");
    }

    #[test]
    fn anthropic_s_shape_is_named_by_the_status() {
        for (status, kind) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (404, "not_found_error"),
            (413, "request_too_large"),
            (429, "rate_limit_error"),
            (502, "api_error"),
            (503, "overloaded_error"),
        ] {
            assert_eq!(
                error_body(Dialect::Anthropic, &words(status)),
                format!(
                    r#"{{"type":"error","error":{{"type":"{kind}","message":"Too \"much\".\n"}}}}"#
                )
            );
        }
    }
}
