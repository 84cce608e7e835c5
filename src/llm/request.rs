//! What a client asks: read once, priced, made harmless, and written again with a few parts changed.

mod content;
mod counts;
mod refusal;
mod sheet;
use bytes::Bytes;

pub use refusal::BadRequest;

use crate::llm::assembly::Assembly;
use crate::llm::endpoint::Endpoint;
use crate::llm::json;
use crate::llm::messages;
use crate::llm::report::Report;
use crate::llm::watch::{self, Watch};
use content::Cost;
use sheet::Sheet;

/// The same as the domain's bound: a longer name is nobody's.
use crate::domain::model::MODEL_LEN_MAX;

/// What one request may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Tokens of one answer, whatever the client says.
    pub output_max: u64,
    /// Tokens of one answer, if the client says nothing.
    pub output_default: u64,
    /// Answers of one request: each takes a slot of the model.
    pub answers_max: u32,
    /// Texts of one request for embeddings or a ranking.
    pub inputs_max: u32,
}

/// A request that may be sent, and what is known of it before.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub endpoint: Endpoint,
    /// As the client wrote it; its answers carry the same.
    pub model: String,
    /// The client asked for a stream.
    pub stream: bool,
    /// The client asked for usage in its stream.
    pub wants_usage: bool,
    /// Text of the prompt, its tools and schema; of pictures nothing.
    pub prompt_bytes: u64,
    /// Tokens that were sent as such, beside the text: these are exact.
    pub prompt_ids: u64,
    /// Pictures and sounds.
    pub images: u32,
    /// Tokens that one answer may have; it has no more.
    pub output_cap: u64,
    /// Answers that will be written at the same time.
    pub answers: u32,
    /// Texts to embed or to rank, or prompts to continue; 1 for all else.
    pub prompts: u32,
    sheet: Sheet,
}

/// Reads what a client sent to `endpoint`. The caller has bounded the body's length.
pub fn read(endpoint: Endpoint, body: Bytes, policy: &Policy) -> Result<Prepared, BadRequest> {
    let mut sheet = Sheet::read(body)?;
    if endpoint == Endpoint::Messages {
        sheet = Sheet::read(messages::as_chat(sheet.source())?)?;
    }
    let model = model(&sheet)?;
    let cost = Cost::of(endpoint, &sheet, policy)?;
    counts::remove_dangerous(&mut sheet);
    let mut prepared = Prepared {
        endpoint,
        model,
        stream: false,
        wants_usage: false,
        prompt_bytes: cost.bytes,
        prompt_ids: cost.ids,
        images: cost.images,
        output_cap: 0,
        answers: 1,
        prompts: cost.prompts,
        sheet,
    };
    if endpoint.generates() {
        prepared.bound(policy)?;
        prepared.choose_stream()?;
    } else {
        prepared.sheet.remove("stream");
        prepared.sheet.remove("stream_options");
    }
    Ok(prepared)
}

fn model(sheet: &Sheet) -> Result<String, BadRequest> {
    let value = sheet.value("model").ok_or(BadRequest::Missing("model"))?;
    let model = Some(value)
        .filter(|value| json::is_string(value))
        .and_then(json::decoded)
        .filter(|model| model.len() <= MODEL_LEN_MAX)
        .ok_or(BadRequest::Wrong("model", "the name of a model"))?;
    if model.trim().is_empty() {
        return Err(BadRequest::Missing("model"));
    }
    Ok(model.into_owned())
}

impl Prepared {
    /// No alias is left by which an answer could be longer, or come more often, than was reserved.
    fn bound(&mut self, policy: &Policy) -> Result<(), BadRequest> {
        let field = match self.endpoint {
            Endpoint::Responses => "max_output_tokens",
            _ => "max_tokens",
        };
        self.output_cap = counts::cap(&mut self.sheet, field, policy)?;
        let each = counts::answers(&mut self.sheet, policy)?;
        self.answers = each.saturating_mul(self.prompts);
        if self.answers > policy.answers_max {
            return Err(BadRequest::TooMany("prompt", policy.answers_max));
        }
        Ok(())
    }

    /// Upstream streams in any case, and says what it cost.
    fn choose_stream(&mut self) -> Result<(), BadRequest> {
        self.stream = self.sheet.flag("stream")?.unwrap_or(false);
        self.sheet.set("stream", "true".to_owned());
        if self.endpoint == Endpoint::Responses {
            return Ok(());
        }
        let options = self.sheet.value("stream_options");
        let options = options.filter(|options| !json::is_null(options));
        let (asked, written) = sheet::with_usage(options)?;
        self.wants_usage = self.stream && asked;
        self.sheet.set("stream_options", written);
        Ok(())
    }

    /// What is sent to the model's server, which calls the model `upstream_model`.
    pub fn body(&self, upstream_model: &str) -> Bytes {
        self.sheet.write(Some(&json::quoted(upstream_model)))
    }

    /// For the stream of an answer to a client that asked for one.
    pub fn watch(&self) -> Watch {
        Watch::new(self.endpoint, &self.model, self.answers, self.wants_usage)
    }

    /// For the stream of an answer to a client that asked for none: at most so many bytes are kept.
    pub fn assembly(&self, bytes_max: usize) -> Assembly {
        Assembly::new(self.endpoint, &self.model, self.answers, bytes_max)
    }

    /// An answer that came whole: embeddings, a ranking.
    pub fn answer(&self, body: Bytes) -> (Bytes, Report) {
        watch::whole(&body, &self.model)
    }
}

#[cfg(test)]
mod tests;
