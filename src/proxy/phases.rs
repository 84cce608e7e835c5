//! Pingora's phases, a few lines each.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use std::sync::Arc;
use tokio::time::{Duration, Instant};

use super::access::Kind;
use super::access_log::Record;
use super::bridge::Room;
use super::page::{Reader, answer};
use super::refusal::Refusal;
use super::visit::Visit;
use super::{Public, Way, response, sandbox, self_test};
use crate::edge::{Caller, Connection, InFlight, Peer, Receiving, Scheme, connection_of};

/// An open editor keeps its session alive; once a minute is often enough.
const TOUCH_INTERVAL: Duration = Duration::from_mins(1);

/// For pingora: without a time limit of its own, which would be another timer for each request. The
/// connection has one that ends it when it is idle or drips.
const KEPT_BY_PACE: u64 = 0;

/// Until the connection is known.
const NOBODY: Caller = Caller {
    peer: Peer(None),
    scheme: Scheme::Http,
    host: None,
};

/// What is carried from phase to phase. Accounts for itself when it is dropped.
pub struct Context {
    pub(super) record: Record,
    pub(super) reader: Reader,
    connection: Option<Arc<Connection>>,
    pub(super) caller: Caller,
    in_flight: Option<InFlight>,
    receiving: Option<Receiving>,
    touched: Instant,
}

impl Context {
    fn new() -> Self {
        let record = Record::new();
        Self {
            touched: record.started,
            record,
            reader: Reader::default(),
            connection: None,
            caller: NOBODY,
            in_flight: None,
            receiving: None,
        }
    }

    fn begin(&mut self, connection: &Arc<Connection>, headers: &HeaderMap) {
        self.in_flight = Some(connection.begin());
        self.caller = connection.caller(headers);
        self.record.came_by(connection, self.caller.peer);
        self.connection = Some(Arc::clone(connection));
    }

    /// Would what is answered here cross a network as plain text?
    pub(super) fn is_exposed(&self) -> bool {
        self.connection
            .as_ref()
            .is_none_or(|connection| connection.is_exposed())
    }

    /// The visitor's address.
    fn client(&self) -> Option<HeaderValue> {
        let peer = self.caller.peer;
        let spelled = self.connection.as_ref()?.spelled(peer);
        match spelled {
            Some(spelled) => Some(spelled.address.clone()),
            None => HeaderValue::try_from(peer.0?.ip().to_string()).ok(),
        }
    }

    fn visit(&self) -> Result<&Visit> {
        self.record
            .visit
            .as_deref()
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "no sandbox to go to"))
    }

    /// Frames of an open editor.
    fn touch_session(&mut self) {
        let visit = self.record.visit.as_ref();
        let session = visit.and_then(|visit| visit.session.as_ref());
        if let Some(session) = session
            && self.touched.elapsed() > TOUCH_INTERVAL
        {
            self.touched = Instant::now();
            session.touch(self.touched);
        }
    }
}

#[async_trait]
impl ProxyHttp for Public {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new()
    }

    /// Responses are compressed by whoever makes them.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> Result<()> {
        if let Some(connection) = connection_of(session.as_downstream()) {
            let headers = &session.as_downstream().req_header().headers;
            context.begin(connection, headers);
        }
        let limits = &self.settings.limits;
        // Never turns keep-alive on where pingora turned it off: it did so for a reason, such as a
        // request with two lengths.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(KEPT_BY_PACE));
        }
        session.set_write_timeout(Some(limits.stall_timeout));
        session.set_read_timeout(Some(limits.stall_timeout));
        session.set_total_drain_timeout(Some(limits.leftover_timeout));
        // After an upgrade the bytes that follow are the tunnel's, not another request's.
        let is_upgrade = session.is_upgrade_req();
        session.set_pipelining_enabled(!is_upgrade);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        let router = match self.way(session, context) {
            Ok(Way::Sandbox(visit)) => {
                admit(session, context, visit);
                return Ok(false);
            }
            Ok(Way::Portal) if self_test::is_asked(session) => {
                Box::pin(self.test(session, context)).await?;
                return Ok(true);
            }
            Ok(Way::Portal) => (&self.portal, Room::Bounded),
            Ok(Way::Gateway) => (&self.gateway, Room::Own),
            Err(refusal) => {
                Box::pin(self.refuse(session, context, &refusal)).await?;
                return Ok(true);
            }
        };
        if let Some(connection) = &context.connection {
            connection.carries(None);
        }
        let caller = context.caller.clone();
        let record = &mut context.record;
        let call = self.bridge.call(session, router, caller, record);
        // Its room would be taken for every request to a sandbox as well.
        Box::pin(call).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, context: &mut Context) -> Result<Box<HttpPeer>> {
        let age = context.record.started.saturating_duration_since(self.began);
        Ok(Box::new(context.visit()?.peer(&self.settings, age)))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> Result<()> {
        sandbox::prepare(request, context.visit()?, context.client())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut Context,
    ) -> Result<()> {
        context.record.bytes_in += body.as_ref().map_or(0, Bytes::len);
        if let Some(receiving) = &context.receiving {
            receiving.progressed();
        }
        if end_of_stream {
            context.receiving = None;
        }
        if session.was_upgraded() {
            context.touch_session();
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        context.record.status = Some(response.status);
        if session.is_process_shutting_down() {
            session.set_keepalive(None);
        }
        let Some(visit) = context.record.visit.as_deref_mut() else {
            return Ok(());
        };
        let is_switch = response.status == StatusCode::SWITCHING_PROTOCOLS;
        if is_switch && visit.kind != Kind::Upgrade {
            return unasked_switch();
        }
        response::confine(response, visit, self.bridge.hsts.as_ref())?;
        if is_switch && let Some(connection) = &context.connection {
            visit.tunnel(connection);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        context: &mut Context,
    ) -> Result<Option<Duration>> {
        context.record.bytes_out += body.as_ref().map_or(0, Bytes::len);
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Context,
    ) -> FailToProxy {
        let refusal = Refusal::of(error);
        let is_answered = session
            .response_written()
            .is_some_and(|head| !head.status.is_informational() || head.status == 101);
        let mut error_code = 0;
        if let Some(refusal) = refusal.filter(|_| !is_answered) {
            error_code = refusal.status().as_u16();
            session.set_keepalive(None);
            if let Err(error) = self.refuse(session, context, &refusal).await {
                tracing::debug!(%error, "the client left before its answer");
            }
        }
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    /// The access line says what happened.
    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        true
    }

    async fn logging(&self, _: &mut Session, error: Option<&Error>, context: &mut Context) {
        context.record.over(error);
    }
}

impl Public {
    async fn test(&self, session: &mut Session, context: &mut Context) -> Result<()> {
        match self.self_test.admit(session, &context.caller) {
            Ok(turn) => {
                context.record.status = Some(StatusCode::SWITCHING_PROTOCOLS);
                self_test::converse(session, &turn).await
            }
            Err(refusal) => self.refuse(session, context, &refusal).await,
        }
    }

    async fn refuse(
        &self,
        session: &mut Session,
        context: &mut Context,
        refusal: &Refusal,
    ) -> Result<()> {
        context.record.status = Some(refusal.status());
        if *refusal == Refusal::Malformed {
            // Somebody in front may have another idea of where it ends.
            session.set_keepalive(None);
        }
        let hsts = self.bridge.hsts.as_ref();
        context.record.bytes_out = answer(session, refusal, context.reader, hsts).await?;
        Ok(())
    }
}

/// After a `101` every byte passes as it is: to a request that asked for no tunnel a sandbox could
/// write whole responses of its own, with headers that nobody has confined.
fn unasked_switch() -> Result<()> {
    let mut error = Error::explain(ErrorType::InvalidHTTPHeader, "a 101 that nobody asked for");
    error.as_up();
    Err(error)
}

fn admit(session: &mut Session, context: &mut Context, visit: Box<Visit>) {
    if visit.kind == Kind::Upgrade {
        // A tunnel may be silent for hours; TCP keepalive finds out whether anybody is there.
        session.set_read_timeout(None);
    }
    if let Some(connection) = &context.connection {
        let signed_in = visit.session.as_ref();
        connection.carries(signed_in.map(|signed_in| &signed_in.revoked));
        // HTTP/1 has a time limit for each read.
        if session.as_http1().is_none() && !session.as_mut().is_body_empty() {
            context.receiving = Some(connection.receive());
        }
    }
    sandbox::forget_capitals(session.req_header_mut());
    context.record.visit = Some(visit);
}
