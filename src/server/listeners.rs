//! Every listening socket: bound before anything is served, so that a taken port is found at once,
//! and listed with the address that it really has.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use parking_lot::Mutex;

use crate::api::Listener;
use crate::config::Config;
use crate::edge::{self, BindError, Bound};

/// The sockets of the start. The instances' bridge gets another one when it appears.
pub(super) struct Sockets {
    pub(super) public: Bound,
    pub(super) plain: Bound,
    pub(super) admin: Bound,
    pub(super) gateway: Bound,
    pub(super) control: Bound,
}

impl Sockets {
    pub(super) async fn bind(config: &Config) -> anyhow::Result<Self> {
        private_dir(&config.runtime_dir)?;
        // First of all: it tells whether another appliance runs with the same settings.
        let control = edge::bind_unix(&config.control_socket()).await;
        if matches!(control, Err(BindError::InUse(_))) {
            anyhow::bail!(
                "an appliance runs already with these settings: see `thon status` ({} is in use)",
                config.control_socket().display()
            );
        }
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

fn tcp(what: &str, key: &str, address: SocketAddr) -> anyhow::Result<Bound> {
    named(what, key, edge::bind(address))
}

fn named(what: &str, key: &str, bound: Result<Bound, BindError>) -> anyhow::Result<Bound> {
    bound.map_err(|error| {
        let hint = hint(&error, key);
        anyhow::Error::new(error).context(format!("{what} cannot start; {hint}"))
    })
}

/// What to do about it, for the line below the error.
fn hint(error: &BindError, key: &str) -> String {
    match error {
        BindError::InUse(_) => format!("stop the other program, or set `{key}` to another place"),
        BindError::Forbidden(_) => format!(
            "start as root, grant the right with `setcap cap_net_bind_service=+ep` on the program, or set `{key}` to a port above 1023"
        ),
        BindError::Absent(_) => format!("set `{key}` to an address of this machine, or to 0.0.0.0"),
        BindError::Other(..) => format!("see `{key}`"),
    }
}

/// Nobody else may even look into it: it holds the way to the admin API.
pub(super) fn private_dir(dir: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.and_then(|()| std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)))
        .with_context(|| format!("cannot make the directory {}", dir.display()))
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
