//! `Host`: a container of its own in which systemd runs, without a network and without Docker.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::story::{machine, tell, until};

/// A small Debian with systemd, made by `tests/setup`.
pub(super) const IMAGE: &str = "thon-systemd:1";
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_thon");

const SOON: Duration = Duration::from_secs(15);

/// Gone with us, also when a test fails, which then tells the end of its journal.
pub(super) struct Host {
    container: String,
}

impl Host {
    pub(super) async fn boot() -> Self {
        let name = format!("thon-service-{:08x}", getrandom::u32().unwrap());
        let started = [
            "run",
            "--detach",
            "--name",
            &name,
            "--network",
            "none",
            "--cap-add",
            "ALL",
            "--cap-drop",
            "SYS_RESOURCE",
            "--security-opt",
            "seccomp=unconfined",
            "--security-opt",
            "apparmor=unconfined",
            "--cgroupns",
            "private",
            "--tmpfs",
            "/run:exec",
            "--tmpfs",
            "/run/lock",
            "--tmpfs",
            "/tmp:exec",
            "--volume",
            "/sys/fs/cgroup:/sys/fs/cgroup:ro",
            "--env",
            "container=docker",
            IMAGE,
        ];
        machine::docker(&started);
        let host = Self { container: name };
        until(Duration::from_secs(30), async || {
            let state = host.exec(&["systemctl", "is-system-running"]);
            let state = text(&state.stdout);
            ["running", "degraded"]
                .contains(&state.trim())
                .then_some(())
                .ok_or(state)
        })
        .await;
        host.bring(Path::new(PROGRAM), "/root/thon");
        host
    }

    pub(super) fn bring(&self, from: &Path, to: &str) {
        let to = format!("{}:{to}", self.container);
        machine::docker(&["cp", &from.display().to_string(), &to]);
    }

    pub(super) fn exec(&self, command: &[&str]) -> Output {
        Command::new("docker")
            .args(["exec", &self.container])
            .args(command)
            .output()
            .unwrap()
    }

    /// What it printed; it must have ended well.
    pub(super) fn well(&self, command: &[&str]) -> String {
        let output = self.exec(command);
        assert!(output.status.success(), "{command:?}: {output:#?}");
        text(&output.stdout)
    }

    /// What it complained of; it must have ended with this code.
    pub(super) fn badly(&self, code: i32, command: &[&str]) -> String {
        let output = self.exec(command);
        assert_eq!(output.status.code(), Some(code), "{command:?}: {output:#?}");
        text(&output.stderr)
    }

    pub(super) fn shell(&self, script: &str) -> String {
        self.well(&["sh", "-c", script])
    }

    pub(super) fn show(&self, property: &str) -> String {
        let shown = self.well(&[
            "systemctl",
            "show",
            "thon",
            "--value",
            "--property",
            property,
        ]);
        shown.trim().to_owned()
    }

    pub(super) fn process(&self) -> u32 {
        self.show("MainPID").parse().unwrap()
    }

    /// How long until another process serves in the place of this one.
    pub(super) async fn until_another(&self, before: u32) -> Duration {
        let seen = until(SOON, async || {
            let (now, state) = (self.process(), self.show("ActiveState"));
            (now != before && now != 0 && state == "active")
                .then_some(())
                .ok_or(format!("{now} {state}"))
        });
        seen.await.1
    }

    /// The codes that the doctor finds, each once.
    pub(super) fn doctor(&self, exit: i32) -> Vec<String> {
        let output = self.exec(&["thon", "doctor", "--json"]);
        assert_eq!(output.status.code(), Some(exit), "{output:#?}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = json["findings"].as_array().unwrap().iter();
        let mut codes: Vec<String> = findings
            .filter_map(|finding| finding["code"].as_str())
            .map(str::to_owned)
            .collect();
        codes.sort();
        codes.dedup();
        codes
    }

    pub(super) fn journal(&self) -> String {
        self.well(&["journalctl", "--unit=thon", "--no-pager"])
    }

    /// A drop-in of the administrator's.
    pub(super) fn drop_in(&self, text: &str) {
        let dir = "/etc/systemd/system/thon.service.d";
        self.shell(&format!(
            "mkdir -p {dir} && printf '[Service]\\n{text}\\n' >{dir}/own.conf && systemctl daemon-reload"
        ));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.exec(&["journalctl", "--no-pager", "--lines=60"]);
            tell(&text(&log.stdout));
        }
        drop(machine::try_docker(&["rm", "--force", &self.container]));
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
