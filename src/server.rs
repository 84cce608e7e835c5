//! The composition root: `Config` to running services.

mod bridge;
mod catalogue;
mod certificates;
mod clock;
mod ground;
mod listeners;
mod offline;
mod privileges;
mod records;
mod shutdown;
mod supervisor;
mod trouble;

use std::fs::File;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use nix::fcntl::Flock;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use catalogue::CATALOGUE;
pub use offline::{
    Diagnosis, Finding, Installed, Lives, Report, Start, Step, Up, doctor, install, uninstall, up,
};
pub use trouble::{Entry, Severity, Trouble};

use crate::admin::{self, AdminState, Facts};
use crate::api::{CaView, Listener};
use crate::auth::token;
use crate::config::{Config, LogLevel};
use crate::control::{self, Control, Reconciler};
use crate::domain::network::Subnet;
use crate::domain::workspace::WorkspaceMode;
use crate::edge::{Door, Edge, Limits, PeerFilter};
use crate::host::interfaces;
use crate::portal::{self, Ca, Portal};
use crate::routing::TableHandle;
use crate::runtime::Runtime;
use crate::runtime::docker::{self, Docker};
use crate::store::Identity;
use crate::{gateway, proxy, telemetry, tls};

use bridge::BridgeListener;
use certificates::Issuer;
use listeners::{Register, Sockets, only_one};

/// The appliance, until it is told to end.
pub fn run(config: &Config, log: telemetry::Destination) -> anyhow::Result<()> {
    telemetry::start(level(config.log_level), log);
    workers()?.block_on(async {
        let appliance = match Appliance::start(config).await {
            Ok(appliance) => appliance,
            Err(error) => {
                supervisor::failed(&format!("{error:#}"));
                return Err(error);
            }
        };
        supervisor::ready(&format!("serving {}", appliance.public_url()));
        let signal = shutdown::requested().await?;
        tracing::info!(signal, "stopping");
        supervisor::stopping();
        appliance.stop().await;
        Ok(())
    })
}

fn workers() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("thon")
        .build()
        .context("the worker threads cannot be started")
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warn",
        LogLevel::Error => "error",
    }
}

/// Everything that runs.
pub struct Appliance {
    edge: Arc<Edge>,
    control: Arc<Control>,
    listeners: Register,
    public: Advertised,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    /// Keeps a second one with the same settings out.
    _lock: Flock<File>,
}

impl Appliance {
    /// On the local Docker. Returns when every listener accepts; instances are looked after from
    /// then on, whether Docker answers or not.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        Self::start_with(config, |identity| {
            let appliance = identity.appliance.clone();
            let sandbox = &config.sandbox;
            Arc::new(Docker::connect(docker::Settings {
                socket: sandbox.docker_socket.clone(),
                ..docker::Settings::new(appliance, sandbox.subnet, &sandbox.bridge)
            }))
        })
        .await
    }

    /// On another runtime, such as the one in memory.
    pub async fn start_with(
        config: &Config,
        runtime: impl FnOnce(&Identity) -> Arc<dyn Runtime>,
    ) -> anyhow::Result<Self> {
        tls::install_provider();
        raise_descriptor_limit();
        let lock = only_one(&config.runtime_dir)?;
        let sockets = Sockets::bind(config).await?;
        ground::private_dir(&config.state_dir, "state_dir")?;
        if config.workspace.mode == WorkspaceMode::Bind {
            tracing::warn!(
                "root is kept: workspace.mode `bind` has to give directories to participants"
            );
        } else {
            let ours = [config.state_dir.as_path(), config.runtime_dir.as_path()];
            privileges::drop_root(&ours, &config.sandbox.docker_socket)?;
        }
        ground::check(config)?;
        // Both are looked at before either is written.
        records::look(config)?;
        let issuer = Issuer::open(config, Timestamp::now()).map_err(ground::authority_trouble)?;
        let issuer = Arc::new(issuer);
        let store = records::open(config, new_identity)?;
        clock::tell(config, &store, Timestamp::now());
        let runtime = runtime(store.identity());
        let table = TableHandle::default();
        let control = Control::new(store, runtime, table.clone(), settings(config))?;
        let parts = Parts {
            config,
            control,
            issuer,
            table,
        };
        parts.serve(sockets, lock)
    }

    /// The listeners with the addresses that they really have.
    pub fn listeners(&self) -> Vec<Listener> {
        self.listeners.list()
    }

    /// Where participants go, without a final slash.
    pub fn public_url(&self) -> String {
        self.public.url()
    }

    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Stops accepting, lets requests finish, ends the loops. Instances go on without us.
    pub async fn stop(self) {
        let drained = self.edge.stop(shutdown::DRAIN).await;
        self.shutdown.cancel();
        self.tasks.close();
        if tokio::time::timeout(shutdown::SETTLE, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some loops did not end in time");
        }
        tracing::info!(connections.cut = drained.cut, "stopped");
    }
}

/// What the services are made of.
struct Parts<'a> {
    config: &'a Config,
    control: Arc<Control>,
    issuer: Arc<Issuer>,
    table: TableHandle,
}

impl Parts<'_> {
    fn serve(self, sockets: Sockets, lock: Flock<File>) -> anyhow::Result<Appliance> {
        let edge = Arc::new(Edge::new(Limits::default().within_descriptors()));
        let register = Register::default();
        register.add("public", &sockets.public, true);
        register.add("plain", &sockets.plain, false);
        register.add("admin", &sockets.admin, true);
        register.add("gateway", &sockets.gateway, false);
        let https_port = sockets
            .public
            .local_addr()
            .map_or(443, |address| address.port());
        let gateway_port = sockets
            .gateway
            .local_addr()
            .map_or(9080, |address| address.port());
        let listen = self.config.proxy.https_listen.ip();
        let public = Advertised::new(self.config, listen, https_port);
        let facts = self.facts(&register, &sockets, public.clone());
        let state = AdminState {
            control: Arc::clone(&self.control),
            facts: Arc::new(facts),
        };
        self.open_doors(&edge, sockets, state, https_port)?;

        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let bridge = BridgeListener {
            edge: Arc::clone(&edge),
            control: Arc::clone(&self.control),
            register: register.clone(),
            port: gateway_port,
        };
        let control = Arc::clone(&self.control);
        let (stop, sessions) = (shutdown.clone(), Arc::clone(&control));
        tasks.spawn(async move { sessions.keep_sessions(stop).await });
        tasks.spawn(Reconciler::new(Arc::clone(&control)).run(shutdown.clone()));
        tasks.spawn(Arc::clone(&self.issuer).keep(shutdown.clone()));
        tasks.spawn(supervisor::live(shutdown.clone()));
        // A listener on every address hears the bridge as well.
        if !self.config.gateway.listen.ip().is_unspecified() {
            tasks.spawn(bridge.keep(shutdown.clone()));
        }
        Ok(Appliance {
            edge,
            control,
            listeners: register,
            public,
            tasks,
            shutdown,
            _lock: lock,
        })
    }

    fn open_doors(
        &self,
        edge: &Edge,
        sockets: Sockets,
        state: AdminState,
        https_port: u16,
    ) -> anyhow::Result<()> {
        let tls = self.issuer.server_config()?;
        // Independent of any firewall: whatever runs in a sandbox talks to the gateway only.
        let outsiders = PeerFilter::NotFrom(self.config.sandbox.subnet);
        let door = |name, tls, peers| Door { name, tls, peers };
        let portal = self.portal();
        let public = proxy::Public::start(
            self.table.clone(),
            portal::router(portal.clone()),
            gateway::router(),
            proxy::Settings::new(self.issuer.authority.path().to_owned()),
        )?;
        edge.serve_public(
            sockets.public,
            door("public", Some(Arc::clone(&tls)), outsiders),
            public,
        );
        edge.serve_router(
            sockets.plain,
            door("plain", None, outsiders),
            portal::plain_router(portal, https_port),
        );
        let admin = admin::public_admin_router(state.clone());
        edge.serve_router(sockets.admin, door("admin", Some(tls), outsiders), admin);
        edge.serve_router(
            sockets.gateway,
            door("gateway", None, PeerFilter::Everybody),
            gateway::router(),
        );
        let control = admin::control_router(state);
        edge.serve_router(
            sockets.control,
            door("control", None, PeerFilter::Everybody),
            control,
        );
        Ok(())
    }

    fn portal(&self) -> Portal {
        let authority = &self.issuer.authority;
        Portal {
            control: Arc::clone(&self.control),
            ca: Some(Ca {
                pem: authority.pem().into(),
                sha256: authority.fingerprint().into(),
            }),
        }
    }

    fn facts(&self, register: &Register, sockets: &Sockets, public: Advertised) -> Facts {
        let authority = &self.issuer.authority;
        let admin_port = sockets
            .admin
            .local_addr()
            .map_or(8100, |address| address.port());
        let listen = self.config.dashboard.listen.ip();
        let admin = Advertised::new(self.config, listen, admin_port);
        let listeners = register.clone();
        let network = self.control.network();
        Facts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: Timestamp::now(),
            config_path: self.config.source.clone(),
            store_path: self.config.store_path(),
            public_url: Box::new(move || public.url()),
            admin_url: Box::new(move || admin.url()),
            runtime: "docker".to_owned(),
            ca: Some(CaView {
                path: authority.path().to_owned(),
                sha256: authority.fingerprint(),
                pem: authority.pem().to_owned(),
            }),
            listeners: Box::new(move || listeners.list()),
            ready: Box::new(move || match *network.borrow() {
                Some(_) => Ok(()),
                None => Err("the runtime has not answered yet".to_owned()),
            }),
        }
    }
}

/// How people reach a listener from elsewhere, as far as anybody can tell.
#[derive(Clone)]
struct Advertised {
    domain: Option<String>,
    /// What the settings say: the host's address outside, or the one that is listened on.
    address: Option<IpAddr>,
    port: u16,
    sandboxes: Subnet,
}

impl Advertised {
    fn new(config: &Config, listen: IpAddr, port: u16) -> Self {
        Self {
            domain: config.proxy.domain.clone(),
            address: config
                .external_ip
                .or(Some(listen).filter(|ip| !ip.is_unspecified())),
            port,
            sandboxes: config.sandbox.subnet,
        }
    }

    /// With the address that the host has at this moment, when nothing else is known.
    fn url(&self) -> String {
        let address = self
            .address
            .or_else(|| interfaces::primary_address(self.sandboxes).map(IpAddr::V4));
        let host = match (&self.domain, address) {
            (Some(domain), _) => domain.clone(),
            (None, Some(IpAddr::V6(v6))) => format!("[{v6}]"),
            (None, Some(IpAddr::V4(v4))) => v4.to_string(),
            (None, None) => "localhost".to_owned(),
        };
        if self.port == 443 {
            format!("https://{host}")
        } else {
            format!("https://{host}:{}", self.port)
        }
    }
}

fn settings(config: &Config) -> control::Settings {
    control::Settings {
        demo: config.demo,
        groups: config.groups.clone(),
        image: config.sandbox.image.clone(),
        access: config.sandbox.access,
        sudo: config.sandbox.sudo,
        resources: config.sandbox.resources,
        subnet: config.sandbox.subnet,
        workspace_mode: config.workspace.mode,
        workspace_dir: config.workspace.dir.clone(),
    }
}

fn new_identity() -> Identity {
    #[expect(clippy::expect_used, reason = "`random_id` makes what an id is")]
    let appliance = token::random_id()
        .parse()
        .expect("sixteen hexadecimal digits");
    Identity {
        appliance,
        editor_key: token::editor_key(),
    }
}

/// A proxied WebSocket takes two descriptors, and the usual soft limit is 1,024.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
}

/// Where an appliance in the background writes its log.
fn log_path(config: &Config) -> PathBuf {
    config.state_dir.join("thon.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_name_or_else_to_the_address_that_is_known() {
        let mut advertised = Advertised {
            domain: None,
            address: Some("2001:db8::7".parse().unwrap()),
            port: 443,
            sandboxes: Subnet::DEFAULT,
        };
        assert_eq!(advertised.url(), "https://[2001:db8::7]");
        advertised.port = 8443;
        advertised.address = Some("192.0.2.7".parse().unwrap());
        assert_eq!(advertised.url(), "https://192.0.2.7:8443");
        advertised.domain = Some("thon.example.org".to_owned());
        assert_eq!(advertised.url(), "https://thon.example.org:8443");
    }
}
