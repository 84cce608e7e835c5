//! Where instances run: the port `Runtime`, its errors, and what every adapter promises.

pub mod docker;
pub mod fake;
pub mod probe;

use std::net::Ipv4Addr;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::domain::instance::{Container, InstanceSpec};
use crate::domain::secret::Secret;

/// Where instances run.
///
/// Every method is idempotent, because the reconciler repeats what it is unsure of, and returns
/// within the adapter's deadline. `tests/it/support/contract.rs` holds for each adapter, the fake
/// included. Nothing here deletes a volume.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// As people know it: `docker`.
    fn name(&self) -> &'static str;

    /// Makes what every instance needs (the network) and says where it is.
    async fn prepare(&self) -> Result<Network, RuntimeError>;

    /// Makes the container with its volumes and files, not started. The name is derived from
    /// instance and generation: one that exists already is found, not made twice, and given its files
    /// again if it does not run. An image that is
    /// not here is `Refused`, with the next step in words.
    async fn create(&self, spec: &InstanceSpec) -> Result<Container, RuntimeError>;

    /// Starts it; one that runs is left alone.
    async fn start(&self, container: &str) -> Result<(), RuntimeError>;

    /// Stops it and keeps it, with what was installed in it.
    async fn stop(&self, container: &str) -> Result<(), RuntimeError>;

    async fn pause(&self, container: &str) -> Result<(), RuntimeError>;

    async fn unpause(&self, container: &str) -> Result<(), RuntimeError>;

    /// Removes the container, running or not; the volumes stay.
    async fn remove(&self, container: &str) -> Result<(), RuntimeError>;

    /// Every container of this appliance in any state: all of them or an error, never a part.
    async fn list(&self) -> Result<Vec<Container>, RuntimeError>;

    /// One container as it is now.
    async fn inspect(&self, container: &str) -> Result<Container, RuntimeError>;

    /// Does the editor answer? Asks `/healthz` and then `/` once, so that the first visitor does
    /// not wait for the editor to load. `Unavailable` when it does not answer yet.
    async fn probe(&self, container: &Container, cookie: &Secret) -> Result<(), RuntimeError>;

    /// Is there a volume of this name, whoever made it?
    async fn has_volume(&self, name: &str) -> Result<bool, RuntimeError>;

    /// The last lines that the container printed.
    async fn logs(&self, container: &str, lines: usize) -> Result<Vec<String>, RuntimeError>;

    /// Changes as they happen. The stream ends when the runtime goes away; it is asked for again
    /// after a pause. It is a hint only: whoever misses an event is put right by `list`.
    fn events(&self) -> BoxStream<'static, RuntimeEvent>;
}

/// The network that instances are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub subnet: Subnet,
    /// The host's own address in it: where the gateway for programs inside instances listens.
    pub gateway: Ipv4Addr,
}

pub use crate::domain::network::Subnet;

/// Something happened to a container of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeEvent {
    pub container: String,
    pub kind: EventKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It ended or was removed: its route goes at once.
    Gone,
    /// Started, paused, unpaused: look again.
    Changed,
}

/// Named by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// Keep the intent, try again later.
    #[error("the runtime did not answer: {0}")]
    Unavailable(String),
    /// Do not repeat as it is: the specification or the host must change. Words for people.
    #[error("{0}")]
    Refused(String),
    /// For `remove` this is success.
    #[error("no such container")]
    Missing,
}
