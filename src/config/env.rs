//! Every environment variable in one list; read through the injected `Vars`.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the file is, instead of the usual places.
pub const CONFIG: &str = "THON_CONFIG";
/// Where the service manager keeps settings, instead of the usual place.
pub const CONFIGURATION_DIRECTORY: &str = "CONFIGURATION_DIRECTORY";
/// `domain` of `proxy`.
pub const DOMAIN: &str = "THON_DOMAIN";
/// `external_ip`.
pub const EXTERNAL_IP: &str = "EXTERNAL_IP";
/// `host` of `dashboard`.
pub const DASHBOARD_HOST: &str = "DASHBOARD_HOST";
/// `port` of `dashboard`.
pub const DASHBOARD_PORT: &str = "DASHBOARD_PORT";
/// The user's home directory.
pub const HOME: &str = "HOME";
/// `log_level`.
pub const LOG_LEVEL: &str = "THON_LOG_LEVEL";
/// Set to anything: no colours on the terminal.
pub const NO_COLOR: &str = "NO_COLOR";
/// Where the service manager keeps sockets, instead of the usual place.
pub const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";
/// `runtime_dir`.
pub const RUNTIME_DIR: &str = "THON_RUNTIME_DIR";
/// Where Docker listens: `unix:///path`, as the `docker` command understands it.
pub const DOCKER_HOST: &str = "DOCKER_HOST";
/// `image` of `sandbox`.
pub const SANDBOX_IMAGE: &str = "SANDBOX_IMAGE";
/// Where the service manager keeps records, instead of the usual place.
pub const STATE_DIRECTORY: &str = "STATE_DIRECTORY";
/// `state_dir`.
pub const STATE_DIR: &str = "THON_STATE_DIR";
/// `dir` of `workspace`.
pub const WORKSPACE_DIR: &str = "THON_WORKSPACE_DIR";
/// Where a user's own sockets belong.
pub const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// The environment as the configuration sees it: the process's own, or a test's.
pub trait Vars {
    /// The value of a variable; an empty one counts as not set.
    fn value(&self, name: &str) -> Option<String>;

    fn is_root(&self) -> bool;
}

/// The process's own environment.
#[derive(Clone, Copy, Debug)]
pub struct ProcessVars;

impl Vars for ProcessVars {
    fn value(&self, name: &str) -> Option<String> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn is_root(&self) -> bool {
        nix::unistd::geteuid().is_root()
    }
}

/// A made-up environment, for tests.
#[derive(Clone, Debug, Default)]
pub struct FixedVars {
    pub values: BTreeMap<String, String>,
    pub root: bool,
}

impl Vars for FixedVars {
    fn value(&self, name: &str) -> Option<String> {
        self.values
            .get(name)
            .cloned()
            .filter(|value| !value.is_empty())
    }

    fn is_root(&self) -> bool {
        self.root
    }
}

/// Where things are when nobody says otherwise.
#[derive(Clone, Debug)]
pub struct Places {
    pub config: PathBuf,
    pub state_dir: PathBuf,
    pub runtime_dir: PathBuf,
}

impl Places {
    /// What the service manager made for this service comes first; settings may say otherwise.
    pub fn of(vars: &dyn Vars) -> Self {
        let made = |name| {
            let list = vars.value(name)?;
            list.split(':').next().map(PathBuf::from)
        };
        let own = Self::of_account(vars);
        Self {
            config: made(CONFIGURATION_DIRECTORY).map_or(own.config, |dir| dir.join("thon.yaml")),
            state_dir: made(STATE_DIRECTORY).unwrap_or(own.state_dir),
            runtime_dir: made(RUNTIME_DIRECTORY).unwrap_or(own.runtime_dir),
        }
    }

    fn of_account(vars: &dyn Vars) -> Self {
        if vars.is_root() {
            return Self {
                config: "/etc/thon/thon.yaml".into(),
                state_dir: "/var/lib/thon".into(),
                runtime_dir: "/run/thon".into(),
            };
        }
        let home = PathBuf::from(vars.value(HOME).unwrap_or_else(|| ".".to_owned())).join(".thon");
        let runtime_dir = vars
            .value(XDG_RUNTIME_DIR)
            .map_or_else(|| home.join("run"), |dir| PathBuf::from(dir).join("thon"));
        Self {
            config: home.join("thon.yaml"),
            state_dir: home,
            runtime_dir,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_managers_directories_come_before_the_accounts_own() {
        let mut vars = FixedVars::default();
        let mut set = |name: &str, value: &str| vars.values.insert(name.to_owned(), value.into());
        set(HOME, "/home/ann");
        set(STATE_DIRECTORY, "/var/lib/thon:/var/lib/other");
        let places = Places::of(&vars);
        assert_eq!(places.state_dir, PathBuf::from("/var/lib/thon"));
        assert_eq!(places.runtime_dir, PathBuf::from("/home/ann/.thon/run"));
        vars.values
            .insert(CONFIGURATION_DIRECTORY.to_owned(), "/etc/thon".to_owned());
        let places = Places::of(&vars);
        assert_eq!(places.config, PathBuf::from("/etc/thon/thon.yaml"));
    }
}
