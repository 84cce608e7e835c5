//! Root binds the low ports; everything after that runs as the user `thon`, if there is one.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{
    Gid, Group, Uid, User, fchownat, geteuid, getgrouplist, setgid, setgroups, setuid,
};

use crate::config::Config;
use crate::domain::workspace::WorkspaceMode;

/// The system user that the appliance runs as.
pub(super) const USER: &str = "thon";

/// Who may use Docker's socket, by the packages of Docker and Debian.
pub(super) const DOCKER_GROUP: &str = "docker";

/// The user's number, if there is such a user.
pub(super) fn user_id() -> anyhow::Result<Option<u32>> {
    let user = User::from_name(USER).context("the list of users cannot be read")?;
    Ok(user.map(|user| user.uid.as_raw()))
}

/// Can the user reach Docker's socket by a group of its own? Without such a group it is not.
pub(super) fn is_in_docker_group() -> anyhow::Result<bool> {
    let Some(user) = User::from_name(USER).context("the list of users cannot be read")? else {
        return Ok(false);
    };
    let group = Group::from_name(DOCKER_GROUP).context("the list of groups cannot be read")?;
    Ok(group.is_some_and(|group| group.gid == user.gid || group.mem.contains(&user.name)))
}

/// For sentences.
pub(super) fn name_of(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => format!("the user {}", user.name),
        _ => format!("the user {uid}"),
    }
}

/// For good, unless the settings ask for what only root can do.
pub(super) fn give_up_root(config: &Config) -> anyhow::Result<()> {
    if config.workspace.mode == WorkspaceMode::Bind {
        tracing::warn!(
            "root is kept: workspace.mode `bind` has to give directories to participants"
        );
        return Ok(());
    }
    let ours = [config.state_dir.as_path(), config.runtime_dir.as_path()];
    drop_root(&ours, &config.sandbox.docker_socket)
}

/// Gives the directories to the user and becomes it. Without root, or without such a user, nothing
/// changes.
fn drop_root(directories: &[&Path], docker_socket: &Path) -> anyhow::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let Some(user) = User::from_name(USER).context("the list of users cannot be read")? else {
        tracing::warn!("running as root: there is no user `{USER}` to become; `thon up` makes one");
        return Ok(());
    };
    for directory in directories {
        hand_over(directory, user.uid, user.gid)
            .with_context(|| format!("cannot give {} to the user {USER}", directory.display()))?;
    }
    become_user(&user, docker_socket).with_context(|| format!("cannot become the user {USER}"))?;
    tracing::info!(user = USER, "root was given up");
    Ok(())
}

/// What a command made as root in the directories of an appliance that runs as somebody else.
pub(super) fn give_to_owner(directories: &[&Path], of: &Path) -> anyhow::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let owner = std::fs::metadata(of)?;
    let (uid, gid) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    for directory in directories {
        hand_over(directory, uid, gid)
            .with_context(|| format!("cannot give {} to its owner", directory.display()))?;
    }
    Ok(())
}

fn become_user(user: &User, docker_socket: &Path) -> anyhow::Result<()> {
    let name = std::ffi::CString::new(user.name.as_str())?;
    let mut groups = getgrouplist(&name, user.gid)?;
    groups.extend(docker_group(docker_socket)?);
    // In this order: after setuid nothing else is allowed.
    setgroups(&groups)?;
    setgid(user.gid)?;
    setuid(user.uid)?;
    Ok(())
}

/// Whoever owns Docker's socket on this host. It may not be there yet, and later is too late to join:
/// then the group that Docker's packages make.
fn docker_group(docker_socket: &Path) -> anyhow::Result<Option<Gid>> {
    let gid = match std::fs::metadata(docker_socket) {
        Ok(socket) => Some(Gid::from_raw(socket.gid())),
        Err(_) => Group::from_name(DOCKER_GROUP)?.map(|group| group.gid),
    };
    Ok(gid.filter(|gid| gid.as_raw() != 0))
}

/// What root made in the directory. What others own there, such as participants' files, stays
/// theirs; a link, symbolic or hard, leads to what is not ours.
///
/// The directory may belong to the user already, who could put a link in the place of a file between
/// a look and a change. So whatever is looked at is held open, and only what is held is changed.
pub(super) fn hand_over(path: &Path, uid: Uid, gid: Gid) -> nix::Result<()> {
    give(AT_FDCWD, path, uid, gid)
}

fn give(parent: impl AsFd + Copy, name: &Path, uid: Uid, gid: Gid) -> nix::Result<()> {
    let held = openat(
        parent,
        name,
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let stat = fstat(&held)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    let is_dir = kind == SFlag::S_IFDIR;
    let is_ours = is_dir || (kind != SFlag::S_IFLNK && stat.st_nlink == 1);
    if is_ours && stat.st_uid == 0 {
        fchownat(&held, "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)?;
    }
    if !is_dir || ![0, uid.as_raw()].contains(&stat.st_uid) {
        return Ok(());
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::openat(&held, ".", flags, Mode::empty())?;
    let entries: Vec<_> = listing.iter().collect::<nix::Result<_>>()?;
    for entry in entries {
        let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
        if name == Path::new(".") || name == Path::new("..") {
            continue;
        }
        match give(held.as_fd(), name, uid, gid) {
            // Gone since the listing.
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, lchown, symlink};

    use super::*;

    #[test]
    fn only_what_root_made_and_nothing_that_a_link_leads_to_is_handed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (state, outside) = (dir.path().join("state"), dir.path().join("outside"));
        for made in [&state, &state.join("ca"), &state.join("theirs"), &outside] {
            std::fs::create_dir(made).unwrap();
        }
        for made in [
            "state/ca/key",
            "state/log",
            "state/theirs/file",
            "outside/file",
        ] {
            std::fs::write(dir.path().join(made), "x").unwrap();
        }
        symlink(&outside, state.join("link")).unwrap();
        std::fs::hard_link(outside.join("file"), state.join("hard")).unwrap();
        if !geteuid().is_root() {
            // Nothing in here is root's: without its rights the rule is that nothing changes.
            let before = std::fs::metadata(&state).unwrap().uid();
            hand_over(&state, Uid::from_raw(4_000), Gid::from_raw(4_000)).unwrap();
            assert_eq!(std::fs::metadata(&state).unwrap().uid(), before);
            return;
        }
        chown(state.join("theirs"), Some(4_001), Some(4_001)).unwrap();
        lchown(state.join("theirs/file"), Some(4_001), Some(4_001)).unwrap();
        hand_over(&state, Uid::from_raw(4_000), Gid::from_raw(4_000)).unwrap();
        let owner = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().uid();
        for (path, uid) in [
            ("state", 4_000),
            ("state/ca/key", 4_000),
            ("state/log", 4_000),
            ("state/theirs/file", 4_001),
            ("outside", 0),
            ("outside/file", 0),
        ] {
            assert_eq!(owner(path), uid, "{path}");
        }
        // A link in the directory's own place is nothing of ours either.
        symlink(&outside, dir.path().join("other")).unwrap();
        hand_over(
            &dir.path().join("other"),
            Uid::from_raw(4_000),
            Gid::from_raw(4_000),
        )
        .unwrap();
        assert_eq!(owner("outside"), 0);
    }
}
