//! One line a request, when it is over however it ends.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, StatusCode};
use pingora::{Error, ErrorSource};
use tokio::time::Instant;

use super::visit::Visit;
use crate::edge::{Connection, Peer, Spelled};
use crate::routing::{LiveSession, Route};

/// What stands behind this word of a path may be an invite's code, which is a secret. The rest of a
/// path is not; its query may be.
const INVITED: &[u8] = b"join";

/// Characters of a path that are logged: nobody shall fill the disk with long ones.
const PATH_CHARS_MAX: usize = 512;

/// A method may be any word of any length.
const METHOD_BYTES_MAX: usize = 32;

/// Filled in on the way. It is written when it is dropped: pingora's `logging` phase does not run when
/// a connection is cut.
pub(super) struct Record {
    pub(super) started: Instant,
    /// There when there was a request.
    connection: Option<Arc<Connection>>,
    peer: Peer,
    pub(super) method: Method,
    path: String,
    pub(super) status: Option<StatusCode>,
    pub(super) visit: Option<Box<Visit>>,
    /// Of a request that is no visit.
    pub(super) route: Option<Arc<Route>>,
    pub(super) session: Option<Arc<LiveSession>>,
    pub(super) bytes_in: usize,
    pub(super) bytes_out: usize,
    error: Option<Arc<str>>,
    is_over: bool,
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            connection: None,
            peer: Peer(None),
            method: Method::GET,
            path: String::new(),
            status: None,
            visit: None,
            route: None,
            session: None,
            bytes_in: 0,
            bytes_out: 0,
            error: None,
            is_over: false,
        }
    }

    pub(super) fn came_by(&mut self, connection: &Arc<Connection>, peer: Peer) {
        self.connection = Some(Arc::clone(connection));
        self.peer = peer;
    }

    /// `target` is path and query.
    pub(super) fn asks_for(&mut self, method: &Method, target: &str) {
        self.method = method.clone();
        self.path = shown(target).into_owned();
    }

    /// The request came to its end by itself, with or without an error.
    pub(super) fn over(&mut self, error: Option<&Error>) {
        self.is_over = true;
        self.error = error.map(|error| {
            let source = match error.esource() {
                ErrorSource::Upstream => "upstream",
                ErrorSource::Downstream => "client",
                ErrorSource::Internal | ErrorSource::Unset => "proxy",
            };
            Arc::from(format!("{source}: {}", error.etype().as_str()))
        });
    }

    fn route(&self) -> Option<&Route> {
        let visit = self.visit.as_ref().map(|visit| &visit.route);
        visit.or(self.route.as_ref()).map(AsRef::as_ref)
    }

    fn session(&self) -> Option<&LiveSession> {
        let visit = self.visit.as_ref();
        let session = visit.map_or(&self.session, |visit| &visit.session);
        session.as_deref()
    }

    fn outcome(&self) -> &str {
        match &self.error {
            Some(error) => error,
            None if self.is_over => "done",
            None => "cut",
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // A connection that never sent a request is not one.
        let Some(connection) = &self.connection else {
            return;
        };
        let peer = match connection.spelled(self.peer) {
            Some(spelled) => Some(Shown::Known(spelled)),
            None => self.peer.0.map(Shown::Told),
        };
        tracing::event!(
            target: "thon::access",
            tracing::Level::INFO,
            listener.name = connection.listener,
            peer.addr = peer.map(tracing::field::display),
            http.method = beginning(self.method.as_str()),
            http.path = %self.path,
            http.status = self.status.map(|status| status.as_u16()),
            route.owner = self.route().map(|route| tracing::field::display(route.key())),
            session.id = self.session().map(|session| tracing::field::display(session.id.as_str())),
            bytes.received = self.bytes_in,
            bytes.sent = self.bytes_out,
            duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            outcome = self.outcome(),
            "request"
        );
    }
}

enum Shown<'a> {
    Known(&'a Spelled),
    /// By a proxy in front, perhaps without a port.
    Told(SocketAddr),
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(spelled) => f.write_str(&spelled.socket),
            Self::Told(socket) if socket.port() == 0 => socket.ip().fmt(f),
            Self::Told(socket) => socket.fmt(f),
        }
    }
}

fn beginning(method: &str) -> &str {
    method.get(..METHOD_BYTES_MAX).unwrap_or(method)
}

fn shown(target: &str) -> Cow<'_, str> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if let Some(public) = before_code(path) {
        return Cow::Owned(format!("{}/***", plain(public)));
    }
    let plain = plain(path);
    if plain.len() <= PATH_CHARS_MAX {
        return plain;
    }
    match plain.char_indices().nth(PATH_CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", plain.get(..end).unwrap_or_default())),
        None => plain,
    }
}

/// Links are mangled on their way: in capitals, with two slashes or encoded ones, below another path.
/// They lead nowhere then, and the code in them is good all the same.
fn before_code(path: &str) -> Option<&str> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let mut words = path.as_bytes().windows(INVITED.len() + 1);
    let at = words.position(|word| {
        word.split_last()
            .is_some_and(|(end, word)| word.eq_ignore_ascii_case(INVITED) && !is_word(end))
    })?;
    path.get(..at + INVITED.len())
}

/// What is no printable ASCII could steer a terminal or look like another line.
fn plain(path: &str) -> Cow<'_, str> {
    if path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Cow::Borrowed(path);
    }
    let shown = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    path.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_invite_code_and_no_query_is_ever_logged() {
        assert_eq!(shown("/join/abcdef?x=1"), "/join/***");
        assert_eq!(shown("/join/"), "/join/***");
        for mangled in [
            "//join/c0de",
            "/./join/c0de",
            "/JOIN/c0de",
            "/join%2Fc0de",
            "/join;x/c0de",
            "/%20join/c0de",
            "/join\\c0de",
            "/w/join/c0de",
            "/join\u{e9}c0de",
        ] {
            assert!(!shown(mangled).contains("c0de"), "{mangled}");
        }
        assert_eq!(shown("/w/red/alice/join.js"), "/w/red/alice/join.js");
        assert_eq!(shown("/w/red/alice/rejoin"), "/w/red/alice/rejoin");
        assert_eq!(shown("/w/red/alice/?token=secret"), "/w/red/alice/");
    }

    #[test]
    fn a_path_writes_one_line_and_no_control_characters() {
        assert_eq!(shown("/a\r\nb\u{1b}[2J\u{202e}\u{85}c"), "/a??b?[2J??c");
    }

    #[test]
    fn a_client_behind_a_proxy_is_shown_without_a_port() {
        let shown = |text: &str| Shown::Told(text.parse().unwrap()).to_string();
        assert_eq!(shown("192.0.2.1:0"), "192.0.2.1");
        assert_eq!(shown("[2001:db8::1]:0"), "2001:db8::1");
        assert_eq!(shown("192.0.2.1:4711"), "192.0.2.1:4711");
    }

    #[test]
    fn a_long_path_is_logged_by_its_beginning() {
        let long = format!("/{}", "\u{e9}".repeat(16 << 10));
        assert_eq!(shown(&long).chars().count(), PATH_CHARS_MAX + 1);
    }
}
