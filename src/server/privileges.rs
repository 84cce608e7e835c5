//! Root binds the low ports; everything after that runs as the user `thon`, if there is one.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use nix::unistd::{Gid, Group, Uid, User, chown, geteuid, getgrouplist, setgid, setgroups, setuid};

/// The system user that the appliance runs as.
pub(super) const USER: &str = "thon";

const DOCKER_GROUP: &str = "docker";

/// Gives the directories to the user and becomes it. Without root, or without such a user, nothing
/// changes.
pub(super) fn drop_root(directories: &[&Path], docker_socket: &Path) -> anyhow::Result<()> {
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

/// Without following links: what the directory holds is ours, what a link leads to is not.
fn hand_over(path: &Path, uid: Uid, gid: Gid) -> std::io::Result<()> {
    let meta = std::fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        return Ok(());
    }
    if meta.uid() != uid.as_raw() {
        chown(path, Some(uid), Some(gid))?;
    }
    if meta.is_dir() {
        for entry in std::fs::read_dir(path)? {
            hand_over(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}
