//! The directories and the records: whose, how much room, and can they be read.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use super::findings::Findings;
use crate::config::Config;
use crate::server::trouble::Trouble;
use crate::server::{catalogue as code, clock, ground, records};
use crate::store::{StoreError, examine};

/// The log of the background may take 30 MiB, and records grow during an event.
const ROOM_BYTES_LOW: u64 = 256 << 20;

pub(super) fn judge(config: &Config, findings: &mut Findings) {
    for (key, dir) in [
        ("state_dir", &config.state_dir),
        ("runtime_dir", &config.runtime_dir),
    ] {
        findings.add(key, directory(dir, key));
    }
    if let Some(free) = ground::room(nearest(&config.state_dir)) {
        findings.add("space", room(&config.state_dir, free));
    }
}

fn directory(dir: &Path, key: &str) -> Result<String, Trouble> {
    let there = ground::is_ours(dir, key)?;
    let place = nearest(dir);
    if let Err(error) = access(place, AccessFlags::W_OK | AccessFlags::X_OK)
        && error != Errno::ENOENT
    {
        return Err(ground::refused(dir, key, &error.into()));
    }
    let Some(meta) = there else {
        return Ok(format!("{} will be made at the start", dir.display()));
    };
    closed(dir, &meta)?;
    Ok(format!("{} is ours alone", dir.display()))
}

fn closed(dir: &Path, meta: &Metadata) -> Result<(), Trouble> {
    if meta.mode() & 0o077 != 0 {
        return Err(code::STATE_OPEN.says(format!(
            "{} has mode {:04o}: others may look into it",
            dir.display(),
            meta.mode() & 0o7777
        )));
    }
    Ok(())
}

/// It, or whatever exists above it.
pub(super) fn nearest(dir: &Path) -> &Path {
    dir.ancestors().find(|place| place.exists()).unwrap_or(dir)
}

fn room(dir: &Path, free: u64) -> Result<String, Trouble> {
    if free < ground::ROOM_BYTES_MIN {
        return Err(ground::full(dir, free));
    }
    let text = format!("{} MiB free for {}", free >> 20, dir.display());
    if free < ROOM_BYTES_LOW {
        return Err(code::STATE_LOW.says(text));
    }
    Ok(text)
}

/// Looked at without a change: nobody runs who could be asked.
pub(super) fn records(config: &Config, now: Timestamp, findings: &mut Findings) {
    let path = config.store_path();
    if path.exists() {
        findings.add("records", read(&path, now));
    }
}

fn read(path: &Path, now: Timestamp) -> Result<String, Trouble> {
    let seen = examine(path).map_err(|error| match error {
        StoreError::InUse(_) => code::STORE_IN_USE.says(error.to_string()),
        _ => code::STORE_DAMAGED.says(error.to_string()),
    })?;
    if seen.is_newer() {
        return Err(records::newer(path, &seen));
    }
    if let Some(then) = seen.newest_entry {
        clock::after("the newest record", then, now)?;
    }
    Ok(format!("{} can be read", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::domain::audit::{Actor, AuditEntry};
    use crate::domain::secret::Secret;
    use crate::store::{Identity, Store};

    fn code_of(seen: Result<String, Trouble>) -> &'static str {
        seen.unwrap_err().entry.code
    }

    #[test]
    fn directories_that_are_open_or_others_are_found_and_stay_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert!(directory(&state, "state_dir").is_ok(), "it can be made");
        assert!(!state.exists(), "and was not");
        std::fs::create_dir(&state).unwrap();
        std::fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(code_of(directory(&state, "state_dir")), "THN-STATE-07");
        let mode = std::fs::metadata(&state).unwrap().mode();
        assert_eq!(mode & 0o777, 0o755);
        std::fs::write(state.join("letter"), "").unwrap();
        assert_eq!(code_of(directory(&state, "state_dir")), "THN-STATE-02");
    }

    #[test]
    fn little_room_is_told_before_there_is_none() {
        let dir = Path::new("/var/lib/thon");
        assert!(room(dir, ROOM_BYTES_LOW).is_ok());
        assert_eq!(code_of(room(dir, ROOM_BYTES_LOW - 1)), "THN-STATE-05");
        let full = ground::ROOM_BYTES_MIN - 1;
        assert_eq!(code_of(room(dir, full)), "THN-STATE-04");
    }

    #[test]
    fn records_are_read_without_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thon.redb");
        let store = Store::open(&path, || Identity {
            appliance: "0123456789abcdef".parse().unwrap(),
            editor_key: Secret::new("key"),
        })
        .unwrap();
        let now = Timestamp::now();
        let entry = AuditEntry::done(now, Actor::Control, "a", "b");
        store.change(&entry, |_| Ok::<(), StoreError>(())).unwrap();
        drop(store);
        let before = std::fs::read(&path).unwrap();
        assert!(read(&path, now).is_ok());
        let yesterday = now - jiff::SignedDuration::from_hours(24);
        assert_eq!(code_of(read(&path, yesterday)), "THN-CLOCK-03");
        assert!(std::fs::read(&path).unwrap() == before);
        std::fs::write(&path, "my shopping list").unwrap();
        assert_eq!(code_of(read(&path, now)), "THN-STORE-03");
    }
}
