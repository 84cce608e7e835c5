//! What a model's server answers, piece by piece.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::llm::UpstreamError;

/// What a server says about a failure.
const ERROR_BYTES_MAX: usize = 64 << 10;
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);

/// The next that comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    /// However it ended.
    End,
}

impl Piece {
    /// `None`: nothing that concerns anybody, such as trailers.
    fn of<E>(frame: Option<Result<Frame<Bytes>, E>>) -> Option<Self> {
        match frame {
            Some(Ok(frame)) => frame.into_data().ok().map(Self::Data),
            Some(Err(_)) | None => Some(Self::End),
        }
    }
}

pub(super) async fn next(body: &mut Incoming) -> Piece {
    loop {
        if let Some(piece) = Piece::of(body.frame().await) {
            return piece;
        }
    }
}

/// One that has come already.
pub(super) fn at_hand(body: &mut Incoming) -> Option<Piece> {
    loop {
        if let Some(piece) = Piece::of(body.frame().now_or_never()?) {
            return Some(piece);
        }
    }
}

pub(super) fn joined(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() {
        return second;
    }
    if second.is_empty() {
        return first;
    }
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(&first);
    both.extend_from_slice(&second);
    both.freeze()
}

pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

/// What an answer that is no 2xx means.
pub(super) async fn failure(status: StatusCode, body: Incoming) -> UpstreamError {
    let reading = Limited::new(body, ERROR_BYTES_MAX).collect();
    let body = match timeout(ERROR_TIMEOUT, reading).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    UpstreamError::read(status.as_u16(), &body)
}
