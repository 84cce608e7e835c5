//! What the model is given to read: how much text it is, and nothing in it that lies elsewhere.

mod parts;

use crate::llm::endpoint::Endpoint;
use crate::llm::json;
use crate::llm::request::Policy;
use crate::llm::request::refusal::BadRequest;
use crate::llm::request::sheet::Sheet;

/// What a prompt is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) bytes: u64,
    pub(super) ids: u64,
    pub(super) images: u32,
    pub(super) prompts: u32,
}

/// Fields that become part of the prompt as they are.
const SCHEMAS: [&str; 10] = [
    "tools",
    "functions",
    "tool_choice",
    "response_format",
    "json_schema",
    "text",
    "instructions",
    "chat_template_kwargs",
    "documents",
    "suffix",
];

const TEXTS: &str = "a text, several texts, or numbers of tokens";

impl Cost {
    pub(super) fn of(
        endpoint: Endpoint,
        sheet: &Sheet,
        policy: &Policy,
    ) -> Result<Self, BadRequest> {
        let mut cost = Self {
            bytes: 0,
            ids: 0,
            images: 0,
            prompts: 1,
        };
        match endpoint {
            Endpoint::Chat | Endpoint::Messages => cost.conversation(sheet, "messages")?,
            Endpoint::Responses => cost.conversation(sheet, "input")?,
            Endpoint::Completions => cost.texts(sheet, "prompt", policy.answers_max)?,
            Endpoint::Embeddings => cost.inputs(sheet, policy)?,
            Endpoint::Rerank => return cost.ranking(sheet, policy),
        }
        for name in SCHEMAS {
            let raw = sheet.given(name).map_or(0, <[u8]>::len);
            cost.bytes = cost.bytes.saturating_add(raw as u64);
        }
        Ok(cost)
    }

    fn conversation(&mut self, sheet: &Sheet, field: &'static str) -> Result<(), BadRequest> {
        let value = sheet.given(field).ok_or(BadRequest::Missing(field))?;
        if field == "input" && json::is_string(value) {
            self.text(value);
            return Ok(());
        }
        if !json::is_array(value) {
            return Err(BadRequest::Wrong(field, "a list"));
        }
        for message in json::elements(value).map_while(Result::ok) {
            parts::message(self, field, message)?;
        }
        Ok(())
    }

    /// llama.cpp knows `input` by another name too.
    fn inputs(&mut self, sheet: &Sheet, policy: &Policy) -> Result<(), BadRequest> {
        let field = match (sheet.given("input"), sheet.given("content")) {
            (Some(_), Some(_)) => return Err(BadRequest::Wrong("content", "left out")),
            (None, Some(_)) => "content",
            _ => "input",
        };
        self.texts(sheet, field, policy.inputs_max)
    }

    /// One text, or a list of texts, of tokens, or of lists of tokens; of one kind.
    fn texts(&mut self, sheet: &Sheet, field: &'static str, most: u32) -> Result<(), BadRequest> {
        let value = sheet.given(field).ok_or(BadRequest::Missing(field))?;
        let wrong = BadRequest::Wrong(field, TEXTS);
        if json::is_string(value) {
            self.text(value);
            return Ok(());
        }
        let mut elements = json::elements(value).map_while(Result::ok).peekable();
        let first = *elements.peek().ok_or_else(|| wrong.clone())?;
        if json::whole(first).is_some() {
            self.ids = self.ids.saturating_add(tokens(value).ok_or(wrong)?);
            return Ok(());
        }
        let mut count = 0_u32;
        for element in elements {
            count = count.saturating_add(1);
            if count > most {
                return Err(BadRequest::TooMany(field, most));
            }
            if json::is_string(first) && json::is_string(element) {
                self.text(element);
            } else {
                let ids = tokens(element).filter(|_| json::is_array(first));
                self.ids = self.ids.saturating_add(ids.ok_or_else(|| wrong.clone())?);
            }
        }
        self.prompts = count;
        Ok(())
    }

    /// The model reads the question again with each document.
    fn ranking(mut self, sheet: &Sheet, policy: &Policy) -> Result<Self, BadRequest> {
        let query = sheet.given("query").ok_or(BadRequest::Missing("query"))?;
        if !json::is_string(query) {
            return Err(BadRequest::Wrong("query", "a text"));
        }
        let field = match (sheet.given("documents"), sheet.given("texts")) {
            (Some(_), Some(_)) => return Err(BadRequest::Wrong("texts", "left out")),
            (None, Some(_)) => "texts",
            _ => "documents",
        };
        let documents = sheet.given(field).ok_or(BadRequest::Missing(field))?;
        if !json::is_array(documents) {
            return Err(BadRequest::Wrong(field, "a list of texts"));
        }
        self.prompts = 0;
        for document in json::elements(documents).map_while(Result::ok) {
            self.prompts = self.prompts.saturating_add(1);
            if self.prompts > policy.inputs_max {
                return Err(BadRequest::TooMany(field, policy.inputs_max));
            }
            self.text(query);
            self.document(document, field)?;
        }
        Ok(self)
    }

    fn document(&mut self, document: &[u8], field: &'static str) -> Result<(), BadRequest> {
        if json::is_string(document) {
            self.text(document);
            return Ok(());
        }
        let [text] = json::pick(document, ["text"]).map_err(twice)?;
        let text = text.filter(|text| json::is_string(text));
        self.text(text.ok_or(BadRequest::Wrong(field, "a list of texts"))?);
        Ok(())
    }

    /// A quoted string.
    fn text(&mut self, quoted: &[u8]) {
        self.bytes = self.bytes.saturating_add(json::length(quoted));
    }

    /// Anything that is written to the model as it is.
    fn raw(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

/// How many there are, if all are tokens.
fn tokens(value: &[u8]) -> Option<u64> {
    if !json::is_array(value) {
        return None;
    }
    let mut count = 0;
    for element in json::elements(value).map_while(Result::ok) {
        json::whole(element)?;
        count += 1;
    }
    Some(count)
}

fn twice(json::Twice(name): json::Twice) -> BadRequest {
    BadRequest::Twice(name.into())
}
