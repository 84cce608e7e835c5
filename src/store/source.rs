//! Where the records are: a file or a backend, and how it is opened without harm.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, StorageBackend};

use crate::store::{Looked, StoreError};

type Open = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

pub(super) enum Source {
    File(PathBuf),
    Backend(Open),
}

impl Source {
    pub(super) fn backend<B: StorageBackend>(make: impl Fn() -> B + Send + Sync + 'static) -> Self {
        Self::Backend(Box::new(move || {
            Database::builder().create_with_backend(make())
        }))
    }

    pub(super) fn open_first(&self) -> Result<Database, StoreError> {
        self.open(Database::create)
    }

    /// After a failure. A file that is gone by now is not made anew.
    pub(super) fn open_again(&self) -> Result<Database, StoreError> {
        self.open(Database::open)
    }

    fn open(
        &self,
        by: impl FnOnce(PathBuf) -> Result<Database, DatabaseError>,
    ) -> Result<Database, StoreError> {
        match self {
            Self::File(path) => by(path.clone()).map_err(|error| in_words(path, error)),
            Self::Backend(open) => open().map_err(|error| match error {
                DatabaseError::Storage(redb::StorageError::Io(error)) => {
                    StoreError::Failed(error.to_string())
                }
                other => StoreError::Refused(format!("cannot open the store: {other}")),
            }),
        }
    }
}

/// What comes before the first opening: one of an older version is copied before it is changed, and one
/// that is not there yet is made.
pub(super) fn prepare(looked: &Looked) -> Result<(), StoreError> {
    let path = looked.path.as_path();
    let unprepared = |error: io::Error| {
        StoreError::Failed(format!("cannot prepare {}: {error}", path.display()))
    };
    prepare_dir(path).map_err(unprepared)?;
    if let Some(older) = looked.examined.older() {
        keep_copy(path, older).map_err(|error| {
            StoreError::Failed(format!(
                "no copy of {} could be made before it is changed: {error}",
                path.display()
            ))
        })?;
    }
    make_whole(path).map_err(|error| in_words(path, error))?;
    restrict(path).map_err(unprepared)
}

pub(super) fn in_words(path: &Path, error: DatabaseError) -> StoreError {
    let file = path.display();
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.to_owned()),
        DatabaseError::UpgradeRequired(version) => StoreError::Refused(format!(
            "{file} has file format {version}, which this version cannot read"
        )),
        // Not the file's fault: a full disk, a missing right.
        DatabaseError::Storage(redb::StorageError::Io(error))
            if !matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            StoreError::Failed(format!("cannot open {file}: {error}"))
        }
        other => StoreError::Refused(format!(
            "{file} cannot be read: it is damaged or no store of ours ({other})"
        )),
    }
}

/// `thon.redb.v1` and so on: what an older program can start from again.
fn keep_copy(path: &Path, version: u32) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".v{version}"));
    let copy = PathBuf::from(&name);
    let (part, mut to) = part(name)?;
    io::copy(&mut File::open(path)?, &mut to)?;
    to.sync_all()?;
    fs::rename(&part, &copy)?;
    sync_dir(path)?;
    tracing::info!(copy = %copy.display(), "the store as it was before the upgrade is kept");
    Ok(())
}

fn prepare_dir(path: &Path) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Under another name until it is whole: one that was killed while it made a file must not leave half
/// a file, which nobody could tell from a damaged one.
fn make_whole(path: &Path) -> Result<(), DatabaseError> {
    if fs::metadata(path).is_ok_and(|there| there.len() > 0) {
        return Ok(());
    }
    let (part, _) = part(path.as_os_str().to_owned())?;
    Database::create(&part)?.close()?;
    fs::rename(&part, path)?;
    Ok(sync_dir(path)?)
}

/// A new file beside this one; a former one was left by somebody who was killed.
fn part(mut name: OsString) -> io::Result<(PathBuf, File)> {
    name.push(".part");
    let part = PathBuf::from(name);
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)?;
    Ok((part, file))
}

fn sync_dir(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn restrict(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))
}
