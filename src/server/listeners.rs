//! Every listening socket: bound before anything is served, so that a taken port is found at once,
//! and listed with the address that it really has.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use parking_lot::Mutex;

use crate::api::Listener;
use crate::config::Config;
use crate::edge::{self, BindError, Bound};
use crate::server::trouble::Trouble;
use crate::server::{catalogue as code, ground};

/// The sockets of the start. The instances' bridge gets another one when it appears.
pub(super) struct Sockets {
    pub(super) public: Bound,
    pub(super) plain: Bound,
    pub(super) admin: Bound,
    pub(super) gateway: Bound,
    pub(super) control: Bound,
}

/// Where they really are, also when the settings say 0.
#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) public: u16,
    pub(super) plain: u16,
    pub(super) admin: u16,
    pub(super) gateway: u16,
}

impl Sockets {
    pub(super) fn ports(&self) -> Ports {
        let port = |bound: &Bound| bound.local_addr().map_or(0, |address| address.port());
        Ports {
            public: port(&self.public),
            plain: port(&self.plain),
            admin: port(&self.admin),
            gateway: port(&self.gateway),
        }
    }

    pub(super) async fn bind(config: &Config) -> anyhow::Result<Self> {
        let control = edge::bind_unix(&config.control_socket()).await;
        Ok(Self {
            control: named("the control socket", "runtime_dir", control)?,
            public: tcp(
                "the public listener",
                "proxy.https_listen",
                config.proxy.https_listen,
            )?,
            plain: tcp(
                "the plain listener",
                "proxy.http_listen",
                config.proxy.http_listen,
            )?,
            admin: tcp(
                "the admin listener",
                "dashboard.port",
                config.dashboard.listen,
            )?,
            gateway: tcp(
                "the gateway listener",
                "gateway.listen",
                config.gateway.listen,
            )?,
        })
    }
}

/// Two that start in the same instant must not take each other's control socket for a dead one's. A
/// lock is let go when its process ends, however it ends.
pub(super) fn only_one(runtime_dir: &Path) -> anyhow::Result<Flock<File>> {
    ground::private_dir(runtime_dir, "runtime_dir")?;
    let path = runtime_dir.join("lock");
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(&path)
        .map_err(|error| ground::refused(&path, "runtime_dir", &error))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        Errno::EWOULDBLOCK => anyhow::Error::from(code::SECOND.says(format!(
            "an appliance runs already with these settings: {} is held",
            path.display()
        ))),
        other => anyhow::anyhow!("cannot lock {}: {other}", path.display()),
    })
}

fn tcp(what: &str, key: &str, address: SocketAddr) -> Result<Bound, Trouble> {
    named(what, key, edge::bind(address))
}

/// What kept a listener from starting, with the key that says where it is.
pub(super) fn named<T>(what: &str, key: &str, bound: Result<T, BindError>) -> Result<T, Trouble> {
    bound.map_err(|error| {
        let entry = match &error {
            BindError::InUse(_) => &code::PORT_TAKEN,
            BindError::Forbidden(_) => &code::PORT_FORBIDDEN,
            BindError::Absent(_) => &code::PORT_ABSENT,
            BindError::Other(..) => &code::PORT_FAILED,
        };
        entry.says(format!("{what} (`{key}`) cannot start: {error}"))
    })
}

/// The listeners as they are, for whoever asks.
#[derive(Clone, Default)]
pub(super) struct Register(Arc<Mutex<Vec<Listener>>>);

impl Register {
    pub(super) fn add(&self, name: &str, bound: &Bound, tls: bool) {
        if let Some(address) = bound.local_addr() {
            let mut listeners = self.0.lock();
            listeners.retain(|listener| listener.address != address);
            listeners.push(Listener {
                name: name.to_owned(),
                address,
                tls,
            });
        }
    }

    pub(super) fn list(&self) -> Vec<Listener> {
        self.0.lock().clone()
    }
}
