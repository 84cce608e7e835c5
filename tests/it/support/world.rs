//! A small world: a store, a machine in memory, and an appliance's control over them that can be
//! killed and started again.

use std::sync::Arc;
use std::time::Duration;

use thon::config::{ConfiguredGroup, ConfiguredUser, KeyMode};
use thon::control::{Control, Gateway, Launch, Launched, Reconciler, Settings};
use thon::domain::audit::Actor;
use thon::domain::id::UserRef;
use thon::domain::instance::{Access, Instance, Phase, Resources, Sudo};
use thon::domain::secret::Secret;
use thon::domain::workspace::WorkspaceMode;
use thon::routing::{State, TableHandle};
use thon::runtime::fake::Fake;
use thon::store::{Identity, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) fake: Fake,
    pub(crate) control: Arc<Control>,
    pub(crate) store: Arc<Store>,
    settings: Settings,
    reconciler: Option<JoinHandle<()>>,
}

impl World {
    /// A machine with nobody's instance on it, and an appliance that knows these people.
    pub(crate) fn with(users: &[&str]) -> Self {
        let mut world = Self::asleep(Store::in_memory(identity).unwrap(), users, |_| ());
        world.start();
        world
    }

    /// The same with a store of the test's own and other settings; nothing happens by itself until
    /// `start`.
    pub(crate) fn asleep(store: Store, users: &[&str], change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(users);
        change(&mut settings);
        let fake = Fake::new(settings.subnet);
        let store = Arc::new(store);
        let control = control(&store, &fake, &settings);
        Self {
            fake,
            control,
            store,
            settings,
            reconciler: None,
        }
    }

    pub(crate) fn start(&mut self) {
        let reconciler = Reconciler::new(Arc::clone(&self.control));
        self.reconciler = Some(TaskTracker::new().spawn(reconciler.run(CancellationToken::new())));
    }

    /// The appliance's process ends in the middle of whatever it does; the machine goes on.
    pub(crate) async fn kill(&mut self) {
        if let Some(reconciler) = self.reconciler.take() {
            reconciler.abort();
            assert!(reconciler.await.is_err_and(|error| error.is_cancelled()));
        }
        // A write that had begun is done by a thread that a dead process would not have; it counts as
        // one that just came through. Ours, the control's and the publisher's are left then.
        while Arc::strong_count(&self.store) > 3 {
            tokio::task::yield_now().await;
        }
    }

    /// A new process on the same store and the same machine.
    pub(crate) fn start_again(&mut self) {
        assert!(self.reconciler.is_none(), "the old process lives");
        self.control = control(&self.store, &self.fake, &self.settings);
        self.start();
    }

    /// The same with other settings.
    pub(crate) fn start_again_with(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.start_again();
    }

    /// The next process finds another store, such as a copy from yesterday.
    pub(crate) fn restore(&mut self, store: Store) {
        assert!(self.reconciler.is_none(), "the old process lives");
        self.store = Arc::new(store);
    }

    /// How many entries the audit log has.
    pub(crate) fn audited(&self) -> usize {
        self.store.view().unwrap().audit(usize::MAX).unwrap().len()
    }

    pub(crate) async fn launch(&self) -> Launched {
        self.control
            .launch(&Launch::default(), Actor::Control)
            .await
            .unwrap()
    }

    pub(crate) async fn instance(&self, user: &str) -> Instance {
        self.control
            .instance(&user.parse().unwrap())
            .await
            .unwrap()
            .instance
    }

    /// Waits until every one of these instances is in this phase.
    pub(crate) async fn until(&self, users: &[&str], phase: Phase) {
        let waiting = async {
            loop {
                let mut phases = Vec::new();
                for user in users {
                    phases.push(self.instance(user).await.observed.phase);
                }
                // The record is written a moment before the table that is derived from it.
                let served = phase != Phase::Ready || users.iter().all(|user| self.serves(user));
                if served && phases.iter().all(|seen| *seen == phase) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let mut seen = Vec::new();
            for user in users {
                seen.push(self.instance(user).await);
            }
            panic!("not {phase} within {PATIENCE:?}: {seen:#?}");
        }
    }

    /// Does the table lead to this participant's editor?
    pub(crate) fn serves(&self, user: &str) -> bool {
        let table = self.control.table().load();
        table
            .route(user)
            .is_some_and(|route| matches!(route.state, State::Serving(_)))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(reconciler) = self.reconciler.take() {
            reconciler.abort();
        }
    }
}

/// Looks until it holds. `what` is told if it never does.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let held = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(held.is_ok(), "within {PATIENCE:?}: {what}");
}

pub(crate) fn identity() -> Identity {
    Identity {
        appliance: "00000000000000ff".parse().unwrap(),
        editor_key: Secret::new("key"),
    }
}

fn control(store: &Arc<Store>, fake: &Fake, settings: &Settings) -> Arc<Control> {
    let runtime = Arc::new(fake.clone());
    Control::new(
        Arc::clone(store),
        runtime,
        TableHandle::default(),
        settings.clone(),
    )
    .unwrap()
}

fn settings(users: &[&str]) -> Settings {
    let mut groups: Vec<ConfiguredGroup> = Vec::new();
    for user in users {
        let name: UserRef = user.parse().unwrap();
        let at = groups
            .iter()
            .position(|group| group.name == name.group)
            .unwrap_or_else(|| {
                groups.push(ConfiguredGroup {
                    name: name.group.clone(),
                    title: None,
                    users: Vec::new(),
                });
                groups.len() - 1
            });
        groups[at].users.push(ConfiguredUser { name, email: None });
    }
    Settings {
        demo: false,
        groups,
        image: "thon-stand-in:1".into(),
        access: Access::Owner,
        sudo: Sudo::Deny,
        resources: Resources::DEFAULT,
        subnet: "10.201.0.0/24".parse().unwrap(),
        workspace_mode: WorkspaceMode::Volume,
        workspace_dir: None,
        key_mode: KeyMode::PerUser,
        agents: None,
        gateway: Gateway::default(),
    }
}
