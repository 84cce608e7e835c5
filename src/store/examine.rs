//! Looks into a store's file without changing it: what redb writes meanwhile stays in memory.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableError};

use crate::domain::audit::AuditEntry;
use crate::store::overlay::Overlay;
use crate::store::schema::{AUDIT, META, VERSION};
use crate::store::source::in_words;
use crate::store::{StoreError, migrate};

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

    pub(super) fn older(&self) -> Option<u32> {
        self.schema.filter(|schema| *schema < VERSION)
    }
}

/// A file that was found whole, or is not there yet.
#[derive(Debug)]
pub struct Looked {
    pub(super) path: PathBuf,
    pub examined: Examined,
}

/// A visitor's look: nobody is kept from opening the file meanwhile. `Refused` says that it is damaged,
/// or is no store.
pub fn examine(path: &Path) -> Result<Examined, StoreError> {
    match open(path)? {
        Some(file) => through(path, file),
        None => Ok(Examined::default()),
    }
}

/// The look of whoever opens it next.
pub(super) fn look(path: &Path) -> Result<Looked, StoreError> {
    let examined = match open(path)? {
        Some(file) => {
            file.try_lock_shared().map_err(|error| match error {
                TryLockError::WouldBlock => StoreError::InUse(path.to_owned()),
                TryLockError::Error(error) => in_words(path, error.into()),
            })?;
            through(path, file)?
        }
        None => Examined::default(),
    };
    Ok(Looked {
        path: path.to_owned(),
        examined,
    })
}

/// The look may be root's, and the directory another account's: no link is followed, and nothing is
/// waited for that never ends, such as a pipe.
fn open(path: &Path) -> Result<Option<File>, StoreError> {
    let failed = |error: io::Error| in_words(path, error.into());
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            let link = format!(
                "{} is a symbolic link: name the directory that it leads to as `state_dir`",
                path.display()
            );
            return Err(StoreError::Refused(link));
        }
        opened => opened.map_err(failed)?,
    };
    if !file.metadata().map_err(failed)?.is_file() {
        let no_file = format!("{} is no file", path.display());
        return Err(StoreError::Refused(no_file));
    }
    Ok(Some(file))
}

fn through(path: &Path, file: File) -> Result<Examined, StoreError> {
    let failed = |error: io::Error| in_words(path, error.into());
    if file.metadata().map_err(failed)?.len() == 0 {
        return Ok(Examined::default());
    }
    let overlay = Overlay::new(file).map_err(failed)?;
    let db = Database::builder()
        // Damage anywhere is found here. Without it, redb trusts what it reads and panics on what
        // cannot be.
        .set_check_integrity_on_open(true)
        .create_with_backend(overlay)
        .map_err(|error| in_words(path, error))?;
    read(&db)
}

fn read(db: &Database) -> Result<Examined, StoreError> {
    let strange = |error: TableError| StoreError::Refused(format!("no store of ours: {error}"));
    let tx = db.begin_read().map_err(StoreError::failed)?;
    let schema = match tx.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Examined::default()),
        table => {
            let table = table.map_err(strange)?;
            let written = table.get("schema").map_err(StoreError::failed)?;
            let number = written.map(|text| migrate::number(text.value()));
            number.transpose()?
        }
    };
    let newest_entry = match tx.open_table(AUDIT) {
        Err(TableError::TableDoesNotExist(_)) => None,
        audit => {
            let audit = audit.map_err(strange)?;
            let newest = audit.last().map_err(StoreError::failed)?;
            // A newer version's entry may have another shape.
            newest.and_then(|(_, value)| {
                let entry: Option<AuditEntry> = serde_json::from_slice(value.value()).ok();
                entry.map(|entry| entry.at)
            })
        }
    };
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
    fn a_look_changes_nothing_and_keeps_nobody_out() {
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
        std::fs::remove_file(&path).unwrap();
        assert_eq!(examine(&path).unwrap(), Examined::default());
        assert!(!path.exists());
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

    #[test]
    fn a_link_or_a_pipe_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thon.redb");
        written(&path);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(examine(&link), Err(StoreError::Refused(_))));
        assert!(matches!(look(&link), Err(StoreError::Refused(_))));
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(examine(&pipe), Err(StoreError::Refused(_))));
        assert!(matches!(look(&pipe), Err(StoreError::Refused(_))));
    }
}
