//! The directories that the appliance stands on: whose they are, who may look in, how much room there is.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access, geteuid};

use crate::config::Config;
use crate::server::catalogue as code;
use crate::server::privileges;
use crate::server::trouble::{Entry, Trouble};
use crate::tls;

/// A new store takes a bit more than one MiB; a start that fails half way helps nobody.
pub(super) const ROOM_BYTES_MIN: u64 = 8 << 20;

/// What tells that a directory is an appliance's.
const MARKS: [&str; 4] = ["ca", "control.sock", "thon.log", "thon.redb"];

/// What may be there before the first start.
const HARMLESS: [&str; 4] = ["lock", "lost+found", "run", "thon.yaml"];

/// The authority's certificate and key.
pub(super) fn ca_files(config: &Config) -> [PathBuf; 2] {
    ["rootCA.crt", "rootCA.key"].map(|name| config.state_dir.join("ca").join(name))
}

/// A damaged authority has a code; whatever else went wrong keeps its words.
pub(super) fn authority_trouble(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<tls::TlsError>() {
        Some(tls::TlsError::Damaged(words)) => code::CA_DAMAGED.says(words).into(),
        _ => error,
    }
}

/// Nobody else may even look into it: it holds the way to the admin API.
pub(super) fn private_dir(dir: &Path, key: &str) -> Result<(), Trouble> {
    let failed = |error: io::Error| refused(dir, key, &error);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(failed)?;
    is_ours(dir, key)?;
    std::fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(failed)
}

/// Whose it is and what it holds, without a change. `Ok(None)` when there is no such directory yet.
pub(super) fn is_ours(dir: &Path, key: &str) -> Result<Option<Metadata>, Trouble> {
    let failed = |error: io::Error| refused(dir, key, &error);
    // Root follows no link: whoever made it could lead it elsewhere. Others have their own rights only.
    let looked = if geteuid().is_root() {
        std::fs::symlink_metadata(dir)
    } else {
        std::fs::metadata(dir)
    };
    let meta = match looked {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        looked => looked.map_err(failed)?,
    };
    let place = dir.display();
    if !meta.is_dir() {
        let what = "is a symbolic link or no directory";
        return Err(code::STATE_FOREIGN.says(format!("{place}, of `{key}`, {what}")));
    }
    if !owners().contains(&meta.uid()) {
        return Err(code::STATE_FOREIGN.says(format!(
            "{place}, of `{key}`, belongs to {}, who could change it under us",
            privileges::name_of(meta.uid())
        )));
    }
    if is_somebody_else_s(dir).map_err(failed)? {
        return Err(code::STATE_SHARED.says(format!(
            "{place}, of `{key}`, holds other things than THON's, and would be closed to everybody else"
        )));
    }
    Ok(Some(meta))
}

/// What the account that we are by now needs, before anything is opened: every file of the records
/// can be reached, there is room, and nobody else reads the authority's key.
pub(super) fn check(config: &Config) -> Result<(), Trouble> {
    let dir = &config.state_dir;
    may(
        dir,
        AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK,
    )?;
    let room = room(dir).unwrap_or(u64::MAX);
    if room < ROOM_BYTES_MIN {
        return Err(full(dir, room));
    }
    may(&config.store_path(), AccessFlags::R_OK | AccessFlags::W_OK)?;
    let [certificate, key] = ca_files(config);
    may(&certificate, AccessFlags::R_OK)?;
    may(&key, AccessFlags::R_OK)?;
    key_is_private(&key)
}

/// Bytes that an ordinary account may still write there.
pub(super) fn room(dir: &Path) -> Option<u64> {
    let disk = statvfs(dir).ok()?;
    Some(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

pub(super) fn full(dir: &Path, room: u64) -> Trouble {
    code::STATE_FULL.says(format!(
        "{} has room for {} KiB only, and the records need {} MiB",
        dir.display(),
        room >> 10,
        ROOM_BYTES_MIN >> 20
    ))
}

/// A key that others could have copied is no secret any more; `ssh` refuses one as well.
pub(super) fn key_is_private(key: &Path) -> Result<(), Trouble> {
    match std::fs::metadata(key) {
        Ok(meta) if meta.mode() & 0o077 != 0 => Err(code::CA_KEY_OPEN.says(format!(
            "{} has mode {:04o}: others may read it",
            key.display(),
            meta.mode() & 0o7777
        ))),
        _ => Ok(()),
    }
}

/// May we? What is not there is made later.
fn may(path: &Path, flags: AccessFlags) -> Result<(), Trouble> {
    match access(path, flags) {
        Ok(()) | Err(nix::errno::Errno::ENOENT) => Ok(()),
        Err(error) => Err(refused(path, "state_dir", &error.into())),
    }
}

pub(super) fn refused(path: &Path, key: &str, error: &io::Error) -> Trouble {
    let entry: &'static Entry = match error.kind() {
        ErrorKind::ReadOnlyFilesystem => &code::STATE_READ_ONLY,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => &code::STATE_FULL,
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => &code::STATE_SHARED,
        _ => &code::STATE_FORBIDDEN,
    };
    entry.says(format!(
        "{}, of `{key}`, cannot be used by {}: {error}",
        path.display(),
        privileges::name_of(geteuid().as_raw())
    ))
}

/// Root's, and the user's that root is given up for; without root one's own.
fn owners() -> Vec<u32> {
    if !geteuid().is_root() {
        return vec![geteuid().as_raw()];
    }
    [Some(0), privileges::user_id().ok().flatten()]
        .into_iter()
        .flatten()
        .collect()
}

/// `/var/lib` for `/var/lib/thon` is easily written.
fn is_somebody_else_s(dir: &Path) -> io::Result<bool> {
    if MARKS
        .iter()
        .any(|mark| dir.join(mark).symlink_metadata().is_ok())
    {
        return Ok(false);
    }
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        if !HARMLESS.iter().any(|harmless| name == *harmless) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(dir: &Path) -> u32 {
        std::fs::metadata(dir).unwrap().permissions().mode() & 0o777
    }

    fn code_of(result: Result<(), Trouble>) -> &'static str {
        result.unwrap_err().entry.code
    }

    #[test]
    fn a_directory_with_other_things_in_it_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let shared = dir.path().join("shared");
        std::fs::create_dir(&shared).unwrap();
        std::fs::set_permissions(&shared, Permissions::from_mode(0o755)).unwrap();
        std::fs::write(shared.join("thon.yaml"), "").unwrap();
        std::fs::write(shared.join("letter"), "").unwrap();
        assert_eq!(code_of(private_dir(&shared, "state_dir")), "THN-STATE-02");
        assert_eq!(mode(&shared), 0o755);
        std::fs::write(shared.join("thon.redb"), "").unwrap();
        private_dir(&shared, "state_dir").unwrap();
        assert_eq!(mode(&shared), 0o700);
        private_dir(&dir.path().join("new/one"), "state_dir").unwrap();
        assert_eq!(mode(&dir.path().join("new/one")), 0o700);
        let file = dir.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        assert_eq!(code_of(private_dir(&file, "state_dir")), "THN-STATE-02");
        assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("rootCA.key");
        assert!(key_is_private(&key).is_ok(), "there is none yet");
        std::fs::write(&key, "key").unwrap();
        for (mode, ok) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
            assert_eq!(key_is_private(&key).is_ok(), ok, "{mode:o}");
        }
    }
}
