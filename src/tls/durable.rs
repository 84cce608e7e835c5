//! Files that survive a crash whole or not at all, readable by their owner only.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Both files in a new directory. It has another name first, so that a process that is killed leaves
/// no half of a pair behind.
pub(super) fn write_pair(dir: &Path, files: [(&str, &[u8]); 2]) -> io::Result<()> {
    let fresh = dir.with_extension("new");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&fresh)?;
    for (name, bytes) in files {
        write_private(&fresh.join(name), bytes)?;
    }
    replace(&fresh, dir)
}

/// To a name beside it that says when; `None` if there is nothing.
pub(super) fn move_away(dir: &Path, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let stamp = now.strftime("until-%Y%m%dT%H%M%SZ").to_string();
    let kept = dir.with_extension(stamp);
    match kept.symlink_metadata() {
        // It would take the place of an empty directory only, but nobody has to rely on that.
        Ok(_) => {
            return Err(io::Error::other(format!(
                "{} is there already",
                kept.display()
            )));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    match replace(dir, &kept) {
        Ok(()) => Ok(Some(kept)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    replace(&temporary, path)
}

/// A directory never takes the place of one that holds something.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    // The new name is durable once the directory is.
    to.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
