//! Looks into a store's file without changing or locking it: a copy in memory is opened instead.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use nix::fcntl::OFlag;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, StorageBackend as _, TableError};

use crate::domain::audit::AuditEntry;
use crate::store::StoreError;
use crate::store::schema::{AUDIT, META, VERSION};

/// A store that is larger is not read into memory for a look.
const COPY_BYTES_MAX: u64 = 256 << 20;

/// What a file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// `None`: nothing was written yet.
    pub schema: Option<u32>,
    /// By the clock of whoever wrote it.
    pub newest_entry: Option<Timestamp>,
}

impl Examined {
    /// Only a later version can read it.
    pub fn is_newer(&self) -> bool {
        self.schema.is_some_and(|schema| schema > VERSION)
    }
}

/// `Refused` says that the file is damaged, or is no store.
pub fn examine(path: &Path) -> Result<Examined, StoreError> {
    let bytes = copy(path)?;
    if bytes.is_empty() {
        return Ok(Examined::default());
    }
    let refused = |error: &dyn ToString| {
        let why = error.to_string();
        StoreError::Refused(format!("{} cannot be read: {why}", path.display()))
    };
    let backend = InMemoryBackend::new();
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    backend
        .set_len(length)
        .and_then(|()| backend.write(0, &bytes))
        .map_err(StoreError::failed)?;
    drop(bytes);
    let db = Database::builder()
        // Without it, redb trusts what it reads and panics on what cannot be.
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)
        .map_err(|error| refused(&error))?;
    look(&db).map_err(|error| refused(&error))
}

fn copy(path: &Path) -> Result<Vec<u8>, StoreError> {
    let failed = |error: std::io::Error| {
        StoreError::Failed(format!("{} cannot be read: {error}", path.display()))
    };
    // The look may be root's, and the directory another account's: no link is followed, and nothing
    // is waited for that never ends.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = opened.map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(StoreError::Refused(format!(
            "{} is no file",
            path.display()
        )));
    }
    let mut bytes = Vec::new();
    let read = file.take(COPY_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(failed)?;
    if bytes.len() as u64 > COPY_BYTES_MAX {
        let mib = COPY_BYTES_MAX >> 20;
        let too_large = format!("{} is larger than {mib} MiB", path.display());
        return Err(StoreError::Failed(too_large));
    }
    Ok(bytes)
}

fn look(db: &Database) -> Result<Examined, StoreError> {
    let tx = db.begin_read().map_err(StoreError::failed)?;
    let schema = match tx.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Examined::default()),
        table => {
            let table = table.map_err(StoreError::failed)?;
            let written = table.get("schema").map_err(StoreError::failed)?;
            written.and_then(|text| text.value().parse().ok())
        }
    };
    let audit = tx.open_table(AUDIT).map_err(StoreError::failed)?;
    let newest = audit.last().map_err(StoreError::failed)?;
    // A newer version's entry may have another shape.
    let newest_entry = newest.and_then(|(_, value)| {
        let entry: Option<AuditEntry> = serde_json::from_slice(value.value()).ok();
        entry.map(|entry| entry.at)
    });
    Ok(Examined {
        schema,
        newest_entry,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::Actor;
    use crate::domain::secret::Secret;
    use crate::store::{Identity, Store};

    fn written(path: &Path) {
        let id = || Identity {
            appliance: "0123456789abcdef".parse().unwrap(),
            editor_key: Secret::new("key"),
        };
        let store = Store::open(path, id).unwrap();
        let entry = AuditEntry::done(Timestamp::UNIX_EPOCH, Actor::Control, "a", "b");
        store.change(&entry, |_| Ok::<(), StoreError>(())).unwrap();
    }

    #[test]
    fn a_look_changes_nothing_and_needs_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thon.redb");
        written(&path);
        let before = std::fs::read(&path).unwrap();
        let seen = examine(&path).unwrap();
        assert_eq!(seen.schema, Some(VERSION));
        assert_eq!(seen.newest_entry, Some(Timestamp::UNIX_EPOCH));
        assert!(!seen.is_newer());
        assert!(std::fs::read(&path).unwrap() == before, "it was changed");
        std::fs::write(&path, "").unwrap();
        assert_eq!(examine(&path).unwrap(), Examined::default());
    }

    #[test]
    fn a_damaged_file_is_an_error_wherever_the_damage_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thon.redb");
        written(&path);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, "my shopping list").unwrap();
        assert!(matches!(examine(&path), Err(StoreError::Refused(_))));
        for keep in [10, 300, 4_096, 8_192, whole.len() / 2, whole.len() - 4_096] {
            std::fs::write(&path, &whole[..keep]).unwrap();
            let seen = examine(&path);
            assert!(
                matches!(seen, Err(StoreError::Refused(_))),
                "{keep}: {seen:?}"
            );
        }
        for at in (0..whole.len()).step_by(31_013) {
            let mut torn = whole.clone();
            torn[at..]
                .iter_mut()
                .take(512)
                .for_each(|byte| *byte ^= 0x5a);
            std::fs::write(&path, &torn).unwrap();
            // Damage in a page that nothing refers to is none. What counts is that nothing panics.
            drop(examine(&path));
        }
    }
}
