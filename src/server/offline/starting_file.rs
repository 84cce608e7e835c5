//! The settings file of an organizer who has none yet.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::fcntl::OFlag;

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
    if !path.exists() {
        write(&path).with_context(|| format!("cannot write {}", path.display()))?;
        report.step(&format!(
            "wrote {}: edit it to name your groups",
            path.display()
        ));
    }
    Ok(Some(path))
}

/// All of it or nothing, and never over a file that appeared meanwhile.
fn write(path: &Path) -> std::io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    }
    let temporary = path.with_extension("yaml.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        // Root may write into somebody's directory here.
        .custom_flags(OFlag::O_NOFOLLOW.bits())
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
    fn a_link_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("theirs");
        fs::write(&theirs, "precious").unwrap();
        std::os::unix::fs::symlink(&theirs, dir.path().join("thon.yaml.new")).unwrap();
        assert!(write(&dir.path().join("thon.yaml")).is_err());
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "precious");
    }
}
