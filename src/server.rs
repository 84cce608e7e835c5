//! The composition root: `Config` to running services.

mod bridge;
mod catalogue;
mod certificates;
mod clock;
mod ground;
mod links;
mod listeners;
mod offline;
mod privileges;
mod records;
mod shutdown;
mod supervisor;
mod trouble;

use std::fs::File;
use std::iter;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use ipnet::IpNet;
use jiff::Timestamp;
use nix::fcntl::Flock;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use catalogue::CATALOGUE;
pub use offline::{
    Diagnosis, Finding, Installed, Lives, Report, Rotated, Start, Step, Up, doctor, install,
    rotate_authority, uninstall, up,
};
pub use trouble::{Entry, Severity, Trouble};

use crate::admin::{self, AdminState, Facts};
use crate::api::{CaView, Listener};
use crate::auth::token;
use crate::config::{Certificates, Config, LogLevel};
use crate::control::{self, Control, Reconciler};
use crate::domain::workspace::WorkspaceMode;
use crate::edge::{Door, Edge, Fronts, Limits, PeerFilter};
use crate::portal::{self, Ca, Portal};
use crate::routing::TableHandle;
use crate::runtime::Runtime;
use crate::runtime::docker::{self, Docker};
use crate::store::Identity;
use crate::{gateway, proxy, telemetry, tls};

use bridge::BridgeListener;
use certificates::Issuer;
use links::Advertised;
use listeners::{Register, Sockets, only_one};

/// The appliance, until it is told to end.
pub fn run(config: &Config, log: telemetry::Destination) -> anyhow::Result<()> {
    telemetry::start(level(config.log_level), log);
    for warning in &config.warnings {
        tracing::warn!(config.key = %warning.key, "{warning}");
    }
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
    issuer: Arc<Issuer>,
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
        Self::assemble(config, give_up_root, |identity| {
            let appliance = identity.appliance.clone();
            let sandbox = &config.sandbox;
            Arc::new(Docker::connect(docker::Settings {
                socket: sandbox.docker_socket.clone(),
                ..docker::Settings::new(appliance, sandbox.subnet, &sandbox.bridge)
            }))
        })
        .await
    }

    /// On another runtime, such as the one in memory, in a process that others share: it stays who it
    /// is.
    pub async fn start_with(
        config: &Config,
        runtime: impl FnOnce(&Identity) -> Arc<dyn Runtime>,
    ) -> anyhow::Result<Self> {
        Self::assemble(config, |_| Ok(()), runtime).await
    }

    async fn assemble(
        config: &Config,
        give_up_root: impl FnOnce(&Config) -> anyhow::Result<()>,
        runtime: impl FnOnce(&Identity) -> Arc<dyn Runtime>,
    ) -> anyhow::Result<Self> {
        tls::install_provider();
        raise_descriptor_limit();
        links::somebody_may_come(&config.proxy)?;
        let lock = only_one(&config.runtime_dir)?;
        let sockets = Sockets::bind(config).await?;
        ground::private_dir(&config.state_dir, "state_dir")?;
        let early = certificates::read_early(config)?;
        give_up_root(config)?;
        ground::check(config)?;
        // Both are looked at before either is written.
        let looked = records::look(config)?;
        let issuer = Issuer::open(config, early, Timestamp::now());
        let issuer = issuer.map_err(ground::authority_trouble)?;
        let issuer = Arc::new(issuer);
        let store = records::open(config, looked, new_identity)?;
        clock::tell(issuer.authority.validity(), &store, Timestamp::now());
        let runtime = runtime(store.identity());
        let table = TableHandle::default();
        let control = Control::new(store, runtime, table.clone(), settings(config))?;
        let sandboxes = sandboxes(config, &control).await?;
        let parts = Parts {
            config,
            control,
            issuer,
            table,
            sandboxes,
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

    /// Renews the certificate if it is due at this moment. The appliance does so by itself, by the
    /// host's clock.
    pub fn look_after_certificate(&self, now: Timestamp) {
        self.issuer.look(&self.control, now);
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
    /// Where sandboxes are, or were before the settings changed.
    sandboxes: Vec<IpNet>,
}

impl Parts<'_> {
    fn serve(self, sockets: Sockets, lock: Flock<File>) -> anyhow::Result<Appliance> {
        let edge = Arc::new(Edge::new(Limits::default().within_descriptors()));
        let register = Register::default();
        register.add(
            "public",
            &sockets.public,
            self.config.proxy.certificates != Certificates::Off,
        );
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
        let public = Advertised::new(self.config, listen, https_port).public(self.config);
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
        let issuer = Arc::clone(&self.issuer);
        tasks.spawn(issuer.keep(Arc::clone(&control), shutdown.clone()));
        tasks.spawn(supervisor::live(shutdown.clone()));
        // A listener on every address hears the bridge as well.
        if !self.config.gateway.listen.ip().is_unspecified() {
            tasks.spawn(bridge.keep(shutdown.clone()));
        }
        Ok(Appliance {
            edge,
            control,
            issuer: self.issuer,
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
        let outsiders = PeerFilter::not_from(self.sandboxes.iter().copied());
        let fronts = Fronts::new(&self.config.proxy.trusted_proxies);
        let door = |name, tls, peers: &PeerFilter| Door {
            name,
            tls,
            peers: peers.clone(),
            fronts: fronts.clone(),
        };
        // A sandbox in a range that is trusted must not speak for another one.
        let inner = |name| Door {
            name,
            tls: None,
            peers: PeerFilter::Everybody,
            fronts: Fronts::default(),
        };
        let public_tls = match self.config.proxy.certificates {
            Certificates::Off => None,
            Certificates::Own | Certificates::Files { .. } => Some(Arc::clone(&tls)),
        };
        let plain_port = sockets.plain.local_addr().map_or(80, |at| at.port());
        let portal = self.portal(plain_port);
        let (scheme, port) = links::onward(&self.config.proxy, https_port);
        let plain = portal::plain_router(portal.clone(), scheme, port);
        let public = proxy::Public::start(
            self.table.clone(),
            portal::router(portal),
            gateway::router(),
            proxy::Settings::new(self.issuer.authority.path().to_owned()),
        )?;
        edge.serve_public(
            sockets.public,
            door("public", public_tls, &outsiders),
            public,
        );
        edge.serve_router(sockets.plain, door("plain", None, &outsiders), plain);
        let admin = admin::public_admin_router(state.clone());
        edge.serve_router(sockets.admin, door("admin", Some(tls), &outsiders), admin);
        edge.serve_router(sockets.gateway, inner("gateway"), gateway::router());
        let control = admin::control_router(state);
        edge.serve_router(sockets.control, inner("control"), control);
        Ok(())
    }

    fn portal(&self, plain_port: u16) -> Portal {
        let ca = self.participants_install_it().then(|| Ca {
            pem: self.issuer.authority.pem().into(),
            sha256: self.issuer.authority.fingerprint().into(),
            plain_port,
        });
        Portal {
            control: Arc::clone(&self.control),
            ca,
        }
    }

    /// With somebody else's certificate, or somebody else's TLS in front, there is nothing to install.
    fn participants_install_it(&self) -> bool {
        self.issuer.is_own() && self.config.proxy.certificates != Certificates::Off
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
        let control = Arc::clone(&self.control);
        Facts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: Timestamp::now(),
            config_path: self.config.source.clone(),
            store_path: self.config.store_path(),
            public_url: Box::new(move || public.url()),
            admin_url: Box::new(move || admin.url()),
            ca: self.issuer.is_own().then(|| ca_view(authority)),
            listeners: Box::new(move || listeners.list()),
            ready: Box::new(move || control.ready()),
        }
    }
}

fn give_up_root(config: &Config) -> anyhow::Result<()> {
    if config.workspace.mode == WorkspaceMode::Bind {
        tracing::warn!(
            "root is kept: workspace.mode `bind` has to give directories to participants"
        );
        return Ok(());
    }
    let ours = [config.state_dir.as_path(), config.runtime_dir.as_path()];
    privileges::drop_root(&ours, &config.sandbox.docker_socket)
}

fn ca_view(authority: &tls::Authority) -> CaView {
    let validity = authority.validity();
    CaView {
        path: authority.path().to_owned(),
        sha256: authority.fingerprint(),
        not_before: validity.from,
        not_after: validity.until,
        permits: authority.scope().words(),
        pem: authority.pem().to_owned(),
    }
}

/// The settings may name another range than the one that running containers are in.
async fn sandboxes(config: &Config, control: &Control) -> anyhow::Result<Vec<IpNet>> {
    let subnet = config.sandbox.subnet;
    let instances = control.instances().await?;
    let elsewhere = instances
        .into_iter()
        .map(|status| IpAddr::V4(status.instance.address))
        .filter(|address| !subnet.contains(*address))
        .map(IpNet::from);
    Ok(iter::once(subnet.into()).chain(elsewhere).collect())
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
