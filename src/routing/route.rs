//! One participant's route: whose it is, who may use it, and where it leads right now.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::domain::id::{InstanceId, UserRef};
use crate::domain::instance::{Access, Phase};
use crate::domain::secret::Secret;
use crate::routing::Activity;

#[derive(Debug)]
pub struct Route {
    pub owner: UserRef,
    /// `/w/{group}/{user}`, without the final slash: what is stripped before the editor.
    pub prefix: String,
    pub instance: InstanceId,
    pub access: Access,
    pub state: State,
    /// Survives every new table, as long as the instance does.
    pub activity: Arc<Activity>,
}

impl Route {
    /// `group/user`, as in every path of the sandbox.
    pub fn key(&self) -> &str {
        self.prefix.strip_prefix("/w/").unwrap_or_default()
    }
}

#[derive(Debug)]
pub enum State {
    /// The editor answers here.
    Serving(Arc<Target>),
    /// It does not; the words say why when there is something to say.
    Waiting {
        phase: Phase,
        reason: Option<String>,
    },
}

/// One generation of one container. A new container may get an old one's address; it never gets
/// its target.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub container: String,
    pub generation: u64,
    /// Of the connections to it, and to no other target: see [`Self::key_of`].
    pub key: u64,
    /// The value of code-server's session cookie, put on every request by the proxy.
    pub cookie: Secret,
    /// Cancelled when the container is gone: open sockets end then.
    pub withdrawn: CancellationToken,
}

impl Target {
    /// Hashed once and not for every request.
    pub fn key_of(container: &str, generation: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (container, generation).hash(&mut hasher);
        hasher.finish()
    }
}
