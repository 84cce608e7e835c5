//! `Visit`: one admitted request to a sandbox, from the decision to the last byte.

use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::HttpPeer;

use super::access::{Entry, Kind};
use super::authority::Authority;
use super::settings::Settings;
use super::upgrade::UpgradeConnector;
use crate::edge::Connection;
use crate::routing::{LiveSession, OpenSocket, Place, Route, SessionInUse, Target};

/// Node closes a connection that was idle for 5 s; one that we do not use any more before it does is
/// never met half-closed by a request that cannot be repeated.
///
/// Requests of one such span share connections, and those of the next never find them: that costs no
/// timer a request. What is left over is closed by Node, or when the pool is full.
const POOLED_SPAN: Duration = Duration::from_secs(4);

/// An odd number without a pattern: no two keys of one target are alike, nor likely those of two.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

pub(super) struct Visit {
    pub(super) route: Arc<Route>,
    pub(super) target: Arc<Target>,
    pub(super) session: Option<Arc<LiveSession>>,
    pub(super) entry: Entry,
    pub(super) kind: Kind,
    pub(super) authority: Authority,
    /// What the editor sees of the path, with the query.
    pub(super) rest: String,
    /// Held as long as the request is with the editor.
    pub(super) _places: [Place; 2],
    /// Held from the editor's `101` to the end of the tunnel.
    pub(super) socket: Option<(OpenSocket, Option<SessionInUse>)>,
}

impl Visit {
    /// The connector keys its pool by address and group: a new container with an old one's address
    /// never gets the old one's connections, and an upgrade always gets a connection of its own.
    /// `age` is the proxy's.
    pub(super) fn peer(&self, settings: &Settings, age: Duration) -> HttpPeer {
        let patience = &settings.patience;
        let mut peer = HttpPeer::new(self.target.address, false, String::new());
        peer.group_key = self.group_key(age);
        let options = &mut peer.options;
        options.connection_timeout = Some(patience.connect);
        options.total_connection_timeout = Some(patience.connect);
        options.write_timeout = Some(settings.limits.stall_timeout);
        options.tcp_keepalive = Some(keepalive());
        match self.kind {
            Kind::Upgrade => {
                options.custom_l4 = Some(Arc::new(UpgradeConnector {
                    timeout: patience.connect,
                }));
                // A custom connector's socket has no descriptor that the pool could check.
                options.idle_timeout = Some(Duration::ZERO);
            }
            Kind::Navigation => options.read_timeout = Some(patience.page),
            Kind::Fetch => options.read_timeout = Some(patience.fetch),
        }
        peer
    }

    fn group_key(&self, age: Duration) -> u64 {
        let span = age.as_secs() / POOLED_SPAN.as_secs();
        let turn = 2 * span + u64::from(self.kind == Kind::Upgrade);
        self.target.key.wrapping_add(turn.wrapping_mul(SPREAD))
    }

    /// The editor said `101`: from now on the connection is a tunnel, which ends with the container
    /// or with the visitor's session.
    pub(super) fn tunnel(&mut self, connection: &Connection) {
        let session = self.session.as_ref().map(LiveSession::open);
        self.socket = Some((self.route.activity.open(), session));
        connection.upgraded();
        connection.end_with(&self.target.withdrawn);
        if let Some(session) = &self.session {
            connection.end_with(&session.revoked);
        }
    }

    pub(super) fn is_under_prefix(&self, path: &str) -> bool {
        path.strip_prefix(self.route.prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// A container that vanished with its network is noticed within half a minute.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive {
        idle: Duration::from_secs(15),
        interval: Duration::from_secs(5),
        count: 3,
        user_timeout: Duration::from_secs(30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fixture::visit;

    #[test]
    fn requests_share_connections_within_one_span_and_upgrades_never() {
        let mut visit = visit(Entry::Editor, "/");
        let key = |visit: &Visit, ms| visit.group_key(Duration::from_millis(ms));
        assert_eq!(key(&visit, 4_000), key(&visit, 7_999));
        assert_ne!(key(&visit, 3_999), key(&visit, 4_000));
        let fetch = key(&visit, 0);
        visit.kind = Kind::Upgrade;
        assert_ne!(key(&visit, 0), fetch);
    }
}
