//! Adapter for the Docker Engine, through bollard.

mod client;
mod create;
mod daemon;
mod events;
mod failure;
mod files;
mod lifecycle;
mod mounts;
mod network;
mod observe;
pub mod spec;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::id::ApplianceId;
use crate::domain::instance::{Container, InstanceSpec};
use crate::domain::secret::Secret;
use crate::runtime::{Network, Runtime, RuntimeError, RuntimeEvent, Subnet, probe};

use client::Client;

/// Where Docker listens unless told otherwise.
pub const SOCKET: &str = "/var/run/docker.sock";

/// The participant's user and group in the sandbox image: owns workspace, home and injected files.
pub const PARTICIPANT_ID: u32 = 1001;

/// What the adapter must know; nothing is read from the environment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tells our containers, volumes and network from another appliance's.
    pub appliance: ApplianceId,
    pub socket: PathBuf,
    pub subnet: Subnet,
    /// Name of the network and of its bridge on the host, at most 15 bytes.
    pub bridge: String,
    pub deadlines: Deadlines,
}

impl Settings {
    pub fn new(appliance: ApplianceId, subnet: Subnet, bridge: &str) -> Self {
        Self {
            appliance,
            socket: PathBuf::from(SOCKET),
            subnet,
            bridge: bridge.to_owned(),
            deadlines: Deadlines::default(),
        }
    }
}

/// How long Docker may take; afterwards the answer is `Unavailable` and the caller asks again.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Questions, and what Docker does at once.
    pub call: Duration,
    /// Create, start, remove and putting files: Docker queues them behind each other.
    pub work: Duration,
    /// Between asking the processes to end and ending them.
    pub stop_grace: Duration,
    pub probe: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(15),
            work: Duration::from_mins(1),
            stop_grace: Duration::from_secs(10),
            probe: Duration::from_secs(10),
        }
    }
}

/// Instances as containers of the local Docker Engine.
pub struct Docker {
    client: Client,
    settings: Settings,
    /// Docker starts no more a second with more at a time: each would only take longer.
    heavy: Semaphore,
}

impl Docker {
    /// Asks Docker nothing yet: the appliance starts without it, and finds it when it is there.
    pub fn connect(settings: Settings) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            client: Client::new(settings.socket.clone()),
            heavy: Semaphore::new((2 * cores).min(16)),
            settings,
        }
    }

    async fn heavy(&self) -> Result<SemaphorePermit<'_>, RuntimeError> {
        let closed = |_| RuntimeError::Unavailable("the appliance is stopping".to_owned());
        self.heavy.acquire().await.map_err(closed)
    }
}

#[async_trait]
impl Runtime for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn prepare(&self) -> Result<Network, RuntimeError> {
        network::prepare(&self.client, &self.settings).await
    }

    async fn create(&self, spec: &InstanceSpec) -> Result<Container, RuntimeError> {
        let _permit = self.heavy().await?;
        create::create(&self.client, &self.settings, spec).await
    }

    async fn start(&self, container: &str) -> Result<(), RuntimeError> {
        let _permit = self.heavy().await?;
        lifecycle::start(&self.client, &self.settings, container).await
    }

    async fn stop(&self, container: &str) -> Result<(), RuntimeError> {
        lifecycle::stop(&self.client, &self.settings.deadlines, container).await
    }

    async fn pause(&self, container: &str) -> Result<(), RuntimeError> {
        lifecycle::pause(&self.client, self.settings.deadlines.call, container).await
    }

    async fn unpause(&self, container: &str) -> Result<(), RuntimeError> {
        lifecycle::unpause(&self.client, self.settings.deadlines.call, container).await
    }

    async fn remove(&self, container: &str) -> Result<(), RuntimeError> {
        lifecycle::remove(&self.client, self.settings.deadlines.work, container).await
    }

    async fn list(&self) -> Result<Vec<Container>, RuntimeError> {
        observe::list(&self.client, &self.settings).await
    }

    async fn inspect(&self, container: &str) -> Result<Container, RuntimeError> {
        observe::inspect(&self.client, &self.settings, container).await
    }

    async fn probe(&self, container: &Container, cookie: &Secret) -> Result<(), RuntimeError> {
        let Some(endpoint) = container.endpoint else {
            return Err(RuntimeError::Unavailable(
                "it has no address yet".to_owned(),
            ));
        };
        probe::ready(endpoint, cookie, self.settings.deadlines.probe).await
    }

    async fn has_volume(&self, name: &str) -> Result<bool, RuntimeError> {
        mounts::has_volume(&self.client, self.settings.deadlines.call, name).await
    }

    async fn logs(&self, container: &str, lines: usize) -> Result<Vec<String>, RuntimeError> {
        observe::logs(&self.client, self.settings.deadlines.call, container, lines).await
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        events::stream(self.client.clone(), &self.settings.appliance)
    }
}
