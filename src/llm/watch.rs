//! The stream of one answer on its way to a client that asked for one: what it costs is read as it passes.

use bytes::{Bytes, BytesMut};

use crate::llm::endpoint::{Dialect, Endpoint};
use crate::llm::error::{ErrorWords, error_body, response_step};
use crate::llm::event::Facts;
use crate::llm::json;
use crate::llm::messages::Speaker;
use crate::llm::report::{Report, Tally};
use crate::llm::sse::{self, Data, Scanner};
use crate::llm::upstream::UpstreamError;

/// One event. The last one of a response repeats the whole answer.
pub(super) const EVENT_BYTES_MAX: usize = 8 << 20;

/// Feed it what upstream sends and pass on what it gives. It always leaves the client with a stream that
/// ends as its dialect says: with an error in it, if there was one.
#[derive(Debug)]
pub struct Watch {
    endpoint: Endpoint,
    scanner: Scanner,
    tally: Tally,
    /// As the client calls it: JSON.
    model: String,
    wants_usage: bool,
    /// For a client that reads Anthropic's events.
    speaker: Option<Box<Speaker>>,
    /// Nothing follows: what still comes is not for the client.
    is_over: bool,
}

impl Watch {
    pub(super) fn new(endpoint: Endpoint, model: &str, answers: u32, wants_usage: bool) -> Self {
        let speaker = (endpoint == Endpoint::Messages).then(|| Box::new(Speaker::new(model)));
        Self {
            endpoint,
            scanner: Scanner::new(EVENT_BYTES_MAX),
            tally: Tally::new(answers),
            model: json::quoted(model),
            wants_usage,
            speaker,
            is_over: false,
        }
    }

    /// What of this piece, and of what was held back before, goes to the client: the same bytes if
    /// nothing in them changes.
    pub fn feed(&mut self, chunk: &Bytes) -> Bytes {
        if self.is_over {
            return Bytes::new();
        }
        let had_part = self.scanner.holds_part();
        let mut out = Passed::default();
        self.scanner.feed(chunk);
        while !self.is_over {
            match self.scanner.next() {
                Ok(Some(block)) => self.block(block, &mut out),
                Ok(None) => break,
                Err(sse::TooLong) => self.broken(&mut out),
            }
        }
        if !out.is_changed && !had_part && !self.scanner.holds_part() && !self.is_over {
            return chunk.clone();
        }
        out.into_bytes()
    }

    /// Upstream ended: what the client still lacks.
    pub fn end(&mut self) -> Bytes {
        let mut out = Passed::default();
        if !self.is_over
            && let Some(rest) = self.scanner.rest()
        {
            self.block(rest, &mut out);
        }
        if self.is_over {
            return out.into_bytes();
        }
        if self.tally.report.finished {
            self.close(&mut out);
        } else {
            self.fault(UpstreamError::broke_off(), &mut out);
        }
        out.into_bytes()
    }

    /// The answer ends here, with these words: upstream is gone, or a limit is reached.
    pub fn fail(&mut self, words: &ErrorWords) -> Bytes {
        let mut out = Passed::default();
        if !self.is_over {
            self.say(words, &mut out);
        }
        out.into_bytes()
    }

    /// Nothing more comes of it: upstream may be let go.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    pub fn report(&self) -> &Report {
        &self.tally.report
    }

    fn block(&mut self, block: Bytes, out: &mut Passed) {
        let Some(data) = sse::data(&block) else {
            return out.same(block);
        };
        if data.says_nothing() {
            return out.changed();
        }
        if *data.text == *b"[DONE]" {
            self.tally.report.finished = true;
            return self.done(&block, out);
        }
        let Ok(facts) = Facts::read(self.endpoint, &data.text) else {
            return self.broken(out);
        };
        self.tally.add(&facts);
        if let Some(error) = facts.error {
            self.fault(UpstreamError::in_stream(error), out);
        } else if let Some(speaker) = &mut self.speaker {
            if speaker.speak(&data.text, out.buffer()).is_err() {
                self.broken(out);
            }
        } else if facts.is_usage_only() && !self.wants_usage {
            out.changed();
        } else {
            self.pass(&block, &data, &facts, out);
        }
    }

    /// As it is, but for the model's name.
    fn pass(&self, block: &Bytes, data: &Data<'_>, facts: &Facts<'_>, out: &mut Passed) {
        let name = facts.model.clone().filter(|name| {
            let name = data.text.get(name.clone());
            name != Some(self.model.as_bytes())
        });
        match name {
            Some(name) => sse::replace(block, data, name, self.model.as_bytes(), out.buffer()),
            None => out.same(block.clone()),
        }
    }

    /// What cannot be read is not passed on.
    fn broken(&mut self, out: &mut Passed) {
        self.fault(UpstreamError::unreadable(), out);
    }

    fn fault(&mut self, error: UpstreamError, out: &mut Passed) {
        let words = error.words();
        self.tally.report.failed = Some(error);
        self.tally.report.finished = false;
        self.say(&words, out);
    }

    /// An error as an event, and the end.
    fn say(&mut self, words: &ErrorWords, out: &mut Passed) {
        let out = out.buffer();
        match self.endpoint {
            Endpoint::Responses => sse::event(out, Some("error"), &response_step(words)),
            Endpoint::Messages => {
                sse::event(out, Some("error"), &error_body(Dialect::Anthropic, words));
            }
            _ => {
                sse::event(out, None, &error_body(Dialect::OpenAi, words));
                sse::event(out, None, b"[DONE]");
            }
        }
        self.is_over = true;
    }

    /// Upstream's own last word, which not every dialect has.
    fn done(&mut self, block: &Bytes, out: &mut Passed) {
        match self.endpoint {
            Endpoint::Messages => self.close(out),
            Endpoint::Responses => out.changed(),
            _ => out.same(block.clone()),
        }
        self.is_over = true;
    }

    fn close(&mut self, out: &mut Passed) {
        if let Some(speaker) = &mut self.speaker {
            speaker.close(&self.tally.report, out.buffer());
        } else if self.endpoint != Endpoint::Responses {
            sse::event(out.buffer(), None, b"[DONE]");
        }
        self.is_over = true;
    }
}

/// What one piece of the stream became.
#[derive(Default)]
struct Passed {
    first: Bytes,
    buffer: BytesMut,
    is_changed: bool,
}

impl Passed {
    fn same(&mut self, block: Bytes) {
        if self.first.is_empty() && self.buffer.is_empty() {
            self.first = block;
        } else {
            self.join();
            self.buffer.extend_from_slice(&block);
        }
    }

    fn changed(&mut self) {
        self.is_changed = true;
    }

    /// To write something else.
    fn buffer(&mut self) -> &mut BytesMut {
        self.changed();
        self.join();
        &mut self.buffer
    }

    fn join(&mut self) {
        let first = std::mem::take(&mut self.first);
        self.buffer.extend_from_slice(&first);
    }

    fn into_bytes(self) -> Bytes {
        if self.buffer.is_empty() {
            return self.first;
        }
        self.buffer.freeze()
    }
}

/// An answer that is not a stream.
pub(super) fn whole(body: &Bytes, model: &str) -> (Bytes, Report) {
    let mut tally = Tally::new(1);
    if json::is_array(body.trim_ascii_start()) {
        // A ranking may be a bare list, which says nothing of its cost.
        tally.report.finished = true;
        return (body.clone(), tally.report);
    }
    let Ok(facts) = Facts::read(Endpoint::Embeddings, body) else {
        tally.report.failed = Some(UpstreamError::unreadable());
        return (body.clone(), tally.report);
    };
    tally.add(&facts);
    tally.report.failed = facts.error.map(UpstreamError::in_stream);
    tally.report.finished = facts.error.is_none();
    let model = json::quoted(model);
    let Some(name) = facts.model else {
        return (body.clone(), tally.report);
    };
    let mut out = BytesMut::with_capacity(body.len() + model.len());
    for part in [
        body.get(..name.start).unwrap_or_default(),
        model.as_bytes(),
        body.get(name.end..).unwrap_or_default(),
    ] {
        out.extend_from_slice(part);
    }
    (out.freeze(), tally.report)
}

#[cfg(test)]
mod tests;
