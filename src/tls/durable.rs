//! Files that survive a crash whole or not at all, readable by their owner only.
//!
//! Root may write here into a directory of the user that the appliance runs as, who could put a link
//! in the place of a directory at any moment: what was made is held open, and only that is written to.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

/// A directory that is whole and has not got its name yet.
#[must_use]
pub(super) struct Prepared {
    fresh: PathBuf,
    dir: PathBuf,
}

impl Prepared {
    /// Both files in a new directory beside `dir`, so that a process that is killed leaves no half of
    /// a pair behind, and one that finds the disk full has touched nothing.
    pub(super) fn write(dir: &Path, files: [(&str, &[u8]); 2]) -> io::Result<Self> {
        let prepared = Self {
            fresh: dir.with_extension("new"),
            dir: dir.to_owned(),
        };
        // Left by one that was killed.
        clear(&prepared.fresh)?;
        let written = write_into(&prepared.fresh, files);
        if written.is_err() {
            // The first error says more than one of clearing up.
            drop(clear(&prepared.fresh));
        }
        written.map(|()| prepared)
    }

    /// A directory never takes the place of one that holds something.
    pub(super) fn take_place(self) -> io::Result<()> {
        let renamed = rename(&self.fresh, &self.dir);
        if renamed.is_err() {
            drop(clear(&self.fresh));
        }
        renamed
    }

    /// The same, with what is there moved to a name beside it that says when. That name is given back;
    /// `None` if there was nothing.
    pub(super) fn replace(self, now: Timestamp) -> io::Result<Option<PathBuf>> {
        let kept = match move_away(&self.dir, now) {
            Ok(kept) => kept,
            Err(error) => {
                drop(clear(&self.fresh));
                return Err(error);
            }
        };
        let dir = self.dir.clone();
        let placed = self.take_place();
        if let (Err(_), Some(kept)) = (&placed, &kept) {
            rename(kept, &dir)?;
        }
        placed.map(|()| kept)
    }
}

fn move_away(dir: &Path, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let stamp = now.strftime("until-%Y%m%dT%H%M%SZ").to_string();
    let kept = dir.with_extension(stamp);
    match kept.symlink_metadata() {
        // It would take the place of an empty directory only, but nobody has to rely on that.
        Ok(_) => {
            let there = format!("{} is there already", kept.display());
            return Err(io::Error::other(there));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    match rename(dir, &kept) {
        Ok(()) => Ok(Some(kept)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whatever has the name goes; what a link leads to stays.
fn clear(path: &Path) -> io::Result<()> {
    let cleared = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match cleared {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        cleared => cleared,
    }
}

fn write_into(fresh: &Path, files: [(&str, &[u8]); 2]) -> io::Result<()> {
    let parent = fresh.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)?;
    DirBuilder::new().mode(0o700).create(fresh)?;
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let held = File::from(open(fresh, flags, Mode::empty())?);
    if held.metadata()?.uid() != geteuid().as_raw() {
        let swapped = format!("{} was exchanged meanwhile", fresh.display());
        return Err(io::Error::other(swapped));
    }
    let owner = Owner::of(parent)?;
    // First of all: what is left of it when we are killed can then be cleared by the owner.
    owner.gets(&held)?;
    for (name, bytes) in files {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(&held, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        file.write_all(bytes)?;
        owner.gets(&file)?;
        file.sync_all()?;
    }
    held.sync_all()
}

/// Whoever will read it: a command of root's may be killed before it gives away what it made, and the
/// service would not get past that.
struct Owner(u32, u32);

impl Owner {
    fn of(parent: &Path) -> io::Result<Self> {
        let meta = fs::metadata(parent)?;
        Ok(Self(meta.uid(), meta.gid()))
    }

    fn gets(&self, file: &File) -> io::Result<()> {
        if geteuid().is_root() {
            fchown(file, Some(self.0), Some(self.1))?;
        }
        Ok(())
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    // The new name is durable once the directory is.
    to.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
