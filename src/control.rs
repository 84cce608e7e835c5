//! `Control`: every use case of the product, over the parts below.

mod clock;
pub mod error;
mod health;
mod instances;
mod invites;
mod keys;
mod launch;
mod lease;
mod limits;
pub mod plan;
mod publish;
pub mod reconcile;
mod sessions;
mod spec;
mod usage;

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

pub use error::Error;
pub use health::HealthReport;
pub use instances::InstanceStatus;
pub use invites::NewInvite;
pub use keys::{GRACE, KeyStatus, KeyWish, NewKey};
pub use launch::{Launch, Launched, Left};
pub use limits::LimitsStatus;
pub use reconcile::Reconciler;
pub use sessions::{Browser, SignedIn};
pub use usage::{Answer, By, Period, Question, Row, Wanted};

pub use crate::routing::LiveSession;
pub use crate::runtime::Network;

use crate::config::{ChatModel, Config, ConfiguredGroup, KeyMode};
use crate::control::publish::{KeyRules, Publisher};
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::id::ApplianceId;
use crate::domain::instance::{Access, Instance, Resources, Sudo};
use crate::domain::network::Subnet;
use crate::domain::quota::Limits;
use crate::domain::tally::Kept;
use crate::domain::workspace::WorkspaceMode;
use crate::routing::TableHandle;
use crate::runtime::Runtime;
use crate::store::{Change, Store, StoreError, View};

/// What use cases need to know of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// With nobody named anywhere, `launch` makes a group to try things with.
    pub demo: bool,
    pub groups: Vec<ConfiguredGroup>,
    pub image: String,
    pub access: Access,
    pub sudo: Sudo,
    pub resources: Resources,
    pub subnet: Subnet,
    pub workspace_mode: WorkspaceMode,
    /// The root of bind mounts.
    pub workspace_dir: Option<PathBuf>,
    /// Whose keys for the model there are.
    pub key_mode: KeyMode,
    /// What instances are told of the model; `None`: nothing, and their containers have no keys.
    pub agents: Option<Agents>,
    pub gateway: Gateway,
}

/// How programs inside instances reach the model, and what they find there.
#[derive(Clone, Debug)]
pub struct Agents {
    /// The gateway's, at the host's address in the instances' network.
    pub port: u16,
    /// The one that agents begin with is first.
    pub models: Vec<ChatModel>,
    /// For titles and summaries.
    pub small_model: Option<String>,
}

impl Agents {
    fn new(config: &Config) -> Option<Self> {
        let mut models = offered(config);
        models.sort_by_key(|model| model.name != config.kilo.chat_model);
        config.gateway.enabled.then(|| Self {
            port: config.gateway.listen.port(),
            models,
            small_model: config.kilo.small_model.clone(),
        })
    }
}

/// What `gateway.models` names, if it names anything; Lemonade's otherwise. A model that Lemonade does
/// not describe is taken to be like its first.
fn offered(config: &Config) -> Vec<ChatModel> {
    let described = &config.lemonade.chat_models;
    let named = config.gateway.models.iter().filter_map(|offered| {
        let name = offered.alias.as_ref().unwrap_or(&offered.name);
        let same = described.iter().find(|model| model.name == offered.name);
        let like = same.or_else(|| described.first())?;
        Some(ChatModel {
            name: name.clone(),
            ..like.clone()
        })
    });
    let named: Vec<ChatModel> = named.collect();
    if named.is_empty() {
        described.clone()
    } else {
        named
    }
}

/// What the configuration says of the way to the model.
#[derive(Clone, Debug, Default)]
pub struct Gateway {
    /// What was set by a command goes before it.
    pub limits: Limits,
    pub kept: Kept,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            demo: config.demo,
            groups: config.groups.clone(),
            image: config.sandbox.image.clone(),
            access: config.sandbox.access,
            sudo: config.sandbox.sudo,
            resources: config.sandbox.resources,
            subnet: config.sandbox.subnet,
            workspace_mode: config.workspace.mode,
            workspace_dir: config.workspace.dir.clone(),
            key_mode: config.gateway.mode,
            agents: Agents::new(config),
            gateway: Gateway {
                limits: config.gateway.limits.clone(),
                kept: Kept {
                    days_days: config.gateway.usage_days,
                    ..Kept::default()
                },
            },
        }
    }
}

/// Every use case. Handlers of the doors translate and call; nothing else happens in them.
pub struct Control {
    store: Arc<Store>,
    runtime: Arc<dyn Runtime>,
    publisher: Arc<Publisher>,
    settings: Settings,
    /// Wakes the reconciler.
    nudge: Notify,
    health: health::Board,
    /// Addresses of containers that no record knows, as last listed: nobody else gets them.
    strangers: Mutex<HashSet<Ipv4Addr>>,
    /// Which keys were shown from elsewhere lately.
    foreign: keys::Foreign,
    /// The instances' network, once the runtime has made it. Written by the reconciler.
    network: watch::Sender<Option<Network>>,
    limits: Arc<limits::Board>,
    usage: usage::Desk,
}

impl Control {
    /// Publishes what the store remembers at once: after a restart every editor that still runs is
    /// reachable before the runtime was asked.
    pub fn new(
        store: Arc<Store>,
        runtime: Arc<dyn Runtime>,
        table: TableHandle,
        settings: Settings,
    ) -> Result<Arc<Self>, Error> {
        let rules = KeyRules::from(&settings);
        let publisher = Arc::new(Publisher::new(Arc::clone(&store), table, rules));
        let limits = limits::Board::new(&store, settings.gateway.limits.clone())?;
        let control = Arc::new(Self {
            store,
            runtime,
            publisher,
            settings,
            nudge: Notify::new(),
            health: health::Board::default(),
            strangers: Mutex::default(),
            foreign: keys::Foreign::default(),
            network: watch::Sender::new(None),
            limits,
            usage: usage::Desk::default(),
        });
        control.apply_settings(Timestamp::now())?;
        control.publisher.publish()?;
        control.report_store();
        Ok(control)
    }

    /// Which appliance this is: its own word in what several share.
    pub fn appliance(&self) -> &ApplianceId {
        &self.store.identity().appliance
    }

    /// Who takes part and who may open an editor is the configuration's word, the latter also for
    /// instances that exist already: an organizer who closes the doors must find them closed.
    fn apply_settings(&self, now: Timestamp) -> Result<(), Error> {
        let entry = AuditEntry::done(now, Actor::Appliance, "settings.apply", "the event");
        let access = self.settings.access;
        self.store.change(&entry, |tx| {
            launch::import(tx, &self.settings.groups, now)?;
            for (key, mut instance) in tx.all::<Instance>()? {
                if instance.access != access {
                    instance.access = access;
                    tx.put(&key, &instance)?;
                }
            }
            Ok(())
        })
    }

    pub fn table(&self) -> &TableHandle {
        self.publisher.table()
    }

    /// What runs the instances.
    pub fn runtime_name(&self) -> &'static str {
        self.runtime.name()
    }

    /// The instances' network, as soon as there is one and whenever it comes back.
    pub fn network(&self) -> watch::Receiver<Option<Network>> {
        self.network.subscribe()
    }

    /// Asks the reconciler to look again.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Is it worth sending people here? It is once the routes are in force, whether the runtime
    /// answers or not: editors run without it.
    pub fn ready(&self) -> Result<(), String> {
        if self.publisher.is_behind() {
            return Err("the routes are older than the records".to_owned());
        }
        Ok(())
    }

    /// Runs a change where it may wait for the disk, and puts it in force.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (store, publisher) = (Arc::clone(&self.store), Arc::clone(&self.publisher));
        let changing = tokio::task::spawn_blocking(move || {
            let done = work(&store);
            // Also after a failure: what became of a change is seen only by looking.
            let published = publisher.publish();
            let done = done?;
            published.map_err(|error| {
                Error::Unavailable(format!("it is written down and not yet in force: {error}"))
            })?;
            Ok(done)
        });
        let done = changing.await;
        self.report_store();
        done.map_err(|error| Error::Internal(format!("a change ended early: {error}")))?
    }

    /// Reads where it may wait for the disk.
    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&View) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = Arc::clone(&self.store);
        let reading = tokio::task::spawn_blocking(move || work(&store.view()?));
        let read = reading.await;
        self.report_store();
        read.map_err(|error| Error::Internal(format!("a look ended early: {error}")))?
    }

    /// Writes down what was seen.
    async fn note(
        &self,
        work: impl FnOnce(&Change) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), Error> {
        self.blocking(move |store| Ok(store.note(work)?)).await
    }
}
