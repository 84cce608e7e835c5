//! `Reply`: what the model's server answers one request with, and everything that can go wrong with it.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::Open;

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Lets a reply go on step by step, so that nothing has to be waited for by the clock.
#[derive(Clone)]
pub(crate) struct Pace(Arc<Semaphore>);

impl Pace {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn allow(&self, steps: usize) {
        self.0.add_permits(steps);
    }

    async fn step(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

#[derive(Clone)]
enum Wait {
    Not,
    For(Duration),
    Step(Pace),
}

impl Wait {
    async fn over(&self) {
        match self {
            // What was said before is on its way before more is said.
            Self::Not => tokio::task::yield_now().await,
            Self::For(time) => tokio::time::sleep(*time).await,
            Self::Step(pace) => pace.step().await,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// As the protocol has it.
    Well,
    /// The connection is closed in the middle of the answer.
    Cut,
    /// Nothing more, and the connection stays.
    Hang,
}

#[derive(Clone)]
pub(crate) struct Reply {
    /// `None`: the connection is closed instead.
    status: Option<StatusCode>,
    headers: Vec<(HeaderName, HeaderValue)>,
    before: Wait,
    /// Each is sent by itself.
    parts: Vec<Bytes>,
    between: Wait,
    end: End,
}

impl Reply {
    pub(crate) fn json(status: u16, value: &Value) -> Self {
        let body = Bytes::from(value.to_string());
        let length = body.len().to_string();
        Self::new(status, vec![body])
            .header("content-type", "application/json; charset=utf-8")
            .header("content-length", &length)
    }

    /// Server-sent events, or what passes for them: one a part.
    pub(crate) fn events(events: impl IntoIterator<Item = String>) -> Self {
        let parts = events.into_iter().map(Bytes::from).collect();
        Self::new(200, parts).header("content-type", "text/event-stream")
    }

    /// Closes the connection without a word.
    pub(crate) fn none() -> Self {
        let mut reply = Self::new(200, Vec::new());
        reply.status = None;
        reply
    }

    fn new(status: u16, parts: Vec<Bytes>) -> Self {
        Self {
            status: Some(StatusCode::from_u16(status).unwrap()),
            headers: Vec::new(),
            before: Wait::Not,
            parts,
            between: Wait::Not,
            end: End::Well,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        let name = HeaderName::from_static(name);
        self.headers.push((name, value.parse().unwrap()));
        self
    }

    /// The head, and so everything, comes later.
    pub(crate) fn after(mut self, time: Duration) -> Self {
        self.before = Wait::For(time);
        self
    }

    /// The head takes a step.
    pub(crate) fn held(mut self, pace: &Pace) -> Self {
        self.before = Wait::Step(pace.clone());
        self
    }

    /// Each part takes a step; the head does not.
    pub(crate) fn paced(mut self, pace: &Pace) -> Self {
        self.between = Wait::Step(pace.clone());
        self
    }

    pub(crate) fn slow(mut self, between: Duration) -> Self {
        self.between = Wait::For(between);
        self
    }

    pub(crate) fn cut_after(mut self, parts: usize) -> Self {
        self.parts.truncate(parts);
        self.end = End::Cut;
        self
    }

    pub(crate) fn cut_at(self, byte: usize) -> Self {
        let mut reply = self.split_each(byte.max(1));
        reply.parts.truncate(usize::from(byte > 0));
        reply.end = End::Cut;
        reply
    }

    pub(crate) fn hang_after(mut self, parts: usize) -> Self {
        self.parts.truncate(parts);
        self.end = End::Hang;
        self
    }

    /// Packets of this many bytes, whatever is in them.
    pub(crate) fn split_each(mut self, bytes: usize) -> Self {
        let all = self.parts.concat();
        self.parts = all.chunks(bytes).map(Bytes::copy_from_slice).collect();
        self
    }

    /// Another part, in front of the one that is there.
    pub(crate) fn insert(mut self, at: usize, part: &str) -> Self {
        self.parts
            .insert(at, Bytes::copy_from_slice(part.as_bytes()));
        self
    }

    /// Leaves out every part with these words.
    pub(crate) fn without(mut self, words: &str) -> Self {
        let is_in = |part: &Bytes| String::from_utf8_lossy(part).contains(words);
        self.parts.retain(|part| !is_in(part));
        self
    }

    /// Changes the JSON of every event, or the one of a plain answer.
    pub(crate) fn edit(mut self, change: impl Fn(&mut Value)) -> Self {
        for part in &mut self.parts {
            let text = std::str::from_utf8(part).unwrap();
            let (before, json) = match text.rsplit_once("data: ") {
                Some((before, json)) => (format!("{before}data: "), json),
                None => (String::new(), text),
            };
            if let Ok(mut value) = serde_json::from_str::<Value>(json.trim_end()) {
                change(&mut value);
                let end = if before.is_empty() { "" } else { "\n\n" };
                *part = Bytes::from(format!("{before}{value}{end}"));
            }
        }
        let length = self.parts.iter().map(Bytes::len).sum::<usize>();
        for (name, value) in &mut self.headers {
            if name == "content-length" {
                *value = length.into();
            }
        }
        self
    }

    /// The service's own error closes the connection: hyper asks no more than that.
    pub(super) async fn send(self, open: Open) -> io::Result<Response<Body>> {
        self.before.over().await;
        let Some(status) = self.status else {
            open.is_over();
            return Err(io::Error::other("no answer"));
        };
        let mut response = Response::new(self.body(open));
        *response.status_mut() = status;
        response.headers_mut().extend(self.headers);
        Ok(response)
    }

    fn body(&self, open: Open) -> Body {
        let (between, end) = (self.between.clone(), self.end);
        let parts = self.parts.clone().into_iter();
        let state = Some((parts, open));
        let frames = stream::unfold(state, move |state| {
            let between = between.clone();
            async move {
                let (mut parts, open) = state?;
                let Some(part) = parts.next() else {
                    return ended(end, open).await;
                };
                between.over().await;
                open.sent_one();
                // Where the length is known, nobody asks for more.
                if parts.len() == 0 && end == End::Well {
                    open.is_over();
                }
                Some((Ok(Frame::data(part)), Some((parts, open))))
            }
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

async fn ended<S>(end: End, open: Open) -> Option<(io::Result<Frame<Bytes>>, Option<S>)> {
    match end {
        End::Well => {
            open.is_over();
            None
        }
        End::Cut => {
            tokio::task::yield_now().await;
            open.is_over();
            Some((Err(io::Error::other("cut")), None))
        }
        End::Hang => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}
