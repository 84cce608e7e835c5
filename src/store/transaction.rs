//! `View` and `Change`: one look at every record, and one change of some.

use std::cell::RefCell;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use serde::de::DeserializeOwned;

use crate::domain::audit::AuditEntry;
use crate::store::condition::Condition;
use crate::store::schema::{AUDIT, AUDIT_NAME, Record};
use crate::store::{AUDIT_ENTRIES_MAX, StoreError, Touched};

/// A read transaction: everything as it was at one moment.
pub struct View {
    pub(super) tx: ReadTransaction,
    pub(super) condition: Arc<Condition>,
}

impl View {
    pub(super) fn new(tx: ReadTransaction, condition: Arc<Condition>) -> Self {
        Self { tx, condition }
    }

    pub fn get<R: Record>(&self, key: &str) -> Result<Option<R>, StoreError> {
        let table = self.tx.open_table(R::TABLE);
        let table = table.map_err(|error| self.condition.failed(error))?;
        record(&table, key, &self.condition)
    }

    /// Every record that can be read, with its key, by key.
    pub fn all<R: Record>(&self) -> Result<Vec<(String, R)>, StoreError> {
        let table = self.tx.open_table(R::TABLE);
        let table = table.map_err(|error| self.condition.failed(error))?;
        records(&table, &self.condition)
    }

    /// The newest audit entries, newest first.
    pub fn audit(&self, count: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let failed = |error: redb::Error| self.condition.failed(error);
        let table = self.tx.open_table(AUDIT).map_err(|e| failed(e.into()))?;
        let newest = table.iter().map_err(|e| failed(e.into()))?.rev();
        let mut entries = Vec::new();
        for row in newest.take(count) {
            let (key, value) = row.map_err(|e| failed(e.into()))?;
            let key = key.value().to_string();
            if let Ok(entry) = decode(AUDIT_NAME, &key, value.value(), &self.condition) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}

/// A write transaction.
pub struct Change {
    pub(super) tx: WriteTransaction,
    pub(super) condition: Arc<Condition>,
    touched: RefCell<Touched>,
}

impl Change {
    pub(super) fn new(tx: WriteTransaction, condition: Arc<Condition>) -> Self {
        Self {
            tx,
            condition,
            touched: RefCell::default(),
        }
    }

    /// Durable on return. After an error nobody knows: all of it is there, or nothing.
    pub(super) fn commit(self) -> Result<Touched, StoreError> {
        let committed = self.tx.commit();
        committed.map_err(|error| self.condition.failed(error))?;
        Ok(self.touched.into_inner())
    }

    pub fn get<R: Record>(&self, key: &str) -> Result<Option<R>, StoreError> {
        let table = self.tx.open_table(R::TABLE);
        let table = table.map_err(|error| self.condition.failed(error))?;
        record(&table, key, &self.condition)
    }

    /// Every record that can be read, with its key, by key.
    pub fn all<R: Record>(&self) -> Result<Vec<(String, R)>, StoreError> {
        let table = self.tx.open_table(R::TABLE);
        let table = table.map_err(|error| self.condition.failed(error))?;
        records(&table, &self.condition)
    }

    /// The key of every record, also of those that cannot be read.
    pub fn keys<R: Record>(&self) -> Result<Vec<String>, StoreError> {
        let failed = |error: redb::Error| self.condition.failed(error);
        let table = self.tx.open_table(R::TABLE).map_err(|e| failed(e.into()))?;
        let rows = table.iter().map_err(|e| failed(e.into()))?;
        rows.map(|row| {
            let (key, _) = row.map_err(|e| failed(e.into()))?;
            Ok(key.value().to_owned())
        })
        .collect()
    }

    /// One that cannot be read is not written over: a later version may be able to.
    pub fn put<R: Record>(&self, key: &str, record: &R) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(record).map_err(|error| self.condition.failed(error))?;
        self.get::<R>(key)?;
        let failed = |error: redb::Error| self.condition.failed(error);
        let mut table = self.tx.open_table(R::TABLE).map_err(|e| failed(e.into()))?;
        table
            .insert(key, bytes.as_slice())
            .map_err(|e| failed(e.into()))?;
        self.touch::<R>(key);
        Ok(())
    }

    /// Says whether there was one. One that cannot be read stays.
    pub fn remove<R: Record>(&self, key: &str) -> Result<bool, StoreError> {
        if self.get::<R>(key)?.is_none() {
            return Ok(false);
        }
        let failed = |error: redb::Error| self.condition.failed(error);
        let mut table = self.tx.open_table(R::TABLE).map_err(|e| failed(e.into()))?;
        table.remove(key).map_err(|e| failed(e.into()))?;
        self.touch::<R>(key);
        Ok(true)
    }

    fn touch<R: Record>(&self, key: &str) {
        if let Touched::Records(records) = &mut *self.touched.borrow_mut() {
            records.insert((R::NAME, key.to_owned()));
        }
    }

    /// Adds an entry to the audit log, for a change that does several things.
    pub fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(entry).map_err(|error| self.condition.failed(error))?;
        let failed = |error: redb::Error| self.condition.failed(error);
        let mut table = self.tx.open_table(AUDIT).map_err(|e| failed(e.into()))?;
        let last = table
            .last()
            .map_err(|e| failed(e.into()))?
            .map_or(0, |(key, _)| key.value());
        table
            .insert(last + 1, bytes.as_slice())
            .map_err(|e| failed(e.into()))?;
        if let Some(oldest) = (last + 1).checked_sub(AUDIT_ENTRIES_MAX) {
            table.remove(oldest).map_err(|e| failed(e.into()))?;
        }
        Ok(())
    }
}

/// A table of either kind of transaction.
trait Rows: ReadableTable<&'static str, &'static [u8]> {}

impl<T: ReadableTable<&'static str, &'static [u8]>> Rows for T {}

fn record<R: Record>(
    table: &impl Rows,
    key: &str,
    condition: &Condition,
) -> Result<Option<R>, StoreError> {
    let found = table.get(key).map_err(|error| condition.failed(error))?;
    found
        .map(|value| decode(R::NAME, key, value.value(), condition))
        .transpose()
}

fn records<R: Record>(
    table: &impl Rows,
    condition: &Condition,
) -> Result<Vec<(String, R)>, StoreError> {
    let rows = table.iter().map_err(|error| condition.failed(error))?;
    let mut all = Vec::new();
    for row in rows {
        let (key, value) = row.map_err(|error| condition.failed(error))?;
        // One that cannot be read is noted, and keeps nobody from the others.
        if let Ok(record) = decode(R::NAME, key.value(), value.value(), condition) {
            all.push((key.value().to_owned(), record));
        }
    }
    Ok(all)
}

pub(super) fn decode<T: DeserializeOwned>(
    table: &'static str,
    key: &str,
    bytes: &[u8],
    condition: &Condition,
) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| condition.cannot_read(table, key, &error))
}
