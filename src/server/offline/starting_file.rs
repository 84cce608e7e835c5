//! The settings file of an organizer who has none yet.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::unistd::Gid;

use crate::config::Vars;
use crate::config::env::{self, Places};
use crate::server::Report;

/// Two participants to try things with.
const CONTENTS: &str = include_str!("../../../config/examples/starting.yaml");

/// The file to read: the one asked for or the usual one, written if there is none. `None` when the
/// usual search finds one elsewhere.
pub(super) fn ensure(
    asked: Option<&Path>,
    vars: &dyn Vars,
    report: &mut dyn Report,
) -> anyhow::Result<Option<PathBuf>> {
    let named = asked
        .map(Path::to_owned)
        .or_else(|| vars.value(env::CONFIG).map(PathBuf::from));
    let path = match named {
        Some(path) => path,
        None if Path::new("thon.yaml").exists() => return Ok(None),
        None => Places::of(vars).config,
    };
    // Without HOME, there is no place of one's own; reading the settings says so.
    if path.is_relative() && asked.is_none() {
        return Ok(None);
    }
    if !path.exists() {
        write(&path).with_context(|| format!("cannot write {}", path.display()))?;
        report.step(&format!(
            "wrote {}: edit it to name your groups",
            path.display()
        ));
    }
    Ok(Some(path))
}

/// The file that the service reads, with its group, so that it need not be root: written if there is
/// none. One that is there keeps its contents; says whether anything was changed.
pub(super) fn write_for_service(path: &Path, group: Gid) -> std::io::Result<bool> {
    let is_new = !path.exists();
    if is_new {
        write(path)?;
    }
    let file = fs::File::open(path)?;
    let meta = file.metadata()?;
    let mode = meta.permissions().mode() & 0o7777;
    // Somebody else's file is somebody else's decision.
    let is_readable = meta.gid() == group.as_raw() && mode & 0o040 != 0 || mode & 0o004 != 0;
    if meta.uid() != 0 || is_readable {
        return Ok(is_new);
    }
    fchown(&file, None, Some(group.as_raw()))?;
    file.set_permissions(fs::Permissions::from_mode(mode | 0o040))?;
    Ok(true)
}

/// All of it or nothing, and never over a file that appeared meanwhile.
fn write(path: &Path) -> std::io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    }
    let temporary = path.with_extension("yaml.new");
    // Left by one that was killed, or put there by somebody whose directory root writes into.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(CONTENTS.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    linked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_group_may_read_it_and_what_is_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thon.yaml");
        if !nix::unistd::geteuid().is_root() {
            // Nothing here is root's, so nothing is changed but that the file appears.
            assert!(write_for_service(&path, Gid::from_raw(4_000)).unwrap());
            assert!(!write_for_service(&path, Gid::from_raw(4_000)).unwrap());
            return;
        }
        let group = Gid::from_raw(4_000);
        let seen = || {
            let meta = fs::metadata(&path).unwrap();
            (meta.uid(), meta.gid(), meta.permissions().mode() & 0o777)
        };
        assert!(write_for_service(&path, group).unwrap());
        assert_eq!(seen(), (0, 4_000, 0o640));
        assert!(!write_for_service(&path, group).unwrap());
        fs::write(&path, "groups: {}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(write_for_service(&path, group).unwrap());
        assert_eq!(seen(), (0, 4_000, 0o640));
        assert_eq!(fs::read_to_string(&path).unwrap(), "groups: {}");
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("theirs");
        fs::write(&theirs, "precious").unwrap();
        std::os::unix::fs::symlink(&theirs, dir.path().join("thon.yaml.new")).unwrap();
        write(&dir.path().join("thon.yaml")).unwrap();
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "precious");
    }
}
