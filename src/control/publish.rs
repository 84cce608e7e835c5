//! The one writer of the table: brings it up to the store after a change.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::auth::{editor, token};
use crate::control::Control;
use crate::domain::address::Lease;
use crate::domain::id::InstanceId;
use crate::domain::instance::Instance;
use crate::domain::secret::Secret;
use crate::domain::session::Session;
use crate::routing::TableHandle;
use crate::routing::build::{self, Changes};
use crate::store::schema::Record as _;
use crate::store::{Store, StoreError, Touched, View};

/// Derives the table from the store. What was changed is read anew and nothing else, so that one
/// change costs the same however many instances there are.
pub(super) struct Publisher {
    store: Arc<Store>,
    table: TableHandle,
    /// Held while a new table is built, so that an older one never replaces a newer one.
    records: Mutex<Records>,
    /// The last attempt failed: requests are answered by an older table.
    behind: AtomicBool,
}

/// What the table was derived from.
#[derive(Default)]
struct Records {
    instances: BTreeMap<String, Arc<Instance>>,
    /// Instances that hold an address and whose records cannot be read.
    unreadable: HashSet<InstanceId>,
    /// Containers that served and ended, until somebody has written down what that means: the records
    /// still call them ready.
    ended: HashSet<String>,
}

impl Publisher {
    pub(super) fn new(store: Arc<Store>, table: TableHandle) -> Self {
        // Whatever somebody else derived before us: this table begins with nothing.
        store.give_back(Touched::Everything);
        Self {
            store,
            table,
            records: Mutex::default(),
            behind: AtomicBool::new(true),
        }
    }

    pub(super) fn table(&self) -> &TableHandle {
        &self.table
    }

    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    /// Puts every change so far in force; what the table no longer has is cut. Reads the disk.
    pub(super) fn publish(&self) -> Result<(), StoreError> {
        let mut records = self.records.lock();
        let touched = self.store.take_touched();
        if touched.is_empty() {
            return Ok(());
        }
        let published = self.catch_up(&mut records, &touched);
        self.behind.store(published.is_err(), Ordering::Release);
        if published.is_err() {
            self.store.give_back(touched);
        }
        published
    }

    fn catch_up(&self, records: &mut Records, touched: &Touched) -> Result<(), StoreError> {
        // After `take_touched`: what is changed from here on is told to the next one.
        let view = self.store.view()?;
        let (keys, sessions) = match touched {
            Touched::Everything => {
                let fresh = read(&view)?;
                records.instances = fresh.instances;
                records.unreadable = fresh.unreadable;
                (records.instances.keys().cloned().collect(), all(&view)?)
            }
            Touched::Records(touched) => {
                let keys_of = |name| {
                    let of_table = touched.iter().filter(move |(table, _)| *table == name);
                    of_table.map(|(_, key)| key.clone()).collect::<Vec<_>>()
                };
                let keys = keys_of(Instance::NAME);
                records.read_again(&view, &keys)?;
                (keys, some(&view, &keys_of(Session::NAME))?)
            }
        };
        let instances = keys.into_iter().map(|key| {
            let instance = records.instances.get(&key).map(AsRef::as_ref);
            (key, instance)
        });
        self.put_in_force(&Changes {
            instances: instances.collect(),
            sessions,
            all: *touched == Touched::Everything,
        });
        Ok(())
    }

    fn put_in_force(&self, changes: &Changes<'_>) {
        if !changes.all && changes.instances.is_empty() && changes.sessions.is_empty() {
            return;
        }
        let previous = self.table.load_full();
        let key = &self.store.identity().editor_key;
        let next = build::build(&previous, changes, Instant::now(), |instance| {
            cookie(key, instance)
        });
        self.table.publish(next);
        build::cut(&previous, &self.table.load());
    }

    /// The way to a container that has ended goes at once, before anything is read or written.
    pub(super) fn withdraw(&self, container: &str) {
        let mut records = self.records.lock();
        let previous = self.table.load_full();
        if let Some(next) = build::without(&previous, container) {
            records.ended.insert(container.to_owned());
            self.table.publish(next);
            build::cut(&previous, &self.table.load());
        }
    }

    /// Containers whose ends nobody has written down yet.
    pub(super) fn ended(&self) -> HashSet<String> {
        self.records.lock().ended.clone()
    }

    pub(super) fn forget_ended<'a>(&self, containers: impl Iterator<Item = &'a String>) {
        let mut records = self.records.lock();
        for container in containers {
            records.ended.remove(container);
        }
    }

    /// Every instance that can be read, as of the last change.
    pub(super) fn instances(&self) -> Vec<Arc<Instance>> {
        self.records.lock().instances.values().cloned().collect()
    }

    pub(super) fn instance(&self, owner: &str) -> Option<Arc<Instance>> {
        self.records.lock().instances.get(owner).cloned()
    }

    pub(super) fn unreadable(&self) -> HashSet<InstanceId> {
        self.records.lock().unreadable.clone()
    }
}

impl Records {
    fn read_again(&mut self, view: &View, keys: &[String]) -> Result<(), StoreError> {
        for key in keys {
            match readable(view.get::<Instance>(key))? {
                Some(instance) => {
                    self.instances.insert(key.clone(), Arc::new(instance));
                }
                None => drop(self.instances.remove(key)),
            }
        }
        Ok(())
    }
}

fn read(view: &View) -> Result<Records, StoreError> {
    let instances: BTreeMap<_, _> = view
        .all::<Instance>()?
        .into_iter()
        .map(|(key, instance)| (key, Arc::new(instance)))
        .collect();
    let leases = view.all::<Lease>()?.into_iter().map(|(_, lease)| lease);
    let unreadable = leases
        .filter(|lease| !instances.contains_key(&lease.owner.to_string()))
        .filter_map(|lease| lease.instance)
        .collect();
    Ok(Records {
        instances,
        unreadable,
        ended: HashSet::new(),
    })
}

type Sessions = Vec<([u8; 32], Option<(Session, Duration)>)>;

fn all(view: &View) -> Result<Sessions, StoreError> {
    let now = Timestamp::now();
    let rows = view.all::<Session>()?.into_iter();
    Ok(rows
        .filter_map(|(hash, session)| Some((token::from_hex(&hash)?, session)))
        .map(|(hash, session)| (hash, Some(with_idle(session, now))))
        .collect())
}

fn some(view: &View, keys: &[String]) -> Result<Sessions, StoreError> {
    let now = Timestamp::now();
    let mut sessions = Sessions::new();
    for key in keys {
        let session = readable(view.get::<Session>(key))?;
        if let Some(hash) = token::from_hex(key) {
            sessions.push((hash, session.map(|session| with_idle(session, now))));
        }
    }
    Ok(sessions)
}

/// One that was used in the future was used now: the clock was set back since.
fn with_idle(session: Session, now: Timestamp) -> (Session, Duration) {
    let idle = now.duration_since(session.last_seen_at);
    let idle = Duration::try_from(idle).unwrap_or_default();
    (session, idle)
}

/// What cannot be read is as good as not there, for whoever asks for a route.
fn readable<T>(read: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Unreadable { .. }) => Ok(None),
        read => read,
    }
}

fn cookie(key: &Secret, instance: &Instance) -> Secret {
    editor::hashed(&editor::password(key, &instance.id, instance.generation))
}

impl Control {
    /// What the proxy shows to an instance's editor instead of a log-in.
    pub(super) fn editor_cookie(&self, instance: &Instance) -> Secret {
        cookie(&self.store.identity().editor_key, instance)
    }

    pub(super) fn password(&self, instance: &Instance) -> Secret {
        let key = &self.store.identity().editor_key;
        editor::password(key, &instance.id, instance.generation)
    }
}
