//! Calls an axum router in the task of the request: streaming both ways, no second HTTP parse, and
//! the handler is dropped when the client goes.
//!
//! Three traps of pingora's session, each met once in a prototype: after the last byte of a body
//! another read waits for the end of the connection instead of saying so (so ask `is_body_done`);
//! while a response ends, the client's next request may already arrive and must not be taken for
//! garbage (so stop at the known length, and let pingora keep pipelined bytes); and an error in the
//! middle of a response must cut the connection, or half a body looks like a whole one.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Version, response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Limited};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, OrErr as _, Result};
use tower::ServiceExt as _;

use super::access_log::Record;
use super::feed::{Feed, Pipe};
use crate::edge::{Caller, shield};

/// What concerns one hop only; the frame of a message is ours to make.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

pub(super) struct Bridge {
    /// Of the portal's pages. The gateway keeps a limit of its own, and says so in its own words.
    pub(super) body_bytes_max: usize,
    pub(super) stall_timeout: Duration,
    pub(super) hsts: Option<HeaderValue>,
}

/// How large a request's body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// As large as the bridge says.
    Bounded,
    /// The handler bounds it.
    Own,
}

impl Bridge {
    /// Answers the request with the router's response. An error means that the connection cannot be
    /// used any more, or that nothing was written.
    pub(super) async fn call(
        &self,
        session: &mut Session,
        (router, room): (&Router, Room),
        caller: Caller,
        record: &mut Record,
    ) -> Result<()> {
        let bytes_max = match room {
            Room::Bounded => self.body_bytes_max,
            Room::Own => usize::MAX,
        };
        let (request, mut feed) = self.request(session, caller, bytes_max)?;
        if declared_len(request.headers()).is_some_and(|len| len > bytes_max) {
            return Error::e_explain(ErrorType::HTTPStatus(413), "the body is too large");
        }
        let response = self.response(session, router, request, &mut feed).await;
        record.bytes_in = feed.bytes_read();
        let (head, body) = response?.into_parts();
        let head = self.head(session, head, &body)?;
        record.status = Some(head.status);
        let sent = send(session, head, body, &mut feed, record).await;
        record.bytes_in = feed.bytes_read();
        sent
    }

    fn request(
        &self,
        session: &mut Session,
        caller: Caller,
        bytes_max: usize,
    ) -> Result<(Request<Body>, Feed)> {
        let (feed, body) = if session.as_mut().is_body_empty() {
            (Feed::finished(self.stall_timeout), Body::empty())
        } else {
            let (feed, pipe): (Feed, Pipe) = Feed::new(self.stall_timeout);
            (feed, Body::new(Limited::new(pipe, bytes_max)))
        };
        let given = session.req_header();
        let mut request = Request::new(body);
        *request.method_mut() = given.method.clone();
        *request.uri_mut() = path_and_query(given)?;
        *request.version_mut() = given.version;
        *request.headers_mut() = given.headers.clone();
        for name in &HOP_BY_HOP {
            request.headers_mut().remove(name);
        }
        // HTTP/2 has an authority instead; handlers should not have to care.
        if let Some(authority) = given.uri.authority() {
            let host = HeaderValue::from_str(authority.as_str())
                .or_err(ErrorType::InvalidHTTPHeader, "an authority as a header")?;
            request.headers_mut().entry(HOST).or_insert(host);
        }
        if let Some(host) = caller.host {
            request.headers_mut().insert(HOST, host);
        }
        request.extensions_mut().insert(caller.peer);
        request.extensions_mut().insert(caller.scheme);
        Ok((request, feed))
    }

    async fn response(
        &self,
        session: &mut Session,
        router: &Router,
        request: Request<Body>,
        feed: &mut Feed,
    ) -> Result<Response<Body>> {
        let call = AssertUnwindSafe(router.clone().oneshot(request)).catch_unwind();
        let mut call = pin!(call);
        tokio::select! {
            biased;
            response = &mut call => match response {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(never)) => match never {},
                Err(_) => Error::e_explain(ErrorType::InternalError, "a handler panicked"),
            },
            gone = feed.run(session) => Err(gone),
        }
    }

    /// The response's head, framed for the client's version of HTTP.
    fn head(
        &self,
        session: &Session,
        mut parts: response::Parts,
        body: &Body,
    ) -> Result<ResponseHeader> {
        if parts.status.is_informational() {
            return Error::e_explain(ErrorType::InternalError, "a handler answered with 1xx");
        }
        for name in &HOP_BY_HOP {
            parts.headers.remove(name);
        }
        shield(&mut parts.headers);
        if let Some(hsts) = &self.hsts {
            parts
                .headers
                .insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        let mut head = ResponseHeader::build(parts.status, Some(parts.headers.len() + 3))?;
        for (name, value) in &parts.headers {
            head.append_header(name.clone(), value.clone())?;
        }
        frame(&mut head, session.req_header(), body)?;
        Ok(head)
    }
}

fn frame(
    head: &mut ResponseHeader,
    request: &pingora::http::RequestHeader,
    body: &Body,
) -> Result<()> {
    if head.status == StatusCode::NO_CONTENT {
        head.remove_header(&CONTENT_LENGTH);
        return Ok(());
    }
    if !may_have_body(head.status, &request.method) || head.headers.contains_key(CONTENT_LENGTH) {
        return Ok(());
    }
    if let Some(len) = body.size_hint().exact() {
        head.insert_header(CONTENT_LENGTH, len)?;
    } else if request.version == Version::HTTP_11 {
        head.insert_header(TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}

fn may_have_body(status: StatusCode, method: &Method) -> bool {
    *method != Method::HEAD && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

async fn send(
    session: &mut Session,
    head: ResponseHeader,
    mut body: Body,
    feed: &mut Feed,
    record: &mut Record,
) -> Result<()> {
    let has_body = may_have_body(head.status, &session.req_header().method);
    let mut left = if has_body {
        declared_len(&head.headers)
    } else {
        Some(0)
    };
    session
        .write_response_header(Box::new(head), left == Some(0))
        .await?;
    while left != Some(0) {
        let Some(bytes) = next_chunk(session, &mut body, feed).await? else {
            break;
        };
        record.bytes_out += bytes.len();
        if let Some(left) = &mut left {
            *left = left.checked_sub(bytes.len()).ok_or_else(|| {
                Error::explain(ErrorType::InternalError, "a body is longer than declared")
            })?;
        }
        session.write_response_body(Some(bytes), false).await?;
    }
    session.write_response_body(None, true).await
}

/// The handler's next bytes; meanwhile its request's body goes on and the client is watched.
async fn next_chunk(
    session: &mut Session,
    body: &mut Body,
    feed: &mut Feed,
) -> Result<Option<Bytes>> {
    loop {
        let frame = tokio::select! {
            biased;
            frame = AssertUnwindSafe(body.frame()).catch_unwind() => frame,
            gone = feed.run(session) => return Err(gone),
        };
        let Ok(frame) = frame else {
            return Error::e_explain(ErrorType::InternalError, "a body panicked");
        };
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|error| {
            Error::because(ErrorType::InternalError, "a handler's body failed", error)
        })?;
        // Trailers have no place in what browsers understand.
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
}

fn path_and_query(request: &pingora::http::RequestHeader) -> Result<http::Uri> {
    let Some(path) = request.uri.path_and_query() else {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "a request without a path");
    };
    Ok(http::Uri::from(path.clone()))
}

fn declared_len(headers: &http::HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
