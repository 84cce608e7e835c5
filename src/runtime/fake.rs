//! In-memory adapter with injectable faults, for tests and dry runs.

mod faults;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast};

use crate::domain::id::InstanceId;
use crate::domain::instance::{Container, ContainerState, InstanceSpec};
use crate::domain::secret::Secret;
use crate::runtime::{EventKind, Network, Runtime, RuntimeError, RuntimeEvent, Subnet};

pub use faults::{Operation, Step};
pub use world::Volume;

use faults::Faults;
use world::World;

const EVENTS_MAX: usize = 1_024;

/// A runtime in memory. Clones are the same machine, seen by another process: what is in it
/// survives whoever was using it.
#[derive(Clone)]
pub struct Fake {
    subnet: Subnet,
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    faults: Mutex<Faults>,
    /// Replaced when the runtime goes down, which ends every stream of events.
    events: Mutex<broadcast::Sender<RuntimeEvent>>,
    killed: Notify,
}

impl Fake {
    pub fn new(subnet: Subnet) -> Self {
        Self {
            subnet,
            shared: Arc::new(Shared {
                world: Mutex::new(World::default()),
                faults: Mutex::new(Faults::default()),
                events: Mutex::new(broadcast::channel(EVENTS_MAX).0),
                killed: Notify::new(),
            }),
        }
    }

    /// The next call of this operation fails; several are failed in the order given.
    pub fn fail_next(&self, operation: Operation, error: RuntimeError) {
        self.shared.faults.lock().fail_next(operation, error);
    }

    /// Every call of this operation takes so long from now on.
    pub fn delay(&self, operation: Operation, duration: Duration) {
        self.shared.faults.lock().delay(operation, duration);
    }

    /// While down, every call is `Unavailable` and events end; containers stay as they are.
    pub fn set_down(&self, down: bool) {
        self.shared.faults.lock().down = down;
        if down {
            *self.shared.events.lock() = broadcast::channel(EVENTS_MAX).0;
        }
    }

    /// The next call that comes to this step never returns: whoever made it is to be dropped, as a
    /// killed process would be. What the step did before stays done.
    pub fn kill_at(&self, step: Step) {
        self.shared.faults.lock().kill_at = Some(step);
    }

    /// Nobody is killed after all.
    pub fn forget_kill(&self) {
        self.shared.faults.lock().kill_at = None;
    }

    /// What is there, without the detour by `list`, its delay and its faults.
    pub fn containers(&self) -> Vec<Container> {
        self.shared.world.lock().list()
    }

    pub fn volume_count(&self) -> usize {
        self.shared.world.lock().volumes.len()
    }

    /// Waits until a call came to the step of [`Fake::kill_at`].
    pub async fn killed(&self) {
        self.shared.killed.notified().await;
    }

    /// Endpoints lead to this address instead of the instance's own.
    pub fn serve_at(&self, origin: SocketAddr) {
        self.shared.world.lock().origin = Some(origin);
    }

    /// Does the editor answer? It does unless told otherwise.
    pub fn set_answering(&self, answering: bool) {
        self.shared.world.lock().silent = !answering;
    }

    /// As if it was never built; every image is here unless told otherwise.
    pub fn forget_image(&self, image: &str) {
        self.shared
            .world
            .lock()
            .missing_images
            .insert(image.to_owned());
    }

    /// As `docker rm -f` by somebody else: the containers of an instance go, its volumes stay.
    pub fn remove_by_hand(&self, instance: &InstanceId) {
        for id in self.shared.world.lock().remove_instance(instance) {
            self.tell(&id, EventKind::Gone);
        }
    }

    /// The container's own process ends and is not started again.
    pub fn exit(&self, container: &str, code: i64, out_of_memory: bool) {
        let ended = ContainerState::Exited {
            code,
            out_of_memory,
        };
        self.shared.world.lock().set_state(container, ended);
        self.tell(container, EventKind::Gone);
    }

    /// As the runtime's own restart of a container that ended.
    pub fn restart_by_hand(&self, container: &str) {
        let running = ContainerState::Running;
        self.shared.world.lock().set_state(container, running);
        self.tell(container, EventKind::Changed);
    }

    /// A volume that this appliance did not make.
    pub fn add_foreign_volume(&self, name: &str) {
        self.shared.world.lock().add_foreign_volume(name);
    }

    /// Writes into a volume, as the participant would.
    pub fn write(&self, volume: &str, path: &str, contents: &str) {
        self.shared.world.lock().write(volume, path, contents);
    }

    pub fn volume(&self, name: &str) -> Option<Volume> {
        self.shared.world.lock().volumes.get(name).cloned()
    }

    /// The specification that the instance's newest container was made from.
    pub fn spec(&self, instance: &InstanceId) -> Option<InstanceSpec> {
        self.shared.world.lock().newest_spec(instance)
    }

    /// Every call so far that was not failed on purpose, with the container or instance.
    pub fn performed(&self) -> Vec<(Operation, String)> {
        self.shared.faults.lock().performed.clone()
    }

    /// Containers that were started without the files they were to get: always a fault.
    pub fn started_without_files(&self) -> usize {
        self.shared.world.lock().started_without_files
    }

    fn tell(&self, container: &str, kind: EventKind) {
        let event = RuntimeEvent {
            container: container.to_owned(),
            kind,
        };
        // Nobody listening is nobody's fault.
        drop(self.shared.events.lock().send(event));
    }

    /// What comes before the effect of every call.
    async fn enter(&self, operation: Operation, target: &str) -> Result<(), RuntimeError> {
        let delay = self.shared.faults.lock().delay_of(operation);
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        self.reach(Step::Before(operation)).await;
        self.shared.faults.lock().enter(operation, target)
    }

    async fn reach(&self, step: Step) {
        if self.shared.faults.lock().reached(step) {
            self.shared.killed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// One call that changes a container's state.
    async fn change(
        &self,
        operation: Operation,
        container: &str,
        kind: EventKind,
        effect: impl FnOnce(&mut World) -> Result<bool, RuntimeError> + Send,
    ) -> Result<(), RuntimeError> {
        self.enter(operation, container).await?;
        let changed = effect(&mut self.shared.world.lock())?;
        if changed {
            self.tell(container, kind);
        }
        self.reach(Step::After(operation)).await;
        Ok(())
    }
}

#[async_trait]
impl Runtime for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    async fn prepare(&self) -> Result<Network, RuntimeError> {
        self.enter(Operation::Prepare, "").await?;
        Ok(Network {
            subnet: self.subnet,
            gateway: self.subnet.gateway(),
        })
    }

    async fn create(&self, spec: &InstanceSpec) -> Result<Container, RuntimeError> {
        self.enter(Operation::Create, spec.id.as_str()).await?;
        self.shared.world.lock().make_volumes(spec)?;
        self.reach(Step::VolumesMade).await;
        let (id, made) = self.shared.world.lock().make_container(spec)?;
        if made {
            self.tell(&id, EventKind::Changed);
        }
        self.reach(Step::ContainerMade).await;
        let container = self.shared.world.lock().put_files(&id, spec)?;
        self.reach(Step::After(Operation::Create)).await;
        Ok(container)
    }

    async fn start(&self, container: &str) -> Result<(), RuntimeError> {
        self.change(Operation::Start, container, EventKind::Changed, |world| {
            world.start(container)
        })
        .await
    }

    async fn stop(&self, container: &str) -> Result<(), RuntimeError> {
        self.change(Operation::Stop, container, EventKind::Gone, |world| {
            world.stop(container)
        })
        .await
    }

    async fn pause(&self, container: &str) -> Result<(), RuntimeError> {
        self.change(Operation::Pause, container, EventKind::Changed, |world| {
            world.pause(container)
        })
        .await
    }

    async fn unpause(&self, container: &str) -> Result<(), RuntimeError> {
        self.change(Operation::Unpause, container, EventKind::Changed, |world| {
            world.unpause(container)
        })
        .await
    }

    async fn remove(&self, container: &str) -> Result<(), RuntimeError> {
        self.change(Operation::Remove, container, EventKind::Gone, |world| {
            Ok(world.remove(container))
        })
        .await
    }

    async fn list(&self) -> Result<Vec<Container>, RuntimeError> {
        self.enter(Operation::List, "").await?;
        Ok(self.shared.world.lock().list())
    }

    async fn inspect(&self, container: &str) -> Result<Container, RuntimeError> {
        self.enter(Operation::List, container).await?;
        let all = self.shared.world.lock().list();
        all.into_iter()
            .find(|other| other.id == container)
            .ok_or(RuntimeError::Missing)
    }

    async fn probe(&self, container: &Container, _cookie: &Secret) -> Result<(), RuntimeError> {
        self.enter(Operation::Probe, &container.id).await?;
        self.shared.world.lock().probe(&container.id)
    }

    async fn has_volume(&self, name: &str) -> Result<bool, RuntimeError> {
        self.enter(Operation::HasVolume, name).await?;
        Ok(self.shared.world.lock().volumes.contains_key(name))
    }

    async fn logs(&self, container: &str, lines: usize) -> Result<Vec<String>, RuntimeError> {
        self.enter(Operation::Logs, container).await?;
        self.shared.world.lock().logs(container, lines)
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        if self.shared.faults.lock().down {
            return futures_util::stream::empty().boxed();
        }
        let receiver = self.shared.events.lock().subscribe();
        unfold(receiver, |mut receiver| async move {
            // Lagging ends it too: whoever listens lists again.
            let event = receiver.recv().await.ok()?;
            Some((event, receiver))
        })
        .boxed()
    }
}
