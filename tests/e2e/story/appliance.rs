//! `Appliance`: the built program with settings, ports and a network of the test's own.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::door::Door;
use super::{machine, tell, until};

/// The participants' real image and its stand-in, both made by `tests/setup`.
pub(crate) const SANDBOX: &str = "thon-sandbox:test";
pub(crate) const STAND_IN: &str = "thon-stand-in:1";

const PROGRAM: &str = env!("CARGO_BIN_EXE_thon");
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
const LOG_LINES: usize = 60;

pub(crate) struct Appliance {
    directory: TempDir,
    pub(crate) bridge: String,
    subnet: String,
    image: &'static str,
    groups: &'static str,
    /// More settings of `proxy` and of `gateway`, and others.
    proxy: String,
    gateway: String,
    others: String,
    ports: Ports,
    docker_host: Option<String>,
    child: Option<Child>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ports {
    pub(crate) public: u16,
    pub(crate) plain: u16,
    pub(crate) admin: u16,
    pub(crate) gateway: u16,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }
}

impl Appliance {
    /// Settings only; nothing runs. `groups` is YAML, such as `{red: [alice, bob]}`.
    pub(crate) fn new(image: &'static str, groups: &'static str) -> Self {
        machine::docker(&["image", "inspect", "--format", "{{.Id}}", image]);
        let directory = tempfile::Builder::new()
            .prefix("thon-e2e-")
            .tempdir()
            .unwrap();
        // The appliance gives up root, and still has to reach its own directories.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let number = getrandom::u32().unwrap();
        let appliance = Self {
            directory,
            bridge: format!("te{number:08x}"),
            subnet: format!("10.{}.{}.0/24", 205 + number % 45, (number >> 8) % 256),
            image,
            groups,
            proxy: String::new(),
            gateway: String::new(),
            others: String::new(),
            ports: Ports::default(),
            docker_host: None,
            child: None,
        };
        appliance.write_settings();
        appliance
    }

    /// By another way to Docker than the machine's own.
    pub(crate) fn reach_docker_at(&mut self, socket: &Path) {
        self.docker_host = Some(format!("unix://{}", socket.display()));
    }

    /// More keys of `proxy`, in YAML without braces.
    pub(crate) fn set_proxy(&mut self, keys: &str) {
        keys.clone_into(&mut self.proxy);
        self.write_settings();
    }

    /// The same of `gateway`, and sections that are not there otherwise.
    pub(crate) fn set_gateway(&mut self, keys: &str, others: &str) {
        keys.clone_into(&mut self.gateway);
        others.clone_into(&mut self.others);
        self.write_settings();
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.directory().join("thon.yaml")
    }

    pub(crate) fn gateway(&self) -> String {
        self.subnet.replace(".0/24", ".1")
    }

    fn write_settings(&self) {
        let (home, ports) = (self.directory().display(), self.ports);
        let text = format!(
            "external_ip: 127.0.0.1\n\
             state_dir: {home}/state\n\
             runtime_dir: {home}/run\n\
             groups: {}\n\
             proxy: {{https_listen: '0.0.0.0:{}', http_listen: '0.0.0.0:{}', {}}}\n\
             dashboard: {{port: {}}}\n\
             gateway: {{listen: '127.0.0.1:{}', {}}}\n\
             sandbox: {{image: '{}', subnet: {}, bridge: {}, memory: 1GiB}}\n\
             {}",
            self.groups,
            ports.public,
            ports.plain,
            self.proxy,
            ports.admin,
            ports.gateway,
            self.gateway,
            self.image,
            self.subnet,
            self.bridge,
            self.others,
        );
        std::fs::write(self.settings(), text).unwrap();
    }

    /// From now on it starts on the ports that it has at this moment.
    pub(crate) async fn keep_ports(&mut self) {
        self.ports = self.ports().await;
        self.write_settings();
    }

    pub(crate) async fn ports(&self) -> Ports {
        let status = self.status().await;
        let port = |name: &str| {
            let listeners = status["listeners"].as_array().unwrap();
            let listener = listeners.iter().find(|listener| listener["name"] == name);
            let address = listener.and_then(|listener| listener["address"].as_str());
            let address: std::net::SocketAddr = address.unwrap().parse().unwrap();
            address.port()
        };
        Ports {
            public: port("public"),
            plain: port("plain"),
            admin: port("admin"),
            gateway: port("gateway"),
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", PATH)
            .envs(self.docker_host.iter().map(|at| ("DOCKER_HOST", at)))
            .current_dir(self.directory())
            .arg("--config")
            .arg(self.settings())
            .stdin(Stdio::null());
        command
    }

    /// A command of the organizer's.
    pub(crate) async fn thon(&self, arguments: &[&str]) -> Said {
        said(self.command(Path::new(PROGRAM)).args(arguments)).await
    }

    /// The same, beside whatever happens meanwhile.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Child {
        self.command(Path::new(PROGRAM))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// The program with these settings, started by another one, such as `setpriv`.
    pub(crate) async fn thon_by(&self, starter: &[&str], arguments: &[&str]) -> Said {
        // The build's directory may be closed to others.
        let program = self.directory().join("thon");
        if !program.exists() {
            std::fs::copy(PROGRAM, &program).unwrap();
        }
        let mut command = Command::new(starter[0]);
        command
            .args(&starter[1..])
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null());
        said(&mut command).await
    }

    /// `thon up --detach`; the link of each participant.
    pub(crate) async fn up(&self) -> BTreeMap<String, String> {
        let out = self.thon(&["up", "--detach"]).await.well();
        out.lines()
            .skip(1)
            .map(|line| {
                let cells: Vec<&str> = line.split_whitespace().collect();
                let [who, "ready", link] = cells[..] else {
                    panic!("not a participant with a link: {out}");
                };
                assert!(link.contains("/join/"), "{out}");
                (who.to_owned(), link.to_owned())
            })
            .collect()
    }

    /// `thon run`, as systemd would; returns when it answers.
    pub(crate) async fn run(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = self.directory().join("run.log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = self
            .command(Path::new(PROGRAM))
            .arg("run")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        until(Duration::from_secs(15), async || {
            let said = self.thon(&["--json", "status"]).await;
            (said.code == Some(0)).then_some(()).ok_or(said.err)
        })
        .await;
    }

    /// `thon launch`; the link of each participant who had none.
    pub(crate) async fn launch(&self, arguments: &[&str]) -> BTreeMap<String, String> {
        let arguments = [&["--json", "launch"], arguments].concat();
        let out: Value = serde_json::from_str(&self.thon(&arguments).await.well()).unwrap();
        let invites = out["invites"].as_array().unwrap().iter();
        invites
            .map(|invite| {
                let text = |key: &str| invite[key].as_str().unwrap().to_owned();
                (format!("{}/{}", text("group"), text("user")), text("url"))
            })
            .collect()
    }

    /// Not a chance to tidy up.
    pub(crate) async fn kill(&mut self) {
        for pid in self.processes() {
            machine::end(pid);
        }
        if let Some(mut child) = self.child.take() {
            child.wait().await.unwrap();
        }
        // A process has no name any more some time before its files are closed.
        let lock = self.directory().join("run/lock");
        until(Duration::from_secs(15), async || {
            let lock = File::open(&lock).map_err(|error| error.to_string())?;
            Flock::lock(lock, FlockArg::LockExclusiveNonblock)
                .map(drop)
                .map_err(|(_, error)| format!("it lives on: {error}"))
        })
        .await;
    }

    fn processes(&self) -> Vec<Pid> {
        machine::processes(&format!("--config {} run", self.settings().display()))
    }

    pub(crate) async fn status(&self) -> Value {
        let out = self.thon(&["--json", "status"]).await.well();
        serde_json::from_str(&out).unwrap()
    }

    /// One participant's instance.
    pub(crate) async fn instance(&self, who: &str) -> Value {
        let out = self.thon(&["--json", "instances", "show", who]).await;
        serde_json::from_str(&out.well()).unwrap()
    }

    pub(crate) async fn container(&self, who: &str) -> String {
        let view = self.instance(who).await;
        let id = view["id"].as_str().unwrap();
        format!("thon-{id}-g{}", view["generation"])
    }

    /// How long it took until the instance was so.
    pub(crate) async fn until_state(&self, who: &str, state: &str, patience: Duration) -> Duration {
        let seen = until(patience, async || {
            let view = self.instance(who).await;
            (view["state"] == state)
                .then_some(())
                .ok_or(format!("{state}: {view:#}"))
        });
        seen.await.1
    }

    /// The lines of a `docker` listing that are this appliance's, in order.
    pub(crate) fn labelled(&self, list: &[&str]) -> Vec<String> {
        let appliance = machine::appliance_of(&self.bridge).expect("the network is there");
        let label = format!("label=thon.appliance={appliance}");
        let listed = machine::docker(&[list, &["--filter", &label]].concat());
        let mut lines: Vec<String> = listed.lines().map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    }

    pub(crate) async fn ca(&self) -> String {
        self.thon(&["ca", "export", "-"]).await.well()
    }

    /// The public listener as a program meets it.
    pub(crate) async fn door(&self) -> Door {
        Door::new(self.ports().await.public, &self.ca().await)
    }

    /// The end of what it logged.
    fn log_tail(&self) -> String {
        let logs = ["run.log", "state/thon.log"].map(|name| self.directory().join(name));
        let mut tail = String::new();
        for log in logs {
            let Ok(text) = std::fs::read_to_string(&log) else {
                continue;
            };
            let lines: Vec<&str> = text.lines().collect();
            let skipped = lines.len().saturating_sub(LOG_LINES);
            tail = format!(
                "{tail}--- {}\n{}\n",
                log.display(),
                lines[skipped..].join("\n")
            );
        }
        tail
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(&self.log_tail());
        }
        for pid in self.processes() {
            machine::end(pid);
        }
        machine::remove_all_of(&self.bridge);
    }
}

async fn said(command: &mut Command) -> Said {
    let ended = command.kill_on_drop(true).output();
    let ended = tokio::time::timeout(Duration::from_mins(2), ended).await;
    let ended = ended.expect("a command ends within two minutes").unwrap();
    Said {
        code: ended.status.code(),
        out: String::from_utf8(ended.stdout).unwrap(),
        err: String::from_utf8(ended.stderr).unwrap(),
    }
}
