//! The origin and the peers in front of it, all running at the same time.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use crate::nginx::{self, Site};
use crate::process::Process;
use crate::scale::Scale;
use crate::tls;

/// Where the sandbox is behind every peer.
pub(crate) const PREFIX: &str = "/w/red/alice";

/// What a ratio is to: pingora itself.
pub(crate) const BARE: &str = "bare pingora";

const NAMES: [&str; 4] = ["THON", BARE, "nginx", "nginx, keep-alive"];

pub(crate) struct Stage {
    pub(crate) peers: Vec<Peer>,
    pub(crate) origin: SocketAddr,
    pub(crate) tls: TlsConnector,
    /// Every peer gets the same requests.
    pub(crate) cookie: String,
    _origin: Process,
    pub(crate) directory: TempDir,
}

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    certificate: PathBuf,
}

impl Stage {
    pub(crate) async fn set(scale: &Scale) -> anyhow::Result<Self> {
        Self::with(|name| scale.wants(short(name))).await
    }

    /// One peer, fresh.
    pub(crate) async fn of(name: &str) -> anyhow::Result<Self> {
        Self::with(|other| other == name).await
    }

    async fn with(wanted: impl Fn(&str) -> bool) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("thon-bench-").tempdir()?;
        let at = directory.path();
        // THON gives up root, and still has to reach its own directories.
        open_to_all(at)?;
        let origin = Process::role(&["origin".as_ref()], &at.join("origin.log")).await?;
        let address: SocketAddr = origin.says.parse()?;
        let mut cookie = String::from("__Host-thon=nobody");
        let mut peers = Vec::new();
        for name in NAMES.into_iter().filter(|name| wanted(name)) {
            let (peer, says) = start(name, address, at).await?;
            if let Some((_, given)) = says.split_once(' ') {
                given.clone_into(&mut cookie);
            }
            peers.push(peer);
        }
        anyhow::ensure!(!peers.is_empty(), "no peer has that name");
        let files = peers.iter().map(|peer| peer.certificate.as_path());
        let tls = tls::connector(files)?;
        Ok(Self {
            peers,
            origin: address,
            tls,
            cookie,
            _origin: origin,
            directory,
        })
    }

    /// The peers, beginning with another one in every round.
    pub(crate) fn turns(&self, round: usize) -> impl Iterator<Item = (usize, &Peer)> {
        let first = round % self.peers.len();
        let all = self.peers.iter().enumerate();
        all.clone().skip(first).chain(all.take(first))
    }

    pub(crate) async fn end(self) -> anyhow::Result<()> {
        for peer in self.peers {
            peer.process.end().await?;
        }
        Ok(())
    }
}

pub(crate) fn names(scale: &Scale) -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().filter(|name| scale.wants(short(name)))
}

/// As `peer=` on the command line spells it.
fn short(name: &str) -> &str {
    match name {
        "THON" => "thon",
        BARE => "bare",
        "nginx" => "nginx",
        _ => "nginx-keep-alive",
    }
}

async fn start(
    name: &'static str,
    origin: SocketAddr,
    at: &Path,
) -> anyhow::Result<(Peer, String)> {
    let directory = at.join(short(name));
    std::fs::create_dir(&directory)?;
    open_to_all(&directory)?;
    tls::write_certificate(&directory)?;
    let mut certificate = directory.join(tls::CERTIFICATE);
    let site = match name {
        "nginx" => Some(Site::Original),
        "nginx, keep-alive" => Some(Site::KeepAlive),
        _ => None,
    };
    let (process, address, says) = if let Some(site) = site {
        let (process, address) = nginx::start(site, origin, &directory).await?;
        (process, address, String::new())
    } else {
        let (role, origin) = (short(name), origin.to_string());
        let arguments: [&OsStr; 3] = [role.as_ref(), origin.as_ref(), directory.as_ref()];
        let process = Process::role(&arguments, &directory.join("log")).await?;
        let says = process.says.clone();
        let address = says.split(' ').next().context("an address")?.parse()?;
        (process, address, says)
    };
    if name == "THON" {
        certificate = directory.join("state/ca/rootCA.crt");
    }
    let peer = Peer {
        name,
        address,
        process,
        certificate,
    };
    Ok((peer, says))
}

pub(crate) fn open_to_all(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))
}
