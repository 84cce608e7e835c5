//! This machine's Docker with an appliance of the test's own, cleaned up also when the test fails.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use thon::runtime::docker::{Docker, Settings};

use super::contract::{Fixture, random_id};

/// Built by `tests/setup`.
pub(crate) const IMAGE: &str = "thon-stand-in:1";

pub(crate) struct Host {
    pub(crate) settings: Settings,
}

impl Host {
    pub(crate) fn new() -> Self {
        let id = random_id();
        let number = getrandom::u32().unwrap();
        // Below what `thon` itself uses, so that a running appliance is not disturbed.
        let subnet = format!("10.{}.{}.0/24", 205 + number % 45, (number >> 8) % 256);
        let bridge = format!("tt{}", &id[..10]);
        let mut settings = Settings::new(id.parse().unwrap(), subnet.parse().unwrap(), &bridge);
        settings.deadlines.stop_grace = Duration::from_secs(2);
        Self { settings }
    }

    pub(crate) fn docker(&self) -> Docker {
        Docker::connect(self.settings.clone())
    }

    pub(crate) fn fixture(&self) -> Fixture {
        let again = Arc::new(self.docker());
        let mark = self.settings.appliance.as_str();
        Fixture::new(IMAGE, again, self.settings.subnet, mark)
    }

    fn remove_all(&self, list: &[&str], remove: &[&str]) {
        let label = format!("label=thon.appliance={}", self.settings.appliance);
        let listed = Command::new("docker")
            .args(list)
            .args(["--filter", &label])
            .output();
        let Ok(listed) = listed else { return };
        for id in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
            drop(Command::new("docker").args(remove).arg(id).output());
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.remove_all(&["ps", "-aq"], &["rm", "-f"]);
        self.remove_all(&["volume", "ls", "-q"], &["volume", "rm", "-f"]);
        self.remove_all(&["network", "ls", "-q"], &["network", "rm"]);
    }
}

/// Docker's own command line, as the organizer would use it.
pub(crate) fn cli(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn inspected(container: &str, format: &str) -> String {
    cli(&["inspect", "--format", format, container])
}

/// What is at a path of a container, running or not: `name mode uid:gid` each.
pub(crate) fn archived(container: &str, path: &str) -> Vec<String> {
    let from = format!("{container}:{path}");
    let output = Command::new("docker")
        .args(["cp", &from, "-"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut archive = tar::Archive::new(output.stdout.as_slice());
    let line = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let entry = entry.unwrap();
        let header = entry.header();
        format!(
            "{} {:o} {}:{}",
            entry.path().unwrap().display(),
            header.mode().unwrap() & 0o777,
            header.uid().unwrap(),
            header.gid().unwrap()
        )
    };
    archive.entries().unwrap().map(line).collect()
}
