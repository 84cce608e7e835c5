//! `Store`: open, migrate, read and write transactions on redb.
//!
//! It holds intent: what exists and what is wanted. Whoever changes something writes it here, in one
//! transaction with its audit entry, before anything else happens.

mod examine;
pub mod migrate;
pub mod schema;

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use redb::backends::InMemoryBackend;
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase as _, ReadableTable,
    WriteTransaction,
};

use crate::domain::audit::AuditEntry;
use crate::domain::id::ApplianceId;
use crate::domain::secret::Secret;
use crate::store::schema::{AUDIT, Record};

pub use examine::{Examined, examine};

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
    #[error("the store failed: {0}")]
    Failed(String),
}

impl StoreError {
    pub(crate) fn failed(error: impl ToString) -> Self {
        Self::Failed(error.to_string())
    }
}

pub struct Store {
    db: Database,
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
        prepare_file(path).map_err(|error| {
            StoreError::Failed(format!("cannot prepare {}: {error}", path.display()))
        })?;
        let db = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.to_owned()),
            DatabaseError::UpgradeRequired(version) => StoreError::Refused(format!(
                "{} has file format {version}, which this version cannot read",
                path.display()
            )),
            other => StoreError::Refused(format!("cannot open {}: {other}", path.display())),
        })?;
        Self::ready(db, fresh)
    }

    /// A store that is gone with the process.
    pub fn in_memory(fresh: impl FnOnce() -> Identity) -> Result<Self, StoreError> {
        let db = Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .map_err(StoreError::failed)?;
        Self::ready(db, fresh)
    }

    fn ready(db: Database, fresh: impl FnOnce() -> Identity) -> Result<Self, StoreError> {
        let identity = migrate::to_current(&db, fresh)?;
        Ok(Self { db, identity })
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Everything as it is at this moment, whatever is written meanwhile.
    pub fn view(&self) -> Result<View, StoreError> {
        self.db.begin_read().map(View).map_err(StoreError::failed)
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

    fn write<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Change) -> Result<T, E>,
    ) -> Result<T, E> {
        let change = Change(self.db.begin_write().map_err(StoreError::failed)?);
        // An error drops the transaction, which undoes it.
        let value = work(&change)?;
        change.0.commit().map_err(StoreError::failed)?;
        Ok(value)
    }
}

/// A read transaction.
pub struct View(ReadTransaction);

impl View {
    pub fn get<R: Record>(&self, key: &str) -> Result<Option<R>, StoreError> {
        let table = self.0.open_table(R::TABLE).map_err(StoreError::failed)?;
        record(&table, key)
    }

    /// Every record with its key, by key.
    pub fn all<R: Record>(&self) -> Result<Vec<(String, R)>, StoreError> {
        let table = self.0.open_table(R::TABLE).map_err(StoreError::failed)?;
        records(&table)
    }

    /// The newest audit entries, newest first.
    pub fn audit(&self, count: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let table = self.0.open_table(AUDIT).map_err(StoreError::failed)?;
        let newest = table.iter().map_err(StoreError::failed)?.rev().take(count);
        newest
            .map(|row| {
                let (key, value) = row.map_err(StoreError::failed)?;
                decode(&key.value().to_string(), value.value())
            })
            .collect()
    }
}

/// A write transaction.
pub struct Change(WriteTransaction);

impl Change {
    pub fn get<R: Record>(&self, key: &str) -> Result<Option<R>, StoreError> {
        let table = self.0.open_table(R::TABLE).map_err(StoreError::failed)?;
        record(&table, key)
    }

    pub fn all<R: Record>(&self) -> Result<Vec<(String, R)>, StoreError> {
        let table = self.0.open_table(R::TABLE).map_err(StoreError::failed)?;
        records(&table)
    }

    pub fn put<R: Record>(&self, key: &str, record: &R) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(record).map_err(StoreError::failed)?;
        let mut table = self.0.open_table(R::TABLE).map_err(StoreError::failed)?;
        table
            .insert(key, bytes.as_slice())
            .map_err(StoreError::failed)?;
        Ok(())
    }

    /// Says whether there was one.
    pub fn remove<R: Record>(&self, key: &str) -> Result<bool, StoreError> {
        let mut table = self.0.open_table(R::TABLE).map_err(StoreError::failed)?;
        let removed = table.remove(key).map_err(StoreError::failed)?;
        Ok(removed.is_some())
    }

    /// Adds an entry to the audit log, for a change that does several things.
    pub fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(entry).map_err(StoreError::failed)?;
        let mut table = self.0.open_table(AUDIT).map_err(StoreError::failed)?;
        let last = table
            .last()
            .map_err(StoreError::failed)?
            .map_or(0, |(key, _)| key.value());
        table
            .insert(last + 1, bytes.as_slice())
            .map_err(StoreError::failed)?;
        if let Some(oldest) = (last + 1).checked_sub(AUDIT_ENTRIES_MAX) {
            table.remove(oldest).map_err(StoreError::failed)?;
        }
        Ok(())
    }
}

/// A table of either kind of transaction.
trait Rows: ReadableTable<&'static str, &'static [u8]> {}

impl<T: ReadableTable<&'static str, &'static [u8]>> Rows for T {}

fn record<R: Record>(table: &impl Rows, key: &str) -> Result<Option<R>, StoreError> {
    let found = table.get(key).map_err(StoreError::failed)?;
    found.map(|value| decode(key, value.value())).transpose()
}

fn records<R: Record>(table: &impl Rows) -> Result<Vec<(String, R)>, StoreError> {
    let rows = table.iter().map_err(StoreError::failed)?;
    rows.map(|row| {
        let (key, value) = row.map_err(StoreError::failed)?;
        let record = decode(key.value(), value.value())?;
        Ok((key.value().to_owned(), record))
    })
    .collect()
}

fn decode<T: serde::de::DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes)
        .map_err(|error| StoreError::Refused(format!("the record `{key}` cannot be read: {error}")))
}

fn prepare_file(path: &Path) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests {
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
