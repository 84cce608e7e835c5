//! The one writer of the table: brings it up to the store after a change.

mod keys;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

pub(super) use keys::holds;

use keys::KeyRecords;

use crate::auth::{editor, token};
use crate::config::KeyMode;
use crate::control::{Control, Settings};
use crate::domain::address::Lease;
use crate::domain::id::{InstanceId, KeyId, UserRef};
use crate::domain::instance::Instance;
use crate::domain::key::Key;
use crate::domain::secret::Secret;
use crate::domain::session::Session;
use crate::domain::user::{Source, User};
use crate::routing::TableHandle;
use crate::routing::build::{self, Changes};
use crate::store::schema::Record as _;
use crate::store::{Store, StoreError, Touched, View};

/// Derives the table from the store. What was changed is read anew and nothing else, so that one
/// change costs the same however many instances there are.
pub(super) struct Publisher {
    store: Arc<Store>,
    table: TableHandle,
    rules: KeyRules,
    /// Held while a new table is built, so that an older one never replaces a newer one.
    records: Mutex<Records>,
    /// The last attempt failed: requests are answered by an older table.
    behind: AtomicBool,
}

/// Which keys count, by the settings.
pub(super) struct KeyRules {
    mode: KeyMode,
    /// Do containers have keys?
    containers: bool,
    /// Who is named in the file.
    configured: HashSet<UserRef>,
}

impl From<&Settings> for KeyRules {
    fn from(settings: &Settings) -> Self {
        let users = settings.groups.iter().flat_map(|group| &group.users);
        Self {
            mode: settings.key_mode,
            containers: settings.agents.is_some(),
            configured: users.map(|user| user.name.clone()).collect(),
        }
    }
}

impl KeyRules {
    /// Somebody whose name was taken out of the file has no use of the model.
    fn takes_part(&self, user: &User) -> bool {
        user.source == Source::Command || self.configured.contains(&user.name)
    }
}

/// What the table was derived from.
#[derive(Default)]
struct Records {
    instances: BTreeMap<String, Arc<Instance>>,
    keys: KeyRecords,
    /// Instances that hold an address and whose records cannot be read.
    unreadable: HashSet<InstanceId>,
    /// Containers that served and ended, until somebody has written down what that means: the records
    /// still call them ready.
    ended: HashSet<String>,
}

impl Publisher {
    pub(super) fn new(store: Arc<Store>, table: TableHandle, rules: KeyRules) -> Self {
        // Whatever somebody else derived before us: this table begins with nothing.
        store.give_back(Touched::Everything);
        Self {
            store,
            table,
            rules,
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
        let (owners, keys, sessions) = match touched {
            Touched::Everything => {
                let fresh = read(&view, &self.rules)?;
                records.instances = fresh.instances;
                records.unreadable = fresh.unreadable;
                records.keys = fresh.keys;
                let owners = records.instances.keys().cloned().collect();
                let keys = records.keys.all().map(|key| key.id.clone()).collect();
                (owners, keys, all(&view)?)
            }
            Touched::Records(_) => {
                let owners = keys_of(touched, Instance::NAME);
                let mut keys = records.keys.read_again(&view, touched, &self.rules)?;
                keys.extend(records.read_again(&view, &owners)?);
                (owners, keys, some(&view, &keys_of(touched, Session::NAME))?)
            }
        };
        let instances = owners.into_iter().map(|owner| {
            let instance = records.instances.get(&owner).map(AsRef::as_ref);
            (owner, instance)
        });
        let keys = keys.into_iter().map(|id| {
            let key = records.in_force(&id, &self.rules);
            (id, key)
        });
        self.put_in_force(&Changes {
            instances: instances.collect(),
            sessions,
            keys: keys.collect(),
            all: *touched == Touched::Everything,
        });
        Ok(())
    }

    fn put_in_force(&self, changes: &Changes<'_>) {
        let nothing =
            changes.instances.is_empty() && changes.sessions.is_empty() && changes.keys.is_empty();
        if nothing && !changes.all {
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

    /// Every key that can be read, as of the last change, in force or not.
    pub(super) fn keys(&self) -> Vec<Arc<Key>> {
        self.records.lock().keys.all().cloned().collect()
    }
}

/// The records of a table that were touched; not asked about everything.
fn keys_of(touched: &Touched, name: &str) -> Vec<String> {
    match touched {
        Touched::Everything => Vec::new(),
        Touched::Records(records) => {
            let of_table = records.iter().filter(|(table, _)| *table == name);
            of_table.map(|(_, key)| key.clone()).collect()
        }
    }
}

impl Records {
    /// Says whose keys may be in force or out of it by now.
    fn read_again(&mut self, view: &View, owners: &[String]) -> Result<Vec<KeyId>, StoreError> {
        let mut affected = Vec::new();
        for owner in owners {
            let now = readable(view.get::<Instance>(owner))?.map(Arc::new);
            let before = match now.clone() {
                Some(now) => self.instances.insert(owner.clone(), now),
                None => self.instances.remove(owner),
            };
            let container = |it: &Arc<Instance>| (it.id.clone(), it.generation, it.address);
            if before.as_ref().map(container) != now.as_ref().map(container) {
                let both = [&before, &now].into_iter().flatten();
                affected.extend(both.flat_map(|it| self.keys.of(&it.id)).cloned());
            }
        }
        Ok(affected)
    }
}

fn read(view: &View, rules: &KeyRules) -> Result<Records, StoreError> {
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
        keys: KeyRecords::read(view, rules)?,
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
