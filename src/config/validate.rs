//! File and environment to `Config`, reporting every problem at once.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;

use crate::config::env::{self, Places, Vars};
use crate::config::file::{self, File};
use crate::config::{
    Certificates, Config, Dashboard, Gateway, LogLevel, Proxy, SANDBOX_IMAGE, Sandbox, Workspace,
    groups,
};
use crate::domain::instance::{Access, Resources, Sudo};
use crate::domain::network::Subnet;
use crate::domain::workspace::WorkspaceMode;

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path of the key, for example `proxy.https_listen`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what is accepted.
    pub message: String,
}

/// Everything wrong with it, at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, key: &str, message: impl Into<String>) {
        self.0.push(Problem {
            key: key.to_owned(),
            message: message.into(),
        });
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Problem { key, message }) in self.0.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            let colon = if key.is_empty() { "" } else { ": " };
            write!(f, "{newline}{key}{colon}{message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// What was written, what the environment adds, and what came of it so far.
struct Validator<'a> {
    vars: &'a dyn Vars,
    problems: Problems,
}

/// The settings that this file means together with the environment.
pub(super) fn validate(
    file: &File,
    source: Option<PathBuf>,
    vars: &dyn Vars,
) -> Result<Config, Problems> {
    let mut validator = Validator {
        vars,
        problems: Problems::default(),
    };
    let config = validator.config(file, source);
    if validator.problems.0.is_empty() {
        Ok(config)
    } else {
        Err(validator.problems)
    }
}

impl Validator<'_> {
    fn config(&mut self, file: &File, source: Option<PathBuf>) -> Config {
        let places = Places::of(self.vars);
        let state_dir = self.dir(
            "state_dir",
            env::STATE_DIR,
            file.state_dir.as_ref(),
            places.state_dir,
        );
        let runtime_dir = self.dir(
            "runtime_dir",
            env::RUNTIME_DIR,
            file.runtime_dir.as_ref(),
            places.runtime_dir,
        );
        Config {
            source,
            log_level: self.log_level(file),
            demo: file.demo.unwrap_or(false),
            external_ip: self.external_ip(file),
            state_dir,
            runtime_dir,
            groups: groups::read(&file.groups, &mut self.problems),
            proxy: self.proxy(&file.proxy),
            dashboard: self.dashboard(&file.dashboard),
            gateway: Gateway {
                listen: self.listen(
                    "gateway.listen",
                    file.gateway.listen.as_ref(),
                    "127.0.0.1:9080",
                ),
            },
            sandbox: self.sandbox(&file.sandbox),
            workspace: self.workspace(&file.workspace),
        }
    }

    /// The environment's value, or else the file's.
    fn text(&self, variable: &str, written: Option<&String>) -> Option<String> {
        self.vars
            .value(variable)
            .or_else(|| written.filter(|text| !text.is_empty()).cloned())
    }

    fn parsed<T: FromStr>(&mut self, key: &str, text: &str, accepted: &str) -> Option<T> {
        let value = text.parse().ok();
        if value.is_none() {
            self.problems
                .add(key, format!("`{text}` is not accepted: write {accepted}"));
        }
        value
    }

    /// One of a few words, each with its meaning.
    fn word<T: Clone>(&mut self, key: &str, text: &str, words: &[(&str, T)], otherwise: T) -> T {
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return value.clone();
        }
        let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.problems.add(
            key,
            format!("`{text}` is not accepted: write one of {}", list.join(", ")),
        );
        otherwise
    }

    fn dir(
        &mut self,
        key: &str,
        variable: &str,
        written: Option<&String>,
        default: PathBuf,
    ) -> PathBuf {
        let dir = self.text(variable, written).map_or(default, PathBuf::from);
        if !dir.is_absolute() {
            self.problems.add(
                key,
                format!(
                    "`{}` must be an absolute path; without one here, HOME says where",
                    dir.display()
                ),
            );
        }
        dir
    }

    fn log_level(&mut self, file: &File) -> LogLevel {
        let Some(text) = self.text(env::LOG_LEVEL, file.log_level.as_ref()) else {
            return LogLevel::default();
        };
        let words = [
            ("DEBUG", LogLevel::Debug),
            ("INFO", LogLevel::Info),
            ("WARNING", LogLevel::Warning),
            ("ERROR", LogLevel::Error),
        ];
        self.word("log_level", &text.to_uppercase(), &words, LogLevel::Info)
    }

    fn external_ip(&mut self, file: &File) -> Option<IpAddr> {
        let (key, written) = match &file.proxy.external_ip {
            Some(_) => ("proxy.external_ip", file.proxy.external_ip.as_ref()),
            None => ("external_ip", file.external_ip.as_ref()),
        };
        let text = self.text(env::EXTERNAL_IP, written)?;
        self.parsed(key, &text, "an IP address, for example 203.0.113.7")
    }

    fn listen(&mut self, key: &str, written: Option<&String>, default: &str) -> SocketAddr {
        let text = written.map_or(default, String::as_str);
        self.parsed(
            key,
            text,
            "ADDRESS:PORT, for example 0.0.0.0:443 or [::]:443",
        )
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    fn proxy(&mut self, proxy: &file::Proxy) -> Proxy {
        let domain = self.text(env::DOMAIN, proxy.domain.as_ref());
        if let Some(domain) = &domain
            && !is_host_name(domain)
        {
            self.problems.add(
                "proxy.domain",
                format!("`{domain}` is not a domain name: write for example thon.example.org"),
            );
        }
        Proxy {
            https_listen: self.listen(
                "proxy.https_listen",
                proxy.https_listen.as_ref(),
                "0.0.0.0:443",
            ),
            http_listen: self.listen(
                "proxy.http_listen",
                proxy.http_listen.as_ref(),
                "0.0.0.0:80",
            ),
            domain,
            certificates: self.certificates(proxy),
            trusted_proxies: self.trusted_proxies(proxy),
        }
    }

    fn certificates(&mut self, proxy: &file::Proxy) -> Certificates {
        let words = [
            ("auto", Certificates::Own),
            ("none", Certificates::Off),
            (
                "files",
                Certificates::Files {
                    certificate: proxy.ssl_certificate.clone().unwrap_or_default().into(),
                    key: proxy.ssl_certificate_key.clone().unwrap_or_default().into(),
                },
            ),
        ];
        let provider = proxy.ssl_provider.as_deref().unwrap_or("auto");
        self.word("proxy.ssl_provider", provider, &words, Certificates::Own)
    }

    fn trusted_proxies(&mut self, proxy: &file::Proxy) -> Vec<IpNet> {
        let accepted = "a range of addresses, for example 10.0.0.0/24 or 192.0.2.7/32";
        proxy
            .trusted_proxies
            .iter()
            .filter_map(|text| self.parsed("proxy.trusted_proxies", text, accepted))
            .collect()
    }

    fn dashboard(&mut self, dashboard: &file::Dashboard) -> Dashboard {
        let host = self
            .text(env::DASHBOARD_HOST, dashboard.host.as_ref())
            .unwrap_or_else(|| "0.0.0.0".to_owned());
        let ip = self
            .parsed("dashboard.host", &host, "an IP address to listen on")
            .unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let port = match self.vars.value(env::DASHBOARD_PORT) {
            Some(text) => self.parsed("dashboard.port", &text, "a port between 0 and 65535"),
            None => dashboard.port,
        };
        Dashboard {
            listen: SocketAddr::new(ip, port.unwrap_or(8100)),
        }
    }

    fn sandbox(&mut self, sandbox: &file::Sandbox) -> Sandbox {
        let access = sandbox.access.as_deref().unwrap_or("owner");
        let words = [
            ("owner", Access::Owner),
            ("password", Access::Password),
            ("open", Access::Open),
        ];
        let subnet = sandbox.subnet.as_deref().unwrap_or("10.201.0.0/20");
        Sandbox {
            image: self
                .text(env::SANDBOX_IMAGE, sandbox.image.as_ref())
                .unwrap_or_else(|| SANDBOX_IMAGE.to_owned()),
            access: self.word("sandbox.access", access, &words, Access::Owner),
            sudo: if sandbox.sudo == Some(true) {
                Sudo::Allow
            } else {
                Sudo::Deny
            },
            resources: self.resources(sandbox),
            subnet: self
                .parsed(
                    "sandbox.subnet",
                    subnet,
                    "an IPv4 range with 8 to 29 bits, for example 10.201.0.0/20",
                )
                .unwrap_or(Subnet::DEFAULT),
            bridge: self.bridge(sandbox),
            docker_socket: self.docker_socket(),
        }
    }

    fn resources(&mut self, sandbox: &file::Sandbox) -> Resources {
        let memory_bytes = sandbox
            .memory
            .as_ref()
            .map_or(Some(Resources::DEFAULT.memory_bytes), bytes);
        if memory_bytes.is_none_or(|bytes| bytes < MEMORY_BYTES_MIN) {
            self.problems.add(
                "sandbox.memory",
                "write at least 256MiB, as bytes or with KiB, MiB or GiB, for example 2GiB",
            );
        }
        let cpus = sandbox.cpus.unwrap_or(2.0);
        if !(0.1..=1024.0).contains(&cpus) {
            self.problems.add(
                "sandbox.cpus",
                "write a number of cores between 0.1 and 1024",
            );
        }
        let pids = sandbox.pids.unwrap_or(Resources::DEFAULT.pids);
        if !(64..=65_536).contains(&pids) {
            self.problems.add(
                "sandbox.pids",
                "write a number of processes between 64 and 65536",
            );
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "refused above unless it is between 0.1 and 1024"
        )]
        let cpu_millis = (cpus * 1000.0) as u32;
        Resources {
            memory_bytes: memory_bytes.unwrap_or_default(),
            cpu_millis,
            pids,
        }
    }

    fn bridge(&mut self, sandbox: &file::Sandbox) -> String {
        let name = sandbox.bridge.clone().unwrap_or_else(|| "thon0".to_owned());
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if name.is_empty() || name.len() > BRIDGE_NAME_BYTES_MAX || !plain {
            self.problems.add(
                "sandbox.bridge",
                format!("`{name}` is not a bridge name: use 1 to 15 letters, digits and `-`"),
            );
        }
        name
    }

    /// Only a socket of this host: instances are on a bridge that only this host can reach.
    fn docker_socket(&mut self) -> PathBuf {
        let Some(text) = self.vars.value(env::DOCKER_HOST) else {
            return "/var/run/docker.sock".into();
        };
        let path = text.strip_prefix("unix://").unwrap_or_default();
        if !path.starts_with('/') {
            self.problems.add(
                "DOCKER_HOST",
                format!("`{text}` is not accepted: Docker must be on this host, write unix:///var/run/docker.sock"),
            );
        }
        path.into()
    }

    fn workspace(&mut self, workspace: &file::Workspace) -> Workspace {
        let dir = self
            .text(env::WORKSPACE_DIR, workspace.dir.as_ref())
            .map(PathBuf::from);
        // The original had no `mode`: a directory meant bind mounts.
        let default = if dir.is_some() { "bind" } else { "volume" };
        let words = [
            ("bind", WorkspaceMode::Bind),
            ("ephemeral", WorkspaceMode::Ephemeral),
            ("volume", WorkspaceMode::Volume),
        ];
        let mode = workspace.mode.as_deref().unwrap_or(default);
        let mode = self.word("workspace.mode", mode, &words, WorkspaceMode::Volume);
        let absolute = dir.as_ref().is_some_and(|dir| dir.is_absolute());
        if mode == WorkspaceMode::Bind && !absolute {
            self.problems.add(
                "workspace.dir",
                "bind mounts need an absolute directory, for example /thon-workspace",
            );
        }
        Workspace { mode, dir }
    }
}

fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn bytes(size: &file::Size) -> Option<u64> {
    let text = match size {
        file::Size::Bytes(bytes) => return Some(*bytes),
        file::Size::Text(text) => text.trim(),
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = text.strip_prefix(digits)?.trim().to_ascii_lowercase();
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// code-server with one window open needs about 500 MiB; below this it does not even start.
const MEMORY_BYTES_MIN: u64 = 256 << 20;

/// The kernel's limit on interface names.
const BRIDGE_NAME_BYTES_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::FixedVars;

    fn check(text: &str) -> Result<Config, Problems> {
        check_with(
            text,
            &FixedVars {
                root: true,
                ..FixedVars::default()
            },
        )
    }

    fn check_with(text: &str, vars: &FixedVars) -> Result<Config, Problems> {
        validate(&crate::config::read::parse(text)?, None, vars)
    }

    #[test]
    fn nothing_written_means_the_documented_defaults() {
        let config = check("").unwrap();
        assert_eq!(config.proxy.https_listen.to_string(), "0.0.0.0:443");
        assert_eq!(config.proxy.http_listen.to_string(), "0.0.0.0:80");
        assert_eq!(config.dashboard.listen.to_string(), "0.0.0.0:8100");
        assert_eq!(config.gateway.listen.to_string(), "127.0.0.1:9080");
        assert_eq!(config.state_dir.to_str(), Some("/var/lib/thon"));
        assert_eq!(config.sandbox.resources, Resources::DEFAULT);
        assert_eq!(config.sandbox.access, Access::Owner);
        assert_eq!(config.workspace.mode, WorkspaceMode::Volume);
    }

    #[test]
    fn both_forms_of_groups_and_of_users_are_understood() {
        let config = check(
            "groups:\n  red: [alice, {name: bob, email: b@example.org}]\n  blue:\n    title: The Blues\n    users: [{username: carol}]\n",
        )
        .unwrap();
        let users: Vec<String> = config.users().map(|user| user.name.to_string()).collect();
        assert_eq!(users, ["blue/carol", "red/alice", "red/bob"]);
        assert_eq!(config.groups[0].title.as_deref(), Some("The Blues"));
        assert_eq!(
            config.groups[1].users[1].email.as_deref(),
            Some("b@example.org")
        );
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let problems = check(
            "log_level: LOUD\nexternal_ip: here\ngroups: {Red: [alice], blue: [], green: [x, x]}\nproxy: {https_listen: '443', domain: 'a b'}\nsandbox: {access: all, subnet: 10.0.0.1/8, bridge: a-name-that-is-too-long, memory: 1MiB, cpus: 0, pids: 1}\nworkspace: {mode: bind}\nstate_dir: here\n",
        )
        .unwrap_err();
        let keys: Vec<&str> = problems
            .0
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        let expected = [
            "state_dir",
            "log_level",
            "external_ip",
            "groups.Red",
            "groups.blue",
            "groups.green",
            "proxy.domain",
            "proxy.https_listen",
            "sandbox.access",
            "sandbox.memory",
            "sandbox.cpus",
            "sandbox.pids",
            "sandbox.subnet",
            "sandbox.bridge",
            "workspace.dir",
        ];
        assert_eq!(keys, expected, "{problems}");
        assert!(
            problems.to_string().contains("for example `red`"),
            "{problems}"
        );
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let mut vars = FixedVars::default();
        vars.values
            .insert(env::EXTERNAL_IP.into(), "203.0.113.9".into());
        vars.values.insert(env::DASHBOARD_PORT.into(), "0".into());
        vars.values.insert(env::HOME.into(), "/home/ann".into());
        let config =
            check_with("external_ip: 203.0.113.1\ndashboard: {port: 9000}\n", &vars).unwrap();
        assert_eq!(config.external_ip, Some("203.0.113.9".parse().unwrap()));
        assert_eq!(config.dashboard.listen.port(), 0);
        assert_eq!(config.state_dir.to_str(), Some("/home/ann/.thon"));
        assert_eq!(
            config.control_socket().to_str(),
            Some("/home/ann/.thon/run/control.sock")
        );
    }

    #[test]
    fn sizes_are_written_with_or_without_a_unit() {
        let size = |text: &str| bytes(&file::Size::Text(text.to_owned()));
        assert_eq!(size("2GiB"), Some(2 << 30));
        assert_eq!(size("512 MiB"), Some(512 << 20));
        assert_eq!(size("1024"), Some(1024));
        assert_eq!(size("2 parsecs"), None);
        assert_eq!(size("99999999999GiB"), None);
    }

    #[test]
    fn a_directory_for_workspaces_means_bind_mounts_as_it_always_did() {
        let config = check("workspace: {dir: /thon-workspace}").unwrap();
        assert_eq!(config.workspace.mode, WorkspaceMode::Bind);
    }
}
