//! `Connection`: what is known of one accepted connection, and what ends it.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::select_all;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::admission::Ticket;
use super::caller::{Caller, Fronts, Scheme};
use super::limits::Limits;
use super::pace::Pace;

/// Tokens that one connection listens to. A browser that signs in and out all day on one HTTP/2
/// connection must not make it grow.
const ENDS_MAX: usize = 16;

/// Who is at the other end; `None` on a unix socket. Handlers get it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub Option<SocketAddr>);

/// Shared by the stream, the server and every request on it.
#[derive(Debug)]
pub struct Connection {
    pub peer: Peer,
    /// The listener's name, for logs.
    pub listener: &'static str,
    arrival: Arrival,
    spelled: Option<Spelled>,
    pub(super) pace: Pace,
    ends: Mutex<Vec<CancellationToken>>,
    ends_changed: Notify,
    _ticket: Ticket,
}

/// A peer's address as text, which every request of its connection needs.
#[derive(Debug)]
pub struct Spelled {
    pub address: HeaderValue,
    pub socket: Box<str>,
}

impl Spelled {
    fn of(peer: Peer) -> Option<Self> {
        let socket = peer.0?;
        Some(Self {
            address: HeaderValue::try_from(socket.ip().to_string()).ok()?,
            socket: socket.to_string().into(),
        })
    }
}

/// How somebody came.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) scheme: Scheme,
    /// There when the peer is one of them.
    pub(super) fronts: Option<Fronts>,
    /// The listener is on loopback, so the bytes have not left this machine.
    pub(super) is_local: bool,
}

/// A request's body that is being received, on a connection with several at a time.
#[derive(Debug)]
pub struct Receiving(Arc<Connection>);

/// A request that has been read and not been answered to its end.
#[derive(Debug)]
pub struct InFlight(Arc<Connection>);

impl Connection {
    pub(super) fn new(
        peer: Peer,
        listener: &'static str,
        arrival: Arrival,
        limits: &Limits,
        ticket: Ticket,
    ) -> Arc<Self> {
        Arc::new(Self {
            peer,
            listener,
            arrival,
            spelled: Spelled::of(peer),
            pace: Pace::new(limits),
            ends: Mutex::default(),
            ends_changed: Notify::new(),
            _ticket: ticket,
        })
    }

    /// A request's head has been read. Without this call the connection ends as one that drips.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.pace.request_began();
        InFlight(Arc::clone(self))
    }

    /// Who sent a request with these headers.
    pub fn caller(&self, headers: &HeaderMap) -> Caller {
        let Arrival { scheme, fronts, .. } = &self.arrival;
        match fronts {
            Some(fronts) => fronts.caller(self.peer, *scheme, headers),
            None => Caller {
                peer: self.peer,
                scheme: *scheme,
                host: None,
            },
        }
    }

    /// Of `peer`, unless somebody else is asking through it.
    pub fn spelled(&self, peer: Peer) -> Option<&Spelled> {
        self.spelled.as_ref().filter(|_| peer == self.peer)
    }

    /// Do the bytes cross a network as plain text, and no proxy of ours at the other end?
    pub fn is_exposed(&self) -> bool {
        let Arrival {
            scheme,
            fronts,
            is_local,
        } = &self.arrival;
        *scheme == Scheme::Http && fronts.is_none() && !is_local
    }

    /// A body that must make progress is on its way; HTTP/2 has no time limit of its own for it.
    pub fn receive(self: &Arc<Self>) -> Receiving {
        self.pace.body_began();
        Receiving(Arc::clone(self))
    }

    /// The connection is a tunnel from now on: no HTTP deadline applies any more.
    pub fn upgraded(&self) {
        self.pace.upgrade();
    }

    /// The request that begins is of this session, or of none. With HTTP/1 whatever the connection
    /// carried before is over: behind a proxy that was somebody else's, and its end is no reason.
    pub fn carries(&self, session: Option<&CancellationToken>) {
        if self.pace.is_multiplexed() {
            if let Some(session) = session {
                self.end_with(session);
            }
            return;
        }
        let mut ends = self.ends.lock();
        if ends.iter().eq(session) {
            return;
        }
        ends.clear();
        ends.extend(session.cloned());
        self.ends_changed.notify_one();
    }

    /// End the connection, with everything on it, when `token` is cancelled.
    pub fn end_with(&self, token: &CancellationToken) {
        let mut ends = self.ends.lock();
        if ends.contains(token) {
            return;
        }
        if ends.len() == ENDS_MAX {
            ends.remove(0);
        }
        ends.push(token.clone());
        self.ends_changed.notify_one();
    }

    /// Resolves when one of the tokens given to [`Self::end_with`] is cancelled.
    pub(super) async fn ended(&self) {
        loop {
            let ends = self.ends.lock().clone();
            tokio::select! {
                () = any_of(ends) => return,
                () = self.ends_changed.notified() => {}
            }
        }
    }
}

async fn any_of(tokens: Vec<CancellationToken>) {
    if tokens.is_empty() {
        return std::future::pending().await;
    }
    let waits = tokens
        .into_iter()
        .map(|token| Box::pin(token.cancelled_owned()));
    select_all(waits).await;
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.pace.request_ended();
    }
}

impl Receiving {
    pub fn progressed(&self) {
        self.0.pace.body_progressed();
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.pace.body_ended();
    }
}
