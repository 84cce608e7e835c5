//! The composition root: `Config` to running services.

mod bridge;
mod catalogue;
mod certificates;
mod clock;
mod doors;
mod ground;
mod links;
mod listeners;
mod live;
mod model;
mod offline;
mod privileges;
mod process;
mod records;
mod shutdown;
mod supervisor;
mod trouble;

use std::fs::File;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use nix::fcntl::Flock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use catalogue::CATALOGUE;
pub use offline::{
    Diagnosis, Finding, Installed, Lives, Report, Rotated, Start, Step, Up, doctor, install,
    rotate_authority, uninstall, up,
};
pub use trouble::{Entry, Severity, Trouble};

use crate::admin::{AdminState, Facts};
use crate::api::Listener;
use crate::config::{Certificates, Config};
use crate::control::{self, Control, Reconciler};
use crate::edge::{Edge, Limits};
use crate::routing::TableHandle;
use crate::runtime::Runtime;
use crate::runtime::docker::{self, Docker};
use crate::store::Identity;
use crate::telemetry::metrics::Metrics;
use crate::{telemetry, tls};

use bridge::BridgeListener;
use certificates::Issuer;
use links::Advertised;
use listeners::{Register, Sockets, only_one};

/// The appliance, until it is told to end.
pub fn run(config: &Config, log: telemetry::Destination) -> anyhow::Result<()> {
    let _log = telemetry::start(process::level(config.log_level), log);
    for warning in &config.warnings {
        tracing::warn!(config.key = %warning.key, "{warning}");
    }
    process::workers()?.block_on(async {
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
        Self::assemble(config, privileges::give_up_root, |identity| {
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
        process::raise_descriptor_limit();
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
        let store = records::open(config, looked, records::new_identity)?;
        clock::tell(issuer.authority.validity(), &store, Timestamp::now());
        let runtime = runtime(store.identity());
        let table = TableHandle::default();
        let mut settings = control::Settings::from(config);
        if let Some(agents) = &mut settings.agents {
            agents.port = sockets.ports().gateway;
        }
        let control = Control::new(store, runtime, table.clone(), settings)?;
        let sandboxes = doors::sandboxes(config, &control).await?;
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
        let is_public_tls = self.config.proxy.certificates != Certificates::Off;
        register.add("public", &sockets.public, is_public_tls);
        register.add("plain", &sockets.plain, false);
        register.add("admin", &sockets.admin, true);
        register.add("gateway", &sockets.gateway, false);
        let ports = sockets.ports();
        let listen = self.config.proxy.https_listen.ip();
        let public = Advertised::new(self.config, listen, ports.public).public(self.config);
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let model = self.model(&metrics, &tasks)?;
        let gateway = model.as_ref().map(|model| Arc::clone(&model.gateway));
        let facts = Facts {
            live: live::live(gateway.as_ref()),
            metrics,
            ..self.facts(&register, ports, public.clone())
        };
        let state = AdminState {
            control: Arc::clone(&self.control),
            facts: Arc::new(facts),
        };
        self.open_doors(&edge, sockets, state, gateway.as_ref())?;

        if let Some(model) = model {
            model.keep(&self.control, &tasks, &shutdown);
        }
        let bridge = BridgeListener {
            edge: Arc::clone(&edge),
            control: Arc::clone(&self.control),
            register: register.clone(),
            port: ports.gateway,
            gateway,
        };
        let control = Arc::clone(&self.control);
        let (stop, sessions) = (shutdown.clone(), Arc::clone(&control));
        tasks.spawn(async move { sessions.keep_sessions(stop).await });
        let (stop, keys) = (shutdown.clone(), Arc::clone(&control));
        tasks.spawn(async move { keys.keep_keys(stop).await });
        let (stop, usage) = (shutdown.clone(), Arc::clone(&control));
        tasks.spawn(async move { usage.keep_usage(stop).await });
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
}
