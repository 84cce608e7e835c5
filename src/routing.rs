//! `Table`: the immutable snapshot that a request in flight reads, and the handle that swaps it.
//!
//! Everything in it is derived from the store and the runtime and can be rebuilt at any moment. Only
//! `control::publish` writes it.

pub mod activity;
pub mod build;
pub mod route;
pub mod session;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

pub use activity::{Activity, OpenSocket, Place};
pub use route::{Route, State, Target};
pub use session::{LiveSession, SessionInUse};

use crate::domain::id::UserRef;
use crate::domain::session::TokenHash;

/// Every route and every session, at one moment.
#[derive(Debug, Default)]
pub struct Table {
    routes: Arc<HashMap<String, Arc<Route>>>,
    sessions: Arc<HashMap<TokenHash, Arc<LiveSession>>>,
}

impl Table {
    pub fn new(
        routes: Arc<HashMap<String, Arc<Route>>>,
        sessions: Arc<HashMap<TokenHash, Arc<LiveSession>>>,
    ) -> Self {
        Self { routes, sessions }
    }

    /// `owner` is the raw text between `/w/` and the slash after the user's name: no decoding, no
    /// normalising, one exact look-up.
    pub fn route(&self, owner: &str) -> Option<&Arc<Route>> {
        self.routes.get(owner)
    }

    pub fn session(&self, token: &TokenHash) -> Option<&Arc<LiveSession>> {
        self.sessions.get(token)
    }

    pub fn routes(&self) -> &Arc<HashMap<String, Arc<Route>>> {
        &self.routes
    }

    pub fn sessions(&self) -> &Arc<HashMap<TokenHash, Arc<LiveSession>>> {
        &self.sessions
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
