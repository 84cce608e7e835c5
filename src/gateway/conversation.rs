//! One request from its place in the line to the last byte of its answer.
//!
//! All of it happens in the body of the answer: see `speech`. So a client that leaves takes the place
//! in the line, the slot, the connection to the model and the reservation with it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::Either;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::Gateway;
use super::asked::Asked;
use super::headers;
use super::incoming::{self, Piece};
use super::refusal::Refusal;
use super::speech::Voice;
use super::spending::{Reading, Spending};
use super::upstreams::{Way, Wish};
use crate::lemonade::SendError;
use crate::limiter::queue::{Turn, Waiting};
use crate::llm::{Endpoint, Fault, UpstreamError};

/// A stream says that it lives this often; what is between us and the client may cut what is silent.
const SIGN_EVERY: Duration = Duration::from_secs(10);

/// How long a request may wait in the line: clients give up on silence after five minutes.
const WAIT_MAX: Duration = Duration::from_mins(2);
const WAIT_MAX_STREAM: Duration = Duration::from_mins(10);

/// Silence of a model that works: loading another model takes minutes.
const SILENCE_MAX: Duration = Duration::from_mins(10);

/// Pieces are put together as long as they are shorter.
const GATHERED_BYTES: usize = 8 << 10;

/// An answer that comes whole: an image's worth of embeddings.
const ANSWER_BYTES_MAX: usize = 64 << 20;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) struct Conversation {
    gateway: Arc<Gateway>,
    asked: Asked,
    voice: Voice,
    spending: Spending,
    /// When something was said last.
    said: Instant,
}

impl Conversation {
    pub(super) fn new(gateway: Arc<Gateway>, asked: Asked, voice: Voice) -> Self {
        let spending = Spending::new(Arc::clone(&gateway), &asked);
        let said = Instant::now();
        Self {
            gateway,
            asked,
            voice,
            spending,
            said,
        }
    }

    pub(super) async fn hold(mut self) {
        let revoked = self.asked.key.revoked.clone();
        let held = tokio::select! {
            biased;
            () = revoked.cancelled() => Err(Refusal::KeyEnded),
            held = self.answer() => held,
        };
        if let Err(refusal) = held {
            self.refuse(&refusal).await;
        }
    }

    async fn answer(&mut self) -> Result<(), Refusal> {
        let (who, model) = (self.asked.who(), self.asked.model.clone());
        let wish = Wish {
            endpoint: self.asked.prepared.endpoint,
            model: &model,
            who: &who,
        };
        let answers = self.asked.prepared.answers;
        let enter = |way: &Way| way.line.enter(&model, &who, answers).map_err(Refusal::Busy);
        let upstreams = self.gateway.upstreams.clone();
        let mut way = upstreams.way(wish, None)?;
        // Before it stands in the line: what is refused here never had a slot.
        let ask = self.asked.ask(&self.gateway);
        self.spending
            .admitted(self.gateway.limiter.admit(ask).await?);
        let mut waiting = enter(&way)?;
        let board = &self.gateway.board;
        let place = board.enter(model.clone(), who.group.clone(), who.user.clone());
        let mut turn = self.turn(&mut waiting).await?;
        place.runs(true);
        let answer = match self.send(&way).await {
            // Nothing was sent: another server, or the same once more, costs nobody anything.
            Err(SendError::Unreachable(_)) => {
                self.spending.unsent();
                if let Ok(other) = upstreams.way(wish, Some(&way.upstream)) {
                    drop(turn);
                    way = other;
                    place.runs(false);
                    waiting = enter(&way)?;
                    turn = self.turn(&mut waiting).await?;
                    place.runs(true);
                }
                self.send(&way).await
            }
            sent => sent,
        };
        let answer = answer.map_err(|error| self.unsent(&error))?;
        let passed = self.pass_on(answer).await;
        drop(turn);
        passed
    }

    /// Waits for a slot; a stream is told where it stands.
    async fn turn(&mut self, waiting: &mut Waiting) -> Result<Turn, Refusal> {
        let patience = if self.asked.prepared.stream {
            WAIT_MAX_STREAM
        } else {
            WAIT_MAX
        };
        let give_up = Instant::now() + patience;
        loop {
            tokio::select! {
                biased;
                turn = waiting.turn() => {
                    self.spending.queued(turn.waited());
                    return Ok(turn);
                }
                () = sleep_until(give_up) => return Err(Refusal::WaitedTooLong),
                () = self.silence() => {}
            }
            let position = waiting.position();
            let eta = position.eta.as_secs();
            self.sign(&format!(
                ": queued position={} eta={eta}s\n\n",
                position.place
            ))
            .await;
        }
    }

    /// It is time to say something, to a client that can be told.
    fn silence(&self) -> impl Future<Output = ()> + use<> {
        if self.asked.prepared.stream {
            Either::Left(sleep_until(self.said + SIGN_EVERY))
        } else {
            Either::Right(std::future::pending())
        }
    }

    /// A comment of the stream, which no client takes for a part of the answer.
    async fn sign(&mut self, comment: &str) {
        self.begin_stream().await;
        self.say(Bytes::copy_from_slice(comment.as_bytes())).await;
    }

    async fn say(&mut self, bytes: Bytes) {
        self.voice.say(bytes).await;
        self.said = Instant::now();
    }

    async fn send(&mut self, way: &Way) -> Result<Response<Incoming>, SendError> {
        let prepared = &self.asked.prepared;
        let body = prepared.body(&way.model.id);
        let backend = Arc::clone(&way.upstream.backend);
        let path = prepared.endpoint.upstream_path();
        let sending = async move { backend.post(path, body).await };
        let mut sending = std::pin::pin!(sending);
        self.spending.sent();
        let give_up = Instant::now() + SILENCE_MAX;
        loop {
            tokio::select! {
                biased;
                answer = &mut sending => return answer,
                () = sleep_until(give_up) => {
                    return Err(SendError::Broken("no answer in time".to_owned()));
                }
                () = self.silence() => {}
            }
            self.sign(": working\n\n").await;
        }
    }

    fn unsent(&mut self, error: &SendError) -> Refusal {
        self.spending.refund();
        tracing::warn!(gateway.request = self.asked.id, %error, "a model server failed");
        match error {
            SendError::Unreachable(_) => Refusal::Unavailable,
            SendError::Broken(_) => Refusal::Upstream(UpstreamError::broke_off()),
        }
    }

    async fn pass_on(&mut self, answer: Response<Incoming>) -> Result<(), Refusal> {
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            self.spending.refund();
            let error = incoming::failure(head.status, body).await;
            return Err(Refusal::Upstream(error));
        }
        let prepared = &self.asked.prepared;
        if !prepared.endpoint.generates() {
            return self.pass_whole(body).await;
        }
        if !incoming::is_stream(&head.headers) {
            return self.pass_unstreamed(body).await;
        }
        if prepared.stream {
            self.spending.reading = Reading::Stream(Box::new(prepared.watch()));
        } else {
            let assembly = prepared.assembly(ANSWER_BYTES_MAX);
            self.spending.reading = Reading::Whole(Box::new(assembly));
        }
        self.pass_stream(body).await
    }

    /// A server that does not stream although it was asked to.
    async fn pass_unstreamed(&mut self, body: Incoming) -> Result<(), Refusal> {
        let prepared = &self.asked.prepared;
        if prepared.stream || prepared.endpoint == Endpoint::Messages {
            return Err(Refusal::Upstream(UpstreamError::unreadable()));
        }
        self.pass_whole(body).await
    }

    /// Embeddings and rankings are not streamed.
    async fn pass_whole(&mut self, body: Incoming) -> Result<(), Refusal> {
        let reading = Limited::new(body, ANSWER_BYTES_MAX).collect();
        let body = match timeout(SILENCE_MAX, reading).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) | Err(_) => return Err(Refusal::Upstream(UpstreamError::broke_off())),
        };
        let (body, report) = self.asked.prepared.answer(body);
        let failed = report.failed.clone();
        self.spending.reading = Reading::Told(Box::new(report));
        self.spending.progressed();
        if let Some(error) = failed {
            self.refund_if_refused();
            return Err(Refusal::Upstream(error));
        }
        self.tell(body).await;
        Ok(())
    }

    async fn pass_stream(&mut self, mut body: Incoming) -> Result<(), Refusal> {
        let mut is_last = false;
        while !is_last && !self.spending.reading.is_over() {
            let mut piece = self.piece(&mut body).await;
            let mut out = Bytes::new();
            // What is there already leaves in one piece.
            loop {
                is_last = piece == Piece::End;
                out = incoming::joined(out, self.spending.reading.take(&piece));
                if is_last || out.len() >= GATHERED_BYTES || self.spending.reading.is_over() {
                    break;
                }
                match incoming::at_hand(&mut body) {
                    Some(next) => piece = next,
                    None => break,
                }
            }
            self.spending.progressed();
            if let Some(error) = self.early_failure() {
                return Err(Refusal::Upstream(error));
            }
            if !out.is_empty() {
                self.begin_stream().await;
                self.say(out).await;
            }
        }
        self.finish().await
    }

    async fn piece(&mut self, body: &mut Incoming) -> Piece {
        let give_up = Instant::now() + SILENCE_MAX;
        loop {
            tokio::select! {
                biased;
                piece = incoming::next(body) => return piece,
                () = sleep_until(give_up) => return Piece::End,
                () = self.silence() => self.sign(": working\n\n").await,
            }
        }
    }

    /// Lemonade says 200 before it asks its model. As long as nothing was said, the status can still be
    /// the right one.
    fn early_failure(&mut self) -> Option<UpstreamError> {
        self.refund_if_refused();
        if self.voice.is_begun() {
            return None;
        }
        let report = self.spending.reading.report()?;
        report.failed.clone()
    }

    /// What the model refused before it wrote anything costs nothing, whatever the status said. One that
    /// failed may have worked.
    fn refund_if_refused(&mut self) {
        let report = self.spending.reading.report();
        let is_refused = report.is_some_and(|report| {
            let failed = report.failed.as_ref();
            report.deltas == 0 && failed.is_some_and(|error| error.kind != Fault::Failed)
        });
        if is_refused {
            self.spending.refund();
        }
    }

    async fn finish(&mut self) -> Result<(), Refusal> {
        if let Reading::Whole(assembly) = &mut self.spending.reading {
            let body = assembly.end().map_err(Refusal::Upstream)?;
            self.tell(body).await;
            return Ok(());
        }
        let report = self.spending.reading.report();
        if report.is_some_and(|report| report.failed.is_some()) {
            self.spending.failed();
        } else {
            self.spending.done(StatusCode::OK.as_u16());
        }
        Ok(())
    }

    async fn begin_stream(&mut self) {
        if !self.voice.is_begun() {
            let mut head = self.head();
            head.headers_mut().insert(CONTENT_TYPE, EVENT_STREAM);
            // nginx in front of us would otherwise hold the stream back.
            let off = HeaderValue::from_static("no");
            head.headers_mut().insert("x-accel-buffering", off);
            self.voice.begin(head).await;
        }
    }

    /// An answer in one piece.
    async fn tell(&mut self, body: Bytes) {
        let mut head = self.head();
        head.headers_mut().insert(CONTENT_TYPE, JSON);
        head.headers_mut().insert(CONTENT_LENGTH, body.len().into());
        self.spending.done(StatusCode::OK.as_u16());
        self.voice.begin(head).await;
        self.voice.say(body).await;
    }

    fn head(&self) -> Response<()> {
        let mut head = Response::new(());
        let headers = head.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers::identify(headers, &self.asked.id);
        headers::limits(headers, &self.asked.standings(&self.gateway));
        let waited = self.spending.waited();
        headers::timing(headers, waited, self.asked.started.elapsed());
        head
    }

    /// As a status, or as the last event of a stream that has begun.
    async fn refuse(&mut self, refusal: &Refusal) {
        self.spending.refused(refusal);
        let dialect = self.asked.prepared.endpoint.dialect();
        if !self.voice.is_begun() {
            let mut answer = refusal.answer(dialect);
            headers::identify(answer.headers_mut(), &self.asked.id);
            headers::limits(answer.headers_mut(), &self.asked.standings(&self.gateway));
            let (head, body) = answer.into_parts();
            self.voice.begin(Response::from_parts(head, ())).await;
            if let Ok(body) = body.collect().await {
                self.voice.say(body.to_bytes()).await;
            }
            return;
        }
        let words = refusal.words();
        let last = match &mut self.spending.reading {
            Reading::Stream(watch) => watch.fail(&words),
            _ => self.asked.prepared.watch().fail(&words),
        };
        self.voice.say(last).await;
    }
}
