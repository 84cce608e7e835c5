//! What the model's server means when it fails: llama.cpp and Lemonade say it in five shapes.

use crate::llm::error::ErrorWords;
use crate::llm::json;
use crate::llm::words;

/// What the client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Send less.
    ContextLength,
    /// Name another model.
    ModelNotFound,
    /// Send something else.
    BadRequest,
    /// Come again soon.
    Busy,
    /// Come again, perhaps.
    Failed,
}

/// An error of the model's server, as a client may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamError {
    /// What the client is answered with, if nothing was answered yet.
    pub status: u16,
    pub kind: Fault,
    pub message: String,
}

impl UpstreamError {
    pub fn new(kind: Fault, message: &str) -> Self {
        let (status, is_permanent) = match kind {
            Fault::ContextLength | Fault::BadRequest => (400, true),
            Fault::ModelNotFound => (404, true),
            Fault::Busy => (503, false),
            Fault::Failed => (502, false),
        };
        let message = if is_permanent {
            words::permanent(message)
        } else {
            words::passing(message)
        };
        Self {
            status,
            kind,
            message,
        }
    }

    /// The stream, or the answer, ended before it was whole.
    pub fn broke_off() -> Self {
        Self::new(Fault::Failed, "The model's answer broke off.")
    }

    /// What upstream sent is not what this endpoint answers.
    pub fn unreadable() -> Self {
        Self::new(Fault::Failed, "The model's answer could not be read.")
    }

    /// More than is kept of one answer.
    pub fn too_long() -> Self {
        Self::new(Fault::Failed, "The model's answer is too long.")
    }

    /// An answer with a status of its own that is not 2xx.
    pub fn read(status: u16, body: &[u8]) -> Self {
        let [error] = json::pick(body, ["error"]).unwrap_or_default();
        Self::of(error.unwrap_or(body), status)
    }

    /// The value of `error`, in an answer or in a stream, whose own status is 200.
    pub(super) fn in_stream(error: &[u8]) -> Self {
        Self::of(error, 200)
    }

    fn of(error: &[u8], status: u16) -> Self {
        let told = Told::read(error);
        let status = told.status.unwrap_or(status);
        let kind = told.kind(status);
        if matches!(status, 401 | 403) {
            // About our own key: nothing that the client could mend.
            return Self::new(Fault::Failed, "The model's server refused the gateway.");
        }
        if told.message.is_empty() {
            return Self::new(kind, kind.sentence());
        }
        Self::new(kind, &told.message)
    }

    pub fn words(&self) -> ErrorWords {
        let (kind, code) = match self.kind {
            Fault::ContextLength => ("invalid_request_error", "context_length_exceeded"),
            Fault::ModelNotFound => ("invalid_request_error", "model_not_found"),
            Fault::BadRequest => ("invalid_request_error", "invalid_value"),
            Fault::Busy => ("server_error", "backend_unavailable"),
            Fault::Failed => ("server_error", "backend_failed"),
        };
        ErrorWords::new(self.status, kind, code, self.message.clone())
    }
}

impl Fault {
    fn sentence(self) -> &'static str {
        match self {
            Self::ContextLength => "The prompt is longer than the model can read.",
            Self::ModelNotFound => "There is no such model.",
            Self::BadRequest => "The model's server cannot do this.",
            Self::Busy => "The model is busy or loading.",
            Self::Failed => "The model's server failed.",
        }
    }
}

/// The parts of an error by which it is known.
#[derive(Default)]
struct Told {
    message: String,
    /// `type` and `code` in words, of this and of what it wraps.
    names: Vec<String>,
    status: Option<u16>,
}

impl Told {
    /// A text, or an object, which may hold what llama.cpp said in `details.response.error`.
    fn read(error: &[u8]) -> Self {
        let mut told = Self::default();
        if json::is_string(error) {
            told.message = json::decoded(error).unwrap_or_default().into_owned();
            return told;
        }
        told.level(error);
        let [details] = json::pick(error, ["details"]).unwrap_or_default();
        if let Some(details) = details {
            told.level(details);
            let [response] = json::pick(details, ["response"]).unwrap_or_default();
            let [inner] = json::pick(response.unwrap_or_default(), ["error"]).unwrap_or_default();
            told.level(inner.unwrap_or_default());
        }
        told
    }

    fn level(&mut self, object: &[u8]) {
        let found = json::pick(object, ["message", "type", "code", "status_code"]);
        let [message, kind, code, status] = found.unwrap_or_default();
        if self.message.is_empty() {
            self.message = text(message).unwrap_or_default();
        }
        self.names.extend(text(kind));
        self.names.extend(text(code));
        let number = status.or(code).and_then(json::whole);
        let number = number.and_then(|number| u16::try_from(number).ok());
        let number = number.filter(|number| (400..600).contains(number));
        self.status = self.status.or(number);
    }

    fn kind(&self, status: u16) -> Fault {
        let named = |name: &str| self.names.iter().any(|it| it == name);
        let says = |words: &str| self.message.contains(words);
        if named("exceed_context_size_error")
            || named("context_length_exceeded")
            || says("exceeds the available context size")
            || says("too large to process")
        {
            return Fault::ContextLength;
        }
        if named("model_not_found") || named("model_not_supported") {
            return Fault::ModelNotFound;
        }
        if status == 429
            || status == 503
            || named("unavailable_error")
            || named("slots_pinned_error")
            || named("router_residency_conflict")
        {
            return Fault::Busy;
        }
        // What is answered to a value of the wrong type, whatever the status.
        if matches!(status, 400 | 404 | 405 | 409 | 413 | 415 | 422 | 501)
            || says("[json.exception.")
        {
            return Fault::BadRequest;
        }
        Fault::Failed
    }
}

fn text(value: Option<&[u8]>) -> Option<String> {
    let value = value.filter(|value| json::is_string(value))?;
    json::decoded(value).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> (Fault, u16, String) {
        let error = UpstreamError::read(status, body.as_bytes());
        (error.kind, error.status, error.message)
    }

    #[test]
    fn a_prompt_that_is_too_long_is_known_in_every_shape() {
        let inner = r#"{"code":400,"message":"request (6020 tokens) exceeds the available context size (1024 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":6020,"n_ctx":1024}"#;
        let wrapped = format!(
            r#"{{"error":{{"code":"context_length_exceeded","details":{{"backend":"llama-server","response":{{"error":{inner}}}}},"message":"request (6020 tokens) exceeds","status_code":400,"type":"invalid_request_error"}}}}"#
        );
        let nested_only =
            format!(r#"{{"error":{{"details":{{"response":{{"error":{inner}}}}}}}}}"#);
        for body in [format!(r#"{{"error":{inner}}}"#), wrapped, nested_only] {
            let (kind, status, message) = read(400, &body);
            assert_eq!((kind, status), (Fault::ContextLength, 400), "{body}");
            assert!(message.starts_with("request (6020 tokens)"), "{message}");
        }
        let embedding = r#"{"error":{"code":500,"message":"input (3002 tokens) is too large to process. increase the physical batch size (current batch size: 512)","type":"server_error"}}"#;
        assert_eq!(read(500, embedding).0, Fault::ContextLength);
        let streamed = UpstreamError::in_stream(inner.as_bytes());
        assert_eq!(
            (streamed.kind, streamed.status),
            (Fault::ContextLength, 400)
        );
        assert_eq!(streamed.words().code, "context_length_exceeded");
    }

    #[test]
    fn each_failure_says_what_to_do_next() {
        for (status, body, kind) in [
            (
                404,
                r#"{"error":{"code":"model_not_found","message":"Model 'nope' was not found.","param":"model","requested_model":"nope","type":"model_not_found"}}"#,
                Fault::ModelNotFound,
            ),
            (
                503,
                r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#,
                Fault::Busy,
            ),
            (
                500,
                r#"{"error":"[json.exception.type_error.302] type must be number, but is string"}"#,
                Fault::BadRequest,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"'messages' is required","type":"invalid_request_error"}}"#,
                Fault::BadRequest,
            ),
            (
                501,
                r#"{"error":{"code":501,"message":"This server does not support embeddings","type":"not_supported_error"}}"#,
                Fault::BadRequest,
            ),
            (
                500,
                r#"{"error":{"details":{"backend":"llama-server","code":"backend_watchdog_reset","retryable":true},"message":"llama-server was unresponsive","type":"backend_error"}}"#,
                Fault::Failed,
            ),
            (500, r#"{"error":"CURL error"}"#, Fault::Failed),
            (502, "<html>Bad gateway</html>", Fault::Failed),
            (500, "", Fault::Failed),
            (400, "null", Fault::BadRequest),
            (418, r#"{"error":{"error":{"error":[]}}}"#, Fault::Failed),
        ] {
            assert_eq!(read(status, body).0, kind, "{body}");
        }
    }

    #[test]
    fn a_failure_without_words_gets_some() {
        assert_eq!(read(500, "").2, "The model's server failed.");
        assert_eq!(read(503, "<p>").2, "The model is busy or loading.");
    }

    #[test]
    fn a_refusal_of_the_gateway_s_own_key_is_not_the_client_s_affair() {
        for body in [
            r#"{"error": "Invalid or missing API key"}"#,
            r#"{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}"#,
        ] {
            let (kind, status, message) = read(401, body);
            assert_eq!((kind, status), (Fault::Failed, 502));
            assert!(!message.to_lowercase().contains("key"), "{message}");
        }
    }

    #[test]
    fn nothing_of_the_host_is_in_what_a_client_reads() {
        let (_, _, message) = read(
            500,
            r#"{"error":{"message":"failed to open /models/secret.gguf via http://127.0.0.1:8001","code":500}}"#,
        );
        assert_eq!(message, "failed to open [file] via [address]");
    }
}
