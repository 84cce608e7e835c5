//! `Config`: the validated settings, one plain struct per part.

mod build;
pub mod env;
mod environment;
mod gateway;
mod groups;
mod key;
mod keys;
mod kind;
mod later;
mod note;
mod read;
pub mod reference;
mod rules;
mod settings;
mod show;
mod written;
mod yaml;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::domain::id::{GroupName, UserRef};
use crate::domain::instance::{Access, Resources, Sudo};
use crate::domain::network::Subnet;
use crate::domain::secret::Secret;
use crate::domain::workspace::WorkspaceMode;

pub use env::Vars;
pub use gateway::{Away, BackendAddress, Gateway, KeyMode, OfferedModel, Redis};
pub use later::{Auth, ChatModel, Client, Event, Kilo, Langfuse, Lemonade, LlamaCpp};
pub use note::{Note, Place, Problems};
pub use settings::Settings;
pub use show::Variable;

/// What the appliance was asked to be. Built by [`load`] only.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it was read from, if any.
    pub source: Option<PathBuf>,
    /// What was accepted and is not what its author may think.
    pub warnings: Vec<Note>,
    /// Nothing uses it yet.
    pub event: Event,
    pub log_level: LogLevel,
    pub demo: bool,
    pub external_ip: Option<IpAddr>,
    /// Records, certificates and keys: 0700.
    pub state_dir: PathBuf,
    /// The control socket and the process's number: 0700.
    pub runtime_dir: PathBuf,
    pub groups: Vec<ConfiguredGroup>,
    pub proxy: Proxy,
    pub dashboard: Dashboard,
    pub gateway: Gateway,
    pub sandbox: Sandbox,
    pub workspace: Workspace,
    /// Settings that every editor starts with. Nothing uses them yet.
    pub vscode_settings: Option<PathBuf>,
    /// The gateway knows where it is; nothing uses the rest yet, nor the three below.
    pub lemonade: Lemonade,
    pub kilo: Kilo,
    pub langfuse: Langfuse,
    pub auth: Auth,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredGroup {
    pub name: GroupName,
    pub title: Option<String>,
    pub users: Vec<ConfiguredUser>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredUser {
    pub name: UserRef,
    pub email: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    #[default]
    Info,
    Warning,
    Error,
}

/// The public and the plain listener.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub https_listen: SocketAddr,
    pub http_listen: SocketAddr,
    pub domain: Option<String>,
    pub certificates: Certificates,
    /// Whose `X-Forwarded-*` are believed: nobody's unless written.
    pub trusted_proxies: Vec<IpNet>,
    /// Whom Let's Encrypt writes to. Nothing uses it yet.
    pub certbot_email: Option<String>,
}

/// Where the listeners' certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Signed by the appliance's own authority.
    Own,
    /// Somebody else's, in PEM files that are read again when they change.
    Files { certificate: PathBuf, key: PathBuf },
    /// The public listener speaks plain HTTP: on loopback, or behind `trusted_proxies`.
    Off,
}

/// The admin listener.
#[derive(Clone, Debug)]
pub struct Dashboard {
    pub listen: SocketAddr,
    /// Who shows it gets the metrics.
    pub metrics_token: Option<Secret>,
}

/// What instances are made of.
#[derive(Clone, Debug)]
pub struct Sandbox {
    pub image: String,
    pub access: Access,
    pub sudo: Sudo,
    pub resources: Resources,
    pub subnet: Subnet,
    /// The bridge's name on the host, at most 15 bytes.
    pub bridge: String,
    /// Where Docker listens.
    pub docker_socket: PathBuf,
    /// How long an instance lives; 0 is for ever. Nothing uses it yet.
    pub timeout_minutes: u32,
}

#[derive(Clone, Debug)]
pub struct Workspace {
    pub mode: WorkspaceMode,
    /// The root of bind mounts.
    pub dir: Option<PathBuf>,
}

/// The image that this program carries the sources of.
pub const SANDBOX_IMAGE: &str = "thon-sandbox:latest";

/// Reads the settings: the file if there is one, then the environment over it.
///
/// `path` is what the caller asked for; without it the usual places are tried, and a machine with
/// no file at all gets the defaults.
pub fn load(path: Option<&Path>, vars: &dyn Vars) -> Result<Config, Problems> {
    Ok(Settings::load(path, vars)?.config())
}

impl Config {
    /// Everybody who is named in the file.
    pub fn users(&self) -> impl Iterator<Item = &ConfiguredUser> {
        self.groups.iter().flat_map(|group| &group.users)
    }

    pub fn control_socket(&self) -> PathBuf {
        self.runtime_dir.join("control.sock")
    }

    pub fn store_path(&self) -> PathBuf {
        self.state_dir.join("thon.redb")
    }
}

#[cfg(test)]
mod tests;
