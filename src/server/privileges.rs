//! Root binds the low ports; everything after that runs as the user `thon`, if there is one.

use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::Path;

use anyhow::Context as _;
use nix::unistd::{Gid, Group, User, geteuid, getgrouplist, setgid, setgroups, setuid};

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
        hand_over(directory, (0, user.uid.as_raw()), user.gid.as_raw())
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

/// Gives what belongs to `from` to `to`, without following links. What belongs to anybody else stays
/// theirs with everything below it: workspaces may be in there, and participants write in those.
fn hand_over(path: &Path, (from, to): (u32, u32), group: u32) -> std::io::Result<()> {
    let meta = std::fs::symlink_metadata(path)?;
    if meta.is_symlink() || ![from, to].contains(&meta.uid()) {
        return Ok(());
    }
    if meta.uid() != to {
        lchown(path, Some(to), Some(group))?;
    }
    if meta.is_dir() {
        for entry in std::fs::read_dir(path)? {
            hand_over(&entry?.path(), (from, to), group)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only root can give anything away: without it the rule is tried on what must stay as it is.
    #[test]
    fn what_belongs_to_somebody_else_stays_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = dir.path().join("workspace");
        std::fs::create_dir(&workspace).unwrap();
        std::fs::write(workspace.join("main.rs"), "fn main() {}").unwrap();
        let own = std::fs::metadata(dir.path()).unwrap();
        let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
        if geteuid().is_root() {
            let (participant, thon) = (1001, 999);
            std::os::unix::fs::chown(&workspace, Some(participant), None).unwrap();
            hand_over(dir.path(), (0, thon), own.gid()).unwrap();
            assert_eq!(owner(dir.path()), thon);
            assert_eq!(owner(&workspace), participant);
            assert_eq!(owner(&workspace.join("main.rs")), 0);
        } else {
            let (root, thon) = (0, own.uid() + 1);
            hand_over(dir.path(), (root, thon), own.gid()).unwrap();
            assert_eq!(owner(dir.path()), own.uid());
        }
    }
}
