//! The environment: variables that are no setting's, and the one place that reads it.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the file is, instead of the usual places.
pub const CONFIG: &str = "THON_CONFIG";
/// Where the service manager keeps settings, instead of the usual place.
pub const CONFIGURATION_DIRECTORY: &str = "CONFIGURATION_DIRECTORY";
/// Where Docker listens: `unix:///path`, as the `docker` command understands it.
pub const DOCKER_HOST: &str = "DOCKER_HOST";
/// The user's home directory.
pub const HOME: &str = "HOME";
/// Set to anything: no colours on the terminal.
pub const NO_COLOR: &str = "NO_COLOR";
/// Where the service manager keeps sockets, instead of the usual place.
pub const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";
/// `runtime_dir`.
pub const RUNTIME_DIR: &str = "THON_RUNTIME_DIR";
/// Where the service manager keeps records, instead of the usual place.
pub const STATE_DIRECTORY: &str = "STATE_DIRECTORY";
/// `state_dir`.
pub const STATE_DIR: &str = "THON_STATE_DIR";
/// Who asked for root by `sudo`.
pub const SUDO_UID: &str = "SUDO_UID";
/// Where a user's own sockets belong.
pub const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// Variables that are no setting's, each with what it is for.
pub const OTHERS: [(&str, &str); 9] = [
    (CONFIG, "the settings file"),
    (
        DOCKER_HOST,
        "where Docker listens, `unix:///path` only; default `/var/run/docker.sock`",
    ),
    (HOME, "the default places of a user who is not root"),
    (XDG_RUNTIME_DIR, "the same, for the control socket"),
    (
        CONFIGURATION_DIRECTORY,
        "where the service manager keeps `thon.yaml`",
    ),
    (
        STATE_DIRECTORY,
        "where the service manager keeps the records; the default of `state_dir` then",
    ),
    (
        RUNTIME_DIRECTORY,
        "where it keeps the control socket; the default of `runtime_dir` then",
    ),
    (
        SUDO_UID,
        "whose `thon.yaml` in the current directory root takes, besides its own",
    ),
    (NO_COLOR, "no colours on the terminal"),
];

/// Variables of the original that no key has, each with what replaces it.
pub const GONE: [(&str, &str); 8] = [
    (
        "DASHBOARD_SECRET_KEY",
        "sessions are random numbers that the appliance remembers: no secret signs them",
    ),
    (
        "GATEWAY_ADMIN_URL",
        "no APISIX is administered: the gateway is part of THON",
    ),
    ("GATEWAY_PROXY_PORT", "write `gateway.listen`"),
    (
        "GATEWAY_RATE_LIMIT_TOKENS",
        "its name is GATEWAY_TOKEN_LIMIT",
    ),
    (
        "GATEWAY_RATE_LIMIT_WINDOW",
        "its name is GATEWAY_TOKEN_WINDOW",
    ),
    (
        "THON_DB_PATH",
        "the records are in `state_dir`, or THON_STATE_DIR",
    ),
    (
        "THON_ENV_FILE",
        "no `.env` file is read: name it as `EnvironmentFile=` in the systemd unit",
    ),
    ("THON_LOG_FORMAT", "the log has one format"),
];

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
