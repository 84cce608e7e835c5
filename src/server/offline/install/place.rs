//! Puts files where the service finds them: all of a file or nothing, also while it is in use.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::fcntl::OFlag;

use crate::host::service;

/// Where the unit starts it.
pub(super) const PROGRAM: &str = "/usr/local/bin/thon";

/// This very program, wherever it was started from and whatever has its name by now.
const SELF: &str = "/proc/self/exe";

/// What became of the unit.
pub(super) struct Placed {
    pub(super) is_changed: bool,
    /// The one that was there.
    pub(super) kept: Option<PathBuf>,
}

pub(super) fn program() -> anyhow::Result<bool> {
    let bytes = fs::read(SELF).context("this program cannot read itself")?;
    put(Path::new(PROGRAM), &bytes, 0o755)
}

/// One that differs may have somebody's changes in it: it is kept beside the new one.
pub(super) fn unit() -> anyhow::Result<Placed> {
    let path = Path::new(service::UNIT_PATH);
    let there = contents(path);
    let mut kept = None;
    if let Some(there) = there.filter(|there| there != service::UNIT.as_bytes()) {
        let aside = path.with_extension("service.before");
        put(&aside, &there, 0o644)?;
        kept = Some(aside);
    }
    let is_changed = put(path, service::UNIT.as_bytes(), 0o644)?;
    Ok(Placed { is_changed, kept })
}

/// Of a file, also behind a link; anything else holds nothing that is worth keeping.
fn contents(path: &Path) -> Option<Vec<u8>> {
    let is_file = fs::metadata(path).is_ok_and(|meta| meta.is_file());
    is_file.then(|| fs::read(path).ok()).flatten()
}

/// Says whether it had to be written.
pub(super) fn put(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<bool> {
    let failed = || format!("cannot write {}", path.display());
    if is_there(path, bytes, mode).with_context(failed)? {
        return Ok(false);
    }
    write(path, bytes, mode).with_context(failed)?;
    Ok(true)
}

fn is_there(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        meta => meta?,
    };
    // What a link leads to, or a pipe, is nobody's program.
    if !meta.is_file()
        || meta.permissions().mode() & 0o7777 != mode
        || meta.len() != bytes.len() as u64
    {
        return Ok(false);
    }
    Ok(fs::read(path)? == bytes)
}

/// A program that runs cannot be written to, but its name can be given to another file.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.new"));
    // Left by one that was killed.
    remove(&temporary)?;
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&temporary)?;
        file.write_all(bytes)?;
        // Whatever the umask is.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    })();
    if written.is_err() {
        remove(&temporary)?;
    }
    written
}

/// Says whether it was there.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_link_or_a_pipe_in_the_file_s_place_is_replaced_and_a_directory_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (path, theirs) = (dir.path().join("thon"), dir.path().join("theirs"));
        put(&theirs, b"one", 0o755).unwrap();
        symlink(&theirs, &path).unwrap();
        assert!(put(&path, b"one", 0o755).unwrap());
        assert!(path.symlink_metadata().unwrap().is_file());
        fs::remove_file(&path).unwrap();
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert_eq!(contents(&path), None);
        assert!(put(&path, b"two", 0o755).unwrap());
        assert_eq!(fs::read(&theirs).unwrap(), b"one");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(put(&path, b"two", 0o755).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_is_written_once_and_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bin/thon");
        assert!(put(&path, b"one", 0o755).unwrap());
        assert!(!put(&path, b"one", 0o755).unwrap());
        let running = File::open(&path).unwrap();
        assert!(put(&path, b"two", 0o755).unwrap());
        let mut old = String::new();
        (&running).read_to_string(&mut old).unwrap();
        assert_eq!(
            (old.as_str(), fs::read(&path).unwrap()),
            ("one", b"two".to_vec())
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(put(&path, b"two", 0o755).unwrap(), "the mode counts");
        let names = fs::read_dir(dir.path().join("bin")).unwrap().count();
        assert_eq!(names, 1, "nothing is left over");
        assert!(remove(&path).unwrap() && !remove(&path).unwrap());
    }
}
