//! Every listening socket: bound before anything is served, so that a taken port is found at once,
//! and listed with the address that it really has.

use std::fs::{DirBuilder, File};
use std::net::SocketAddr;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::geteuid;
use parking_lot::Mutex;

use crate::api::Listener;
use crate::config::Config;
use crate::edge::{self, BindError, Bound};
use crate::server::privileges;

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
    private_dir(runtime_dir)?;
    let path = runtime_dir.join("lock");
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        Errno::EWOULDBLOCK => anyhow::anyhow!(
            "an appliance runs already with these settings: see `thon status` ({} is held)",
            path.display()
        ),
        other => anyhow::anyhow!("cannot lock {}: {other}", path.display()),
    })
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

/// What tells that a directory is an appliance's.
const MARKS: [&str; 4] = ["ca", "control.sock", "thon.log", "thon.redb"];

/// What may be there before the first start.
const HARMLESS: [&str; 4] = ["lock", "lost+found", "run", "thon.yaml"];

/// Nobody else may even look into it: it holds the way to the admin API.
pub(super) fn private_dir(dir: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot make the directory {}", dir.display());
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(failed)?;
    let owners = [Some(0), privileges::user_id()?];
    if geteuid().is_root() {
        let meta = std::fs::symlink_metadata(dir).with_context(failed)?;
        anyhow::ensure!(
            meta.is_dir() && owners.contains(&Some(meta.uid())),
            "{} is a symbolic link or belongs to another user, who could change it under us: name a directory of root's in the settings, or `chown root` it",
            dir.display()
        );
    }
    anyhow::ensure!(
        !is_somebody_else_s(dir).with_context(failed)?,
        "{} holds other things than THON's, and would be closed to everybody else: name a directory of its own in the settings",
        dir.display()
    );
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).with_context(failed)
}

/// `/var/lib` for `/var/lib/thon` is easily written.
fn is_somebody_else_s(dir: &Path) -> std::io::Result<bool> {
    if MARKS
        .iter()
        .any(|mark| dir.join(mark).symlink_metadata().is_ok())
    {
        return Ok(false);
    }
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        if !HARMLESS.iter().any(|harmless| name == *harmless) {
            return Ok(true);
        }
    }
    Ok(false)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(dir: &Path) -> u32 {
        std::fs::metadata(dir).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_directory_with_other_things_in_it_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let shared = dir.path().join("shared");
        std::fs::create_dir(&shared).unwrap();
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(shared.join("thon.yaml"), "").unwrap();
        std::fs::write(shared.join("letter"), "").unwrap();
        let refused = private_dir(&shared).unwrap_err().to_string();
        assert!(refused.contains("other things"), "{refused}");
        assert_eq!(mode(&shared), 0o755);
        std::fs::write(shared.join("thon.redb"), "").unwrap();
        private_dir(&shared).unwrap();
        assert_eq!(mode(&shared), 0o700);
        private_dir(&dir.path().join("new/one")).unwrap();
        assert_eq!(mode(&dir.path().join("new/one")), 0o700);
    }

    #[test]
    fn root_takes_no_directory_of_somebody_else_s_and_follows_no_link() {
        if !geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (theirs, link) = (dir.path().join("theirs"), dir.path().join("link"));
        std::fs::create_dir(&theirs).unwrap();
        std::os::unix::fs::symlink(&theirs, &link).unwrap();
        let before = mode(&theirs);
        assert!(private_dir(&link).is_err());
        assert_eq!(mode(&theirs), before);
        std::os::unix::fs::chown(&theirs, Some(4_001), None).unwrap();
        assert!(private_dir(&theirs).is_err());
    }
}
