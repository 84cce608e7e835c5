//! How the store itself is: what failed last, and which records nobody can read.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::store::StoreError;

/// A record that this version cannot read: its table and its key. It stays where it is.
pub type Unreadable = (&'static str, String);

/// Shared by the store and its transactions.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// redb refuses everything after one failed write, until the file is opened again.
    broken: AtomicBool,
    trouble: Mutex<Option<String>>,
    unreadable: Mutex<BTreeSet<Unreadable>>,
}

impl Condition {
    pub(super) fn failed(&self, error: impl ToString) -> StoreError {
        let words = error.to_string();
        self.broken.store(true, Ordering::Release);
        *self.trouble.lock() = Some(words.clone());
        StoreError::Failed(words)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(super) fn mended(&self) {
        self.broken.store(false, Ordering::Release);
    }

    /// Something was written: there is room again.
    pub(super) fn worked(&self) {
        *self.trouble.lock() = None;
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Logged the first time only: the same record is met with every look.
    pub(super) fn cannot_read(
        &self,
        table: &'static str,
        key: &str,
        error: &serde_json::Error,
    ) -> StoreError {
        if self.unreadable.lock().insert((table, key.to_owned())) {
            // The keys of invites and sessions are hashes: their beginning tells them apart.
            let key: String = key.chars().take(65).collect();
            tracing::error!(
                store.table = table,
                store.key = key,
                "a record cannot be read: {error}"
            );
        }
        StoreError::Unreadable {
            table,
            key: key.to_owned(),
        }
    }

    pub(super) fn unreadable(&self) -> Vec<Unreadable> {
        self.unreadable.lock().iter().cloned().collect()
    }
}
