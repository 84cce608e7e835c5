//! The service manager: the unit that this binary carries, and what systemd says of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::HostError;
use crate::host::command::run;

/// The unit as it was when this binary was built.
pub const UNIT: &str = include_str!("../../systemd/thon.service");
pub const NAME: &str = "thon.service";

/// Where an administrator's units are.
pub const UNIT_PATH: &str = "/etc/systemd/system/thon.service";

const ASK_DEADLINE: Duration = Duration::from_secs(20);
/// Above the unit's own limits for starting and stopping.
const WORK_DEADLINE: Duration = Duration::from_secs(150);

/// What systemd knows of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// `loaded`, `not-found`, `masked`, …
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, …
    pub active: String,
    /// `enabled`, `disabled`, `masked`, …
    pub enabled: String,
    /// Where it was read from.
    pub path: Option<PathBuf>,
}

impl Unit {
    pub fn is_installed(&self) -> bool {
        self.load == "loaded"
    }

    pub fn is_active(&self) -> bool {
        self.active == "active"
    }
}

/// Is systemd what runs this host?
pub fn is_managed() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

pub async fn unit() -> Result<Unit, HostError> {
    let properties = "--property=LoadState,ActiveState,UnitFileState,FragmentPath";
    let shown = run("systemctl", &["show", NAME, properties], ASK_DEADLINE).await?;
    Ok(parse(&shown))
}

fn parse(shown: &str) -> Unit {
    let value = |name: &str| {
        let lines = shown.lines().filter_map(|line| line.split_once('='));
        let found = lines.into_iter().find(|(key, _)| *key == name);
        found.map_or(String::new(), |(_, value)| value.to_owned())
    };
    let path = value("FragmentPath");
    Unit {
        load: value("LoadState"),
        active: value("ActiveState"),
        enabled: value("UnitFileState"),
        path: (!path.is_empty()).then(|| path.into()),
    }
}

/// Tells systemd to read the units again.
pub async fn reload() -> Result<(), HostError> {
    systemctl(&["daemon-reload"]).await
}

/// Starts with the host from now on.
pub async fn enable() -> Result<(), HostError> {
    systemctl(&["enable", "--quiet", NAME]).await
}

/// Returns when it serves.
pub async fn start() -> Result<(), HostError> {
    begun(systemctl(&["start", NAME]).await).await
}

/// Starts it anew, or for the first time; returns when it serves.
pub async fn restart() -> Result<(), HostError> {
    begun(systemctl(&["restart", NAME]).await).await
}

/// Ends it, and starts it with the host no more.
pub async fn disable() -> Result<(), HostError> {
    systemctl(&["disable", "--quiet", "--now", NAME]).await
}

async fn systemctl(arguments: &[&str]) -> Result<(), HostError> {
    run("systemctl", arguments, WORK_DEADLINE).await.map(drop)
}

/// systemctl only says where to look; so we look there.
async fn begun(started: Result<(), HostError>) -> Result<(), HostError> {
    if started.is_ok() {
        return Ok(());
    }
    let arguments = [
        "--unit",
        NAME,
        "--lines=8",
        "--no-pager",
        "--quiet",
        "--output=cat",
    ];
    let printed = run("journalctl", &arguments, ASK_DEADLINE).await;
    Err(HostError::Failed {
        what: "the service did not start; its last words are".to_owned(),
        printed: printed.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_says_is_understood() {
        let unit = parse(
            "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nFragmentPath=/etc/systemd/system/thon.service\n",
        );
        assert!(unit.is_installed() && unit.is_active());
        assert_eq!(unit.path.as_deref(), Some(Path::new(UNIT_PATH)));
        let none = parse("LoadState=not-found\nActiveState=inactive\nFragmentPath=\n");
        assert!(!none.is_installed() && !none.is_active() && none.path.is_none());
    }

    /// The time that it may take to stop, and what it gives up, have to fit the program.
    #[test]
    fn the_unit_fits_the_program() {
        let value = |key: &str| {
            let mut lines = UNIT.lines().filter_map(|line| line.split_once('='));
            lines.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        assert_eq!(value("ExecStart"), Some("/usr/local/bin/thon run"));
        assert_eq!(value("Type"), Some("notify"));
        assert_eq!(value("User"), Some("thon"));
        assert_eq!(value("RestartPreventExitStatus"), Some("2 64"));
        assert_eq!(value("KillMode"), Some("mixed"));
    }
}
