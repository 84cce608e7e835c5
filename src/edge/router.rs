//! Serving connections with hyper and an axum router: HTTP/1.1 with upgrades.
//!
//! No HTTP/2 here: its few clients need WebSockets more than streams, and what is not spoken cannot
//! be flooded.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::Shared;
use super::accept::Serve;
use super::connection::{Connection, InFlight};
use super::shield::shield;
use super::stall::Stalling;
use super::stream::EdgeStream;

/// On top of what the stream reads of one head, so that the stream's answer comes first.
const HYPER_BUFFER_SPARE: usize = 16 << 10;

pub(super) struct Routed {
    pub(super) shared: Arc<Shared>,
    pub(super) router: Router,
}

impl Serve for Routed {
    async fn serve(&self, stream: EdgeStream) {
        let stream = stream.with_kill(self.shared.kill.clone());
        let connection = stream.connection();
        let gone = stream.gone();
        if let Err(error) = self.converse(stream, &connection).await {
            tracing::debug!(listener.name = connection.listener, %error, "a connection ended");
        }
        until_gone(&connection, &gone).await;
    }
}

impl Routed {
    async fn converse(
        &self,
        stream: EdgeStream,
        connection: &Arc<Connection>,
    ) -> hyper::Result<()> {
        let answer = service_fn(|request| self.answer(Arc::clone(connection), request));
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .max_buf_size(2 * self.shared.limits.head_bytes_max + HYPER_BUFFER_SPARE)
            // The pace of the connection is what counts; hyper's own clock also runs while idle.
            .header_read_timeout(None::<Duration>)
            .serve_connection(TokioIo::new(stream), answer)
            .with_upgrades();
        tokio::pin!(serving);
        tokio::select! {
            biased;
            () = self.shared.drain.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
            served = serving.as_mut() => served,
        }
    }

    async fn answer(
        &self,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let in_flight = connection.begin();
        let limits = &self.shared.limits;
        let mut response = if target_len(request.uri()) > limits.uri_bytes_max {
            refused(StatusCode::URI_TOO_LONG, "The address is too long.\n")
        } else if head_len(&request) > limits.head_bytes_max {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            refused(status, "The request's headers are too large.\n")
        } else {
            let caller = connection.caller(request.headers());
            let mut request = request.map(|body| Stalling::new(body, limits.stall_timeout));
            request.extensions_mut().insert(caller.peer);
            request.extensions_mut().insert(caller.scheme);
            if let Some(host) = caller.host {
                request.headers_mut().insert(HOST, host);
            }
            let Ok(response) = self.router.clone().oneshot(request.map(Body::new)).await;
            response
        };
        shield(response.headers_mut());
        Ok(response.map(|body| Body::new(Counted { body, in_flight })))
    }
}

fn refused(status: StatusCode, sentence: &'static str) -> Response<Body> {
    let mut refused = Response::new(Body::from(sentence));
    *refused.status_mut() = status;
    refused
}

/// About what was on the wire: hyper does not say.
fn head_len<B>(request: &Request<B>) -> usize {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + ": \r\n".len()
    };
    target_len(request.uri()) + request.headers().iter().map(line).sum::<usize>()
}

fn target_len(uri: &http::Uri) -> usize {
    uri.path_and_query()
        .map_or(0, |target| target.as_str().len())
}

/// An upgraded connection outlives hyper's part; it counts, and can be cut, until its stream goes.
async fn until_gone(connection: &Connection, gone: &CancellationToken) {
    connection.upgraded();
    gone.cancelled().await;
}

/// A response's body; the request is over when it is.
struct Counted {
    body: Body,
    #[expect(dead_code, reason = "a guard: what counts is when it is dropped")]
    in_flight: InFlight,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
