//! `Table`: the immutable snapshot that a request in flight reads, and the handle that swaps it.
//!
//! Everything in it is derived from the store and the runtime and can be rebuilt at any moment. Only
//! `control::publish` writes it.

pub mod activity;
pub mod admit;
pub mod build;
pub mod key;
pub mod route;
pub mod session;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::time::Instant;

pub use activity::{Activity, OpenSocket, Place};
pub use admit::{KeyRefusal, admit};
pub use key::LiveKey;
pub use route::{Route, State, Target};
pub use session::{LiveSession, SessionInUse};

use crate::domain::id::{KeyId, UserRef};
use crate::domain::session::TokenHash;

/// Every route, session and key, at one moment.
#[derive(Debug, Default)]
pub struct Table {
    routes: Arc<HashMap<String, Arc<Route>>>,
    sessions: Arc<HashMap<TokenHash, Arc<LiveSession>>>,
    keys: Arc<HashMap<KeyId, Arc<LiveKey>>>,
}

impl Table {
    pub fn new(
        routes: Arc<HashMap<String, Arc<Route>>>,
        sessions: Arc<HashMap<TokenHash, Arc<LiveSession>>>,
    ) -> Self {
        Self {
            routes,
            sessions,
            keys: Arc::default(),
        }
    }

    #[must_use]
    pub fn with_keys(self, keys: Arc<HashMap<KeyId, Arc<LiveKey>>>) -> Self {
        Self { keys, ..self }
    }

    /// `owner` is the raw text between `/w/` and the slash after the user's name: no decoding, no
    /// normalising, one exact look-up.
    pub fn route(&self, owner: &str) -> Option<&Arc<Route>> {
        self.routes.get(owner)
    }

    pub fn session(&self, token: &TokenHash) -> Option<&Arc<LiveSession>> {
        self.sessions.get(token)
    }

    /// A key that is in force. Whether a request may use it is for [`admit()`] to say.
    pub fn key(&self, id: &KeyId) -> Option<&Arc<LiveKey>> {
        self.keys.get(id)
    }

    /// Whose visit this is: the session of a token, if it lives. It counts as used.
    pub fn visit(&self, token: &TokenHash, now: Instant) -> Option<Arc<LiveSession>> {
        let session = self.session(token)?;
        if session.has_ended(now) {
            return None;
        }
        session.touch(now);
        Some(Arc::clone(session))
    }

    pub fn routes(&self) -> &Arc<HashMap<String, Arc<Route>>> {
        &self.routes
    }

    pub fn sessions(&self) -> &Arc<HashMap<TokenHash, Arc<LiveSession>>> {
        &self.sessions
    }

    pub fn keys(&self) -> &Arc<HashMap<KeyId, Arc<LiveKey>>> {
        &self.keys
    }

    pub fn route_of(&self, owner: &UserRef) -> Option<&Arc<Route>> {
        self.route(&owner.to_string())
    }
}

/// Shared by whoever reads the table and the one who publishes it.
#[derive(Clone, Debug, Default)]
pub struct TableHandle(Arc<ArcSwap<Table>>);

impl TableHandle {
    /// The table of this moment; a request keeps it from its first phase to its last.
    pub fn load(&self) -> Guard<Arc<Table>> {
        self.0.load()
    }

    pub fn load_full(&self) -> Arc<Table> {
        self.0.load_full()
    }

    pub fn publish(&self, table: Table) {
        self.0.store(Arc::new(table));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::session::IDLE_MAX;

    #[test]
    fn a_visit_keeps_a_session_alive_and_wakes_none_that_has_ended() {
        let met = Instant::now();
        let day = IDLE_MAX.unsigned_abs();
        let id = "0123456789abcdef".parse().unwrap();
        let user = "red/alice".parse().unwrap();
        let live = Arc::new(LiveSession::new(id, user, Duration::ZERO, met));
        let sessions = HashMap::from([([1; 32], live)]);
        let table = Table::new(Arc::default(), Arc::new(sessions));
        assert!(table.visit(&[2; 32], met).is_none());
        assert!(table.visit(&[1; 32], met + day).is_some());
        assert!(table.visit(&[1; 32], met + 2 * day).is_some());
        assert!(table.visit(&[1; 32], met + 4 * day).is_none());
        assert!(table.session(&[1; 32]).unwrap().has_ended(met + 4 * day));
    }
}
