//! `Feed`: the request's body for a handler that runs in the same task, read only as it asks for it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use pingora::proxy::Session;
use pingora::{BError, Error, ErrorType, Result};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The handler's end: asks for one chunk at a time.
pub(super) struct Pipe {
    wishes: mpsc::Sender<()>,
    chunks: mpsc::Receiver<Result<Bytes, Broken>>,
    has_asked: bool,
}

/// The client broke off in the middle of its body.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client did not finish its request")]
pub(super) struct Broken;

/// The client's end.
pub(super) struct Feed {
    wishes: mpsc::Receiver<()>,
    /// `None` once the whole body has been read.
    chunks: Option<mpsc::Sender<Result<Bytes, Broken>>>,
    /// The handler waits for a chunk.
    is_wanted: bool,
    patience: Duration,
    bytes_read: usize,
}

impl Feed {
    pub(super) fn new(patience: Duration) -> (Self, Pipe) {
        let (wish, wishes) = mpsc::channel(1);
        let (chunk, chunks) = mpsc::channel(1);
        let feed = Self {
            wishes,
            chunks: Some(chunk),
            is_wanted: false,
            patience,
            bytes_read: 0,
        };
        let pipe = Pipe {
            wishes: wish,
            chunks,
            has_asked: false,
        };
        (feed, pipe)
    }

    /// For a request without a body.
    pub(super) fn finished(patience: Duration) -> Self {
        let (mut feed, _) = Self::new(patience);
        feed.chunks = None;
        feed
    }

    pub(super) fn bytes_read(&self) -> usize {
        self.bytes_read
    }

    /// Feeds the handler and watches the client; returns only when the client has gone. May be
    /// dropped and called again at any moment.
    pub(super) async fn run(&mut self, session: &mut Session) -> BError {
        loop {
            let step = if self.chunks.is_none() {
                gone(session.as_mut().read_body_or_idle(true).await)
            } else if self.is_wanted {
                self.feed(session).await
            } else {
                self.listen(session).await
            };
            if let Err(error) = step {
                return error;
            }
        }
    }

    /// Waits until the handler wants a chunk. The body in front keeps HTTP/1 from noticing that the
    /// client goes; HTTP/2 can say so.
    async fn listen(&mut self, session: &mut Session) -> Result<()> {
        let closed = async {
            match session.as_mut().watch_h2_stream_close() {
                Some(close) => gone(close.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            wish = self.wishes.recv() => match wish {
                Some(()) => {
                    self.is_wanted = true;
                    Ok(())
                }
                // Nobody will read the rest.
                None => std::future::pending().await,
            },
            gone = closed => gone,
        }
    }

    async fn feed(&mut self, session: &mut Session) -> Result<()> {
        if self.bytes_read == 0 {
            self.invite(session).await?;
        }
        let read = session.as_mut().read_body_or_idle(false);
        let chunk = match timeout(self.patience, read).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => return self.fail(error),
            Err(_) => return self.fail(Error::new(ErrorType::ReadTimedout)),
        };
        self.is_wanted = false;
        let is_done = chunk.is_none() || session.as_mut().is_body_done();
        if let (Some(chunk), Some(chunks)) = (chunk, &self.chunks) {
            self.bytes_read += chunk.len();
            // One chunk was asked for, so there is room; a handler that went away wants none.
            chunks.try_send(Ok(chunk)).ok();
        }
        if is_done {
            self.chunks = None;
        }
        Ok(())
    }

    /// The client may hold its body back until it knows that somebody wants it.
    async fn invite(&self, session: &mut Session) -> Result<()> {
        let expects = session
            .req_header()
            .headers
            .get(http::header::EXPECT)
            .is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        if expects && session.as_http1().is_some() && session.response_written().is_none() {
            session.as_mut().write_continue_response().await?;
        }
        Ok(())
    }

    fn fail(&mut self, mut error: BError) -> Result<()> {
        error.as_down();
        if let Some(chunks) = self.chunks.take() {
            chunks.try_send(Err(Broken)).ok();
        }
        Err(error)
    }
}

fn gone<T>(outcome: Result<T>) -> Result<()> {
    let mut error = match outcome {
        Ok(_) => Error::explain(ErrorType::ConnectionClosed, "the client has gone"),
        Err(error) => Error::because(ErrorType::ConnectionClosed, "the client has gone", error),
    };
    error.as_down();
    Err(error)
}

impl http_body::Body for Pipe {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if !self.has_asked {
            // There is room: the previous wish has been taken before its chunk came.
            self.has_asked = self.wishes.try_send(()).is_ok();
        }
        let chunk = ready!(self.chunks.poll_recv(cx));
        self.has_asked = false;
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
