//! Bad days that take root to make: full and read-only disks, others' files, other accounts, wrong clocks.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::story::{machine, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_thon");
const SOON: Duration = Duration::from_secs(20);
const NOBODY: u32 = 65_534;

/// A host with settings of its own.
struct House {
    dir: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("thon-bad-")
            .tempdir()
            .unwrap();
        // Others pass through it, as through /var/lib.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let house = Self { dir };
        fs::copy(PROGRAM, house.path("thon")).unwrap();
        house.settings("");
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn settings(&self, more: &str) {
        let at = self.dir.path().display();
        let proxy = if more.contains("proxy:") {
            ""
        } else {
            "proxy: {https_listen: '127.0.0.1:0', http_listen: '127.0.0.1:0'}\n"
        };
        let text = format!(
            "state_dir: {at}/state\nruntime_dir: {at}/run\n{proxy}\
             dashboard: {{host: 127.0.0.1, port: 0}}\ngateway: {{listen: '127.0.0.1:0'}}\n{more}"
        );
        fs::write(self.path("thon.yaml"), text).unwrap();
    }

    /// A shell in a mount namespace of its own; `$thon` is the program with these settings. What it
    /// mounts goes with it.
    fn shell(&self, script: &str) -> Command {
        let at = self.dir.path().display();
        let script = format!("set -e; thon='{at}/thon --config {at}/thon.yaml'; cd {at}\n{script}");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--", "sh", "-c", &script])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("RUST_BACKTRACE", "1")
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .stdin(Stdio::null());
        command
    }

    fn ended(&self, script: &str) -> Output {
        self.shell(&format!("timeout 30 sh -ec '{script}'").replace("$thon", &self.thon()))
            .output()
            .unwrap()
    }

    fn thon(&self) -> String {
        let at = self.dir.path().display();
        format!("{at}/thon --config {at}/thon.yaml")
    }

    /// One that serves; with it whatever a first start makes.
    async fn running(&self, script: &str) -> Running {
        let log = fs::File::create(self.path("log")).unwrap();
        let child = self.shell(script).stderr(log).spawn().unwrap();
        let running = Running { child };
        until(SOON, async || {
            let asked = Command::new(self.path("thon"))
                .arg("--config")
                .arg(self.path("thon.yaml"))
                .arg("status")
                .output()
                .unwrap();
            let log = fs::read_to_string(self.path("log")).unwrap();
            asked.status.success().then_some(()).ok_or(log)
        })
        .await;
        running
    }

    /// What the status says of the records: a code, or nothing if all is well.
    fn store_health(&self) -> String {
        let output = self.ended("$thon status --json");
        assert!(output.status.success());
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        let parts = status["health"]["parts"].as_array().unwrap();
        let store = parts.iter().find(|part| part["name"] == "store");
        let code = store.and_then(|store| store["code"].as_str());
        code.unwrap_or_default().to_owned()
    }

    async fn lived(&self) {
        drop(self.running("exec $thon run").await);
        fs::remove_file(self.path("log")).unwrap();
    }

    fn contents(&self) -> BTreeMap<PathBuf, (u32, u32, Vec<u8>)> {
        let mut found = BTreeMap::new();
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                if path.starts_with(self.path("run")) {
                    continue;
                }
                let bytes = if meta.is_file() {
                    fs::read(&path).unwrap()
                } else {
                    Vec::new()
                };
                if meta.is_dir() {
                    dirs.push(path.clone());
                }
                found.insert(path, (meta.mode(), meta.uid(), bytes));
            }
        }
        found
    }

    /// The script ends badly, with one sentence of this code, and leaves everything as it was.
    fn is_refused(&self, script: &str, code: &str) -> String {
        let before = self.contents();
        let output = self.ended(script);
        let after = self.contents();
        let changed: Vec<_> = before
            .keys()
            .chain(after.keys())
            .filter(|path| before.get(*path) != after.get(*path))
            .collect();
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(changed.is_empty(), "changed: {changed:?}; {talk}");
        says_it_well(&output, code);
        talk
    }

    fn doctor(&self, before: &str, by: &str) -> Vec<String> {
        let output = self.ended(&format!("{before}\n{by} $thon doctor --json"));
        codes(&output)
    }
}

struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        for process in machine::family(nix::unistd::Pid::from_raw(pid)) {
            machine::end(process);
        }
        self.child.wait().unwrap();
    }
}

fn says_it_well(output: &Output, code: &str) {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{talk}");
    let count = |word: &str| talk.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!((count("error: "), count("hint: ")), (1, 1), "{talk}");
    assert!(talk.contains(code), "no {code} in: {talk}");
    for inside in ["panicked", "backtrace", "RUST_", "Os {"] {
        assert!(!talk.contains(inside), "{talk}");
    }
}

fn codes(output: &Output) -> Vec<String> {
    let json: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:#?}"));
    let findings = json["findings"].as_array().unwrap().iter();
    findings
        .filter_map(|finding| finding["code"].as_str())
        .map(str::to_owned)
        .collect()
}

fn has(codes: &[String], code: &str) {
    assert!(codes.iter().any(|found| found == code), "{code}: {codes:?}");
}

/// By somebody who is neither root nor the owner of anything.
fn by_nobody() -> String {
    format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups env HOME=/nonexistent")
}

#[test]
fn a_full_disk_is_refused_before_anything_is_written() {
    let house = House::new();
    fs::create_dir(house.path("state")).unwrap();
    let full = "mount -t tmpfs -o size=1m,mode=700 tmpfs state";
    let talk = house.is_refused(&format!("{full}; $thon run"), "THN-STATE-04");
    assert!(talk.contains("df -h"), "{talk}");
    // Nothing half made is left that would be taken for damage once there is room again.
    let script =
        format!("{full}; $thon run || true; ls -A state | wc -l >count; $thon doctor --json");
    has(&codes(&house.ended(&script)), "THN-STATE-04");
    assert_eq!(fs::read_to_string(house.path("count")).unwrap().trim(), "0");
}

#[tokio::test]
async fn records_on_a_disk_that_became_full_are_left_as_they_are() {
    let house = House::new();
    house.lived().await;
    let filled = "mount -t tmpfs -o size=24m,mode=700 tmpfs run; cp -a state/. run/; \
                  chown thon: run 2>/dev/null || true; \
                  mount --move run state; head -c 30m /dev/zero >state/thon.log || true";
    let talk = house.is_refused(&format!("{filled}; $thon run"), "THN-STATE-04");
    assert!(talk.contains("room"), "{talk}");
}

#[tokio::test]
async fn a_read_only_file_system_is_named() {
    let house = House::new();
    house.lived().await;
    for dir in ["state", "run"] {
        let mount = format!("mount --bind {dir} {dir}; mount -o remount,ro,bind {dir}");
        let talk = house.is_refused(&format!("{mount}; $thon run"), "THN-STATE-03");
        assert!(
            talk.contains(&format!("{dir}_dir")) || talk.contains("runtime_dir"),
            "{talk}"
        );
        has(&house.doctor(&mount, ""), "THN-STATE-03");
    }
}

#[tokio::test]
async fn somebody_elses_directory_or_file_is_not_touched() {
    let house = House::new();
    house.lived().await;
    let before = fs::metadata(house.path("state")).unwrap().uid();
    chown(house.path("state"), Some(NOBODY), None).unwrap();
    let talk = house.is_refused("$thon run", "THN-STATE-01");
    assert!(talk.contains("nobody"), "{talk}");
    has(&house.doctor("", ""), "THN-STATE-01");
    chown(house.path("state"), Some(before), None).unwrap();
    fs::rename(house.path("state"), house.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(house.path("elsewhere"), house.path("state")).unwrap();
    house.is_refused("$thon run", "THN-STATE-01");
}

#[tokio::test]
async fn an_account_that_may_not_write_its_records_is_told_which_file() {
    let house = House::new();
    house.lived().await;
    // Everything is the account's own but one file.
    let own = |owner: u32| {
        for name in [
            "state",
            "run",
            "state/ca",
            "state/ca/rootCA.crt",
            "state/ca/rootCA.key",
        ] {
            chown(house.path(name), Some(owner), Some(owner)).unwrap();
        }
    };
    own(NOBODY);
    chown(house.path("state/thon.redb"), Some(0), Some(0)).unwrap();
    fs::remove_dir_all(house.path("run")).unwrap();
    fs::create_dir(house.path("run")).unwrap();
    chown(house.path("run"), Some(NOBODY), Some(NOBODY)).unwrap();
    let run = format!("{} $thon run", by_nobody());
    let talk = house.is_refused(&run, "THN-STATE-06");
    assert!(talk.contains("thon.redb"), "{talk}");
    chown(house.path("state/thon.redb"), Some(NOBODY), None).unwrap();
    chown(house.path("state/ca/rootCA.key"), Some(0), Some(0)).unwrap();
    let talk = house.is_refused(&run, "THN-STATE-06");
    assert!(talk.contains("rootCA.key"), "{talk}");
}

#[test]
fn a_low_port_without_the_right_to_it_is_named_with_what_gives_the_right() {
    let house = House::new();
    house.settings("proxy: {https_listen: '127.0.0.1:443', http_listen: '127.0.0.1:0'}\n");
    fs::create_dir(house.path("run")).unwrap();
    chown(house.path("run"), Some(NOBODY), None).unwrap();
    fs::create_dir(house.path("state")).unwrap();
    chown(house.path("state"), Some(NOBODY), None).unwrap();
    // A network of its own has the kernel's own rule again, whatever this machine allows.
    let by = format!(
        "unshare --net sh -ec \"ip link set lo up; {} $thon",
        by_nobody()
    );
    let talk = house.is_refused(&format!("{by} run\""), "THN-PORT-02");
    assert!(
        talk.contains("proxy.https_listen") && talk.contains("thon install"),
        "{talk}"
    );
    has(
        &codes(&house.ended(&format!("{by} doctor --json\""))),
        "THN-PORT-02",
    );
}

#[test]
fn a_socket_of_dockers_that_is_not_ours_to_use_is_found() {
    let house = House::new();
    let socket = std::os::unix::net::UnixListener::bind(house.path("closed.sock")).unwrap();
    fs::set_permissions(house.path("closed.sock"), Permissions::from_mode(0o600)).unwrap();
    let at = house.path("closed.sock");
    let by = format!("{} DOCKER_HOST=unix://{}", by_nobody(), at.display());
    has(&house.doctor("", &by), "THN-DOCKER-01");
    drop(socket);
}

#[test]
fn an_image_of_ones_own_that_is_missing_is_named() {
    let house = House::new();
    house.settings("sandbox: {image: 'thon-no-such-image:none'}\n");
    let here = "env DOCKER_HOST=unix:///var/run/docker.sock";
    let talk = house.is_refused(&format!("{here} $thon up --detach"), "THN-IMAGE-01");
    assert!(talk.contains("docker load"), "{talk}");
    has(&house.doctor("", here), "THN-IMAGE-01");
}

/// Set back and forward by two years, as after an empty battery.
#[tokio::test]
async fn a_wrong_clock_is_told_and_nothing_is_made_anew() {
    let house = House::new();
    house.lived().await;
    let authority = ["state/ca/rootCA.crt", "state/ca/rootCA.key"].map(|name| house.path(name));
    let before = authority.clone().map(|path| fs::read(path).unwrap());
    for (jump, start, found) in [
        ("-2y", "THN-CLOCK-02", &["THN-CLOCK-02", "THN-CLOCK-03"][..]),
        ("+2y", "", &[]),
        ("+20y", "", &["THN-CERT-03"]),
    ] {
        let running = house
            .running(&format!("exec faketime -f {jump} $thon run"))
            .await;
        let log = fs::read_to_string(house.path("log")).unwrap();
        assert!(log.contains(start), "{jump}: {log}");
        assert!(!log.contains("panicked"), "{log}");
        drop(running);
        let after = authority.clone().map(|path| fs::read(path).unwrap());
        assert!(before == after, "{jump}: the authority was changed");
        let seen = house.doctor("", &format!("faketime -f {jump}"));
        for code in found {
            has(&seen, code);
        }
    }
}

/// While it runs the disk fills up, and is emptied again.
#[tokio::test]
async fn a_disk_that_fills_up_while_it_runs_takes_no_doors_away() {
    let house = House::new();
    house.settings("groups: {red: [alice]}\n");
    fs::create_dir(house.path("state")).unwrap();
    let at = house.dir.path().display();
    // Seen by this test as well, by a link to the directory of the process.
    let script = "mount -t tmpfs -o size=24m,mode=700 tmpfs state; exec $thon run";
    let running = house.running(script).await;
    let state = format!("/proc/{}/root{at}/state", running.child.id());
    fs::write(format!("{state}/filler"), vec![0; 30 << 20]).unwrap_err();
    let mut refused = None;
    // A few changes may still fit into pages that the store has already.
    for _ in 0..2_000 {
        let output = house.ended("$thon invites rotate red/alice");
        if !output.status.success() {
            refused = Some(output);
            break;
        }
    }
    let refused = refused.expect("the disk is full");
    let talk = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(talk.starts_with("error: "), "{talk}");
    assert!(!talk.contains("panicked"), "{talk}");
    // It answers all the same, a look is no change, and says what is wrong.
    assert_eq!(house.store_health(), "THN-STORE-01");
    fs::remove_file(format!("{state}/filler")).unwrap();
    // Nobody starts it again.
    until(SOON, async || {
        let output = house.ended("$thon invites rotate red/alice");
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(talk)
    })
    .await;
    until(SOON, async || {
        let health = house.store_health();
        health.is_empty().then_some(()).ok_or(health)
    })
    .await;
}
