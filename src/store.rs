//! `Store`: open, migrate, read and write transactions on redb.
//!
//! It holds intent: what exists and what is wanted. Whoever changes something writes it here, in one
//! transaction with its audit entry, before anything else happens.

mod condition;
mod examine;
pub mod migrate;
mod overlay;
pub mod schema;
mod source;
mod touched;
mod transaction;
mod usage;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase as _, StorageBackend, TransactionError};

pub use condition::Unreadable;
pub use touched::Touched;
pub use transaction::{Change, View};
pub use usage::{Batch, Tallied};

use condition::Condition;
use source::Source;

use crate::domain::audit::AuditEntry;
use crate::domain::id::ApplianceId;
use crate::domain::secret::Secret;

pub use examine::{Examined, Looked, examine};

/// Audit entries kept; the oldest makes room.
pub const AUDIT_ENTRIES_MAX: u64 = 100_000;

/// Named by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is another version's or damaged: a person must look.
    #[error("{0}")]
    Refused(String),
    /// Another process has the file open.
    #[error("{} is in use by another appliance", .0.display())]
    InUse(PathBuf),
    /// This record only; the others are as good as ever.
    #[error("the record `{key}` of {table} cannot be read by this version, and is left as it is")]
    Unreadable { table: &'static str, key: String },
    /// The disk is full or broken; tried again with the next call.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl StoreError {
    fn failed(error: impl ToString) -> Self {
        Self::Failed(error.to_string())
    }
}

pub struct Store {
    source: Source,
    /// `None` while the file cannot be opened again after a failure.
    db: RwLock<Option<Database>>,
    /// Held by the one who writes, so that nobody opens the file anew in between.
    writing: Mutex<()>,
    condition: Arc<Condition>,
    touched: Mutex<Touched>,
    identity: Identity,
}

/// What a store is given once, when it is made.
#[derive(Clone, Debug)]
pub struct Identity {
    pub appliance: ApplianceId,
    /// What the editors' passwords are derived from.
    pub editor_key: Secret,
}

impl Store {
    /// Opens the file, or makes it with mode 0600 in a directory with mode 0700. `fresh` is
    /// who the appliance is if the store is new.
    pub fn open(path: &Path, fresh: impl FnOnce() -> Identity) -> Result<Self, StoreError> {
        Self::open_looked(Self::look(path)?, fresh)
    }

    /// Reads all of the file and changes nothing: opening a damaged one could change it, or panic.
    pub fn look(path: &Path) -> Result<Looked, StoreError> {
        examine::look(path)
    }

    /// `open`, for whoever has something to do between the look and the first write.
    pub fn open_looked(
        looked: Looked,
        fresh: impl FnOnce() -> Identity,
    ) -> Result<Self, StoreError> {
        looked.examined.schema.map(migrate::known).transpose()?;
        source::prepare(&looked)?;
        Self::ready(Source::File(looked.path), fresh)
    }

    /// A store that is gone with the process.
    pub fn in_memory(fresh: impl FnOnce() -> Identity) -> Result<Self, StoreError> {
        Self::on(InMemoryBackend::new, fresh)
    }

    /// On whatever `backend` gives, which is asked again after a failure.
    pub fn on<B: StorageBackend>(
        backend: impl Fn() -> B + Send + Sync + 'static,
        fresh: impl FnOnce() -> Identity,
    ) -> Result<Self, StoreError> {
        Self::ready(Source::backend(backend), fresh)
    }

    fn ready(source: Source, fresh: impl FnOnce() -> Identity) -> Result<Self, StoreError> {
        let db = source.open_first()?;
        let identity = migrate::to_current(&db, || Ok(fresh()))?;
        let store = Self {
            source,
            db: RwLock::new(Some(db)),
            writing: Mutex::new(()),
            condition: Arc::default(),
            touched: Mutex::new(Touched::Everything),
            identity,
        };
        schema::read_all(&store.view()?)?;
        Ok(store)
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What failed last, until something is written again.
    pub fn trouble(&self) -> Option<String> {
        self.condition.trouble()
    }

    /// Records that were met and could not be read. They stay as they are.
    pub fn unreadable(&self) -> Vec<Unreadable> {
        self.condition.unreadable()
    }

    /// Everything as it is at this moment, whatever is written meanwhile.
    pub fn view(&self) -> Result<View, StoreError> {
        if self.condition.is_broken() {
            let _alone = self.writing.lock();
            self.mend()?;
        }
        let tx = self.begin(Database::begin_read)?;
        Ok(View::new(tx, Arc::clone(&self.condition)))
    }

    /// One change of intent with its audit entry: all of it is durable on return, or nothing.
    pub fn change<T, E: From<StoreError>>(
        &self,
        entry: &AuditEntry,
        work: impl FnOnce(&Change) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write(|change| {
            let value = work(change)?;
            change.audit(entry)?;
            Ok(value)
        })
    }

    /// Writes down what was seen. Observations change no intent and have no audit entry.
    pub fn note<T>(
        &self,
        work: impl FnOnce(&Change) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.write(work)
    }

    /// After a failure: is there room again? The next failure would say so anyway.
    pub fn try_again(&self) -> Result<(), StoreError> {
        self.note(|_| Ok(()))
    }

    /// What was changed since this was asked last. Whoever cannot use it gives it back.
    pub fn take_touched(&self) -> Touched {
        std::mem::take(&mut self.touched.lock())
    }

    pub fn give_back(&self, touched: Touched) {
        self.touched.lock().add(touched);
    }

    fn write<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Change) -> Result<T, E>,
    ) -> Result<T, E> {
        let _alone = self.writing.lock();
        self.mend()?;
        let tx = self.begin(Database::begin_write)?;
        let change = Change::new(tx, Arc::clone(&self.condition));
        // An error drops the transaction, which undoes it.
        let value = work(&change)?;
        match change.commit() {
            Ok(touched) => {
                self.condition.worked();
                self.give_back(touched);
                Ok(value)
            }
            Err(error) => {
                self.give_back(Touched::Everything);
                Err(error.into())
            }
        }
    }

    fn begin<T>(
        &self,
        begin: impl FnOnce(&Database) -> Result<T, TransactionError>,
    ) -> Result<T, StoreError> {
        let db = self.db.read();
        let Some(db) = db.as_ref() else {
            return Err(self.condition.failed("it cannot be opened"));
        };
        begin(db).map_err(|error| self.condition.failed(error))
    }

    /// Opens the file anew after a failure: redb takes what is durable from it and nothing else.
    /// Only called by whoever holds `writing`.
    fn mend(&self) -> Result<(), StoreError> {
        if !self.condition.is_broken() {
            return Ok(());
        }
        let mut db = self.db.write();
        // The old one holds the file's lock.
        drop(db.take());
        let again = self.source.open_again().and_then(|again| {
            let another = || StoreError::Refused("the store is another one now".to_owned());
            let identity = migrate::to_current(&again, || Err(another()))?;
            let is_ours = identity.appliance == self.identity.appliance;
            is_ours.then_some(again).ok_or_else(another)
        });
        self.give_back(Touched::Everything);
        match again {
            Ok(again) => {
                *db = Some(again);
                self.condition.mended();
                Ok(())
            }
            Err(error) => Err(self.condition.failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::domain::audit::Actor;
    use crate::domain::user::Group;
    use jiff::Timestamp;

    fn id() -> Identity {
        Identity {
            appliance: "0123456789abcdef".parse().unwrap(),
            editor_key: Secret::new("key"),
        }
    }

    fn entry(action: &str) -> AuditEntry {
        AuditEntry::done(Timestamp::UNIX_EPOCH, Actor::Control, action, "red")
    }

    fn red() -> Group {
        Group {
            name: "red".parse().unwrap(),
            title: None,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_change_and_its_audit_entry_are_one() {
        let store = Store::in_memory(id).unwrap();
        store
            .change(&entry("group.create"), |tx| tx.put("red", &red()))
            .unwrap();
        let refused: Result<(), StoreError> = store.change(&entry("group.remove"), |tx| {
            tx.remove::<Group>("red")?;
            Err(StoreError::Failed("second thoughts".into()))
        });
        assert!(refused.is_err());
        let view = store.view().unwrap();
        assert_eq!(view.get::<Group>("red").unwrap(), Some(red()));
        let actions: Vec<String> = view
            .audit(9)
            .unwrap()
            .into_iter()
            .map(|e| e.action)
            .collect();
        assert_eq!(actions, ["group.create"]);
    }

    #[test]
    fn the_file_is_readable_by_its_owner_only_and_opened_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state").join("thon.redb");
        let store = Store::open(&path, id).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert!(matches!(Store::open(&path, id), Err(StoreError::InUse(_))));
        drop(store);
        let again = Store::open(&path, || unreachable!()).unwrap();
        assert_eq!(again.identity().appliance, id().appliance);
        assert_eq!(again.identity().editor_key, id().editor_key);
    }

    #[test]
    fn a_file_that_is_no_store_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thon.redb");
        fs::write(&path, "my shopping list").unwrap();
        assert!(matches!(
            Store::open(&path, id),
            Err(StoreError::Refused(_))
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "my shopping list");
    }
}
