//! `Connection`: what is known of one accepted connection, and what ends it.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::select_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::admission::Ticket;
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
    pub(super) pace: Pace,
    ends: Mutex<Vec<CancellationToken>>,
    ends_changed: Notify,
    _ticket: Ticket,
}

/// A request that has been read and not been answered to its end.
#[derive(Debug)]
pub struct InFlight(Arc<Connection>);

impl Connection {
    pub(super) fn new(
        peer: Peer,
        listener: &'static str,
        limits: &Limits,
        ticket: Ticket,
    ) -> Arc<Self> {
        Arc::new(Self {
            peer,
            listener,
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

    /// The connection is a tunnel from now on: no HTTP deadline applies any more.
    pub fn upgraded(&self) {
        self.pace.upgrade();
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
