//! Bad days at the start, by the built program: one sentence, a hint, an exit code, and nothing overwritten.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use redb::{Database, TableDefinition};
use serde_json::Value;
use tokio::process::{Child, Command};

/// Longer than any start or refusal takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A host with settings of its own and no Docker.
struct House {
    dir: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let house = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        house.settings("");
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn settings(&self, more: &str) {
        let at = self.dir.path().display();
        let defaults = [
            ("state_dir:", format!("state_dir: {at}/state\n")),
            ("runtime_dir:", format!("runtime_dir: {at}/run\n")),
            (
                "proxy:",
                "proxy: {https_listen: '127.0.0.1:0', http_listen: '127.0.0.1:0'}\n".to_owned(),
            ),
            (
                "dashboard:",
                "dashboard: {host: 127.0.0.1, port: 0}\n".to_owned(),
            ),
            ("gateway:", "gateway: {listen: '127.0.0.1:0'}\n".to_owned()),
        ];
        let missing = defaults.iter().filter(|(key, _)| !more.contains(key));
        let text: String = missing.map(|(_, line)| line.as_str()).collect();
        fs::write(self.path("thon.yaml"), text + more).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thon"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("RUST_BACKTRACE", "1")
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .current_dir(self.dir.path())
            .arg("--config")
            .arg(self.path("thon.yaml"))
            .args(args)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn thon(&self, args: &[&str]) -> Output {
        ended(self.command(args)).await
    }

    /// What the doctor prints for programs.
    async fn diagnosis(&self) -> Value {
        let output = self.thon(&["doctor", "--json"]).await;
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// An appliance that serves; with it whatever a first start makes.
    async fn running(&self) -> Child {
        let log = fs::File::create(self.path("log")).unwrap();
        let mut child = self.command(&["run"]).stderr(log).spawn().unwrap();
        let started = tokio::time::Instant::now();
        while !self.thon(&["status"]).await.status.success() {
            let log = fs::read_to_string(self.path("log")).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "{log}");
            assert!(started.elapsed() < PATIENCE, "{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        child
    }

    /// One that was there and ended as if the power had failed.
    async fn lived(&self) {
        let mut child = self.running().await;
        child.kill().await.unwrap();
        fs::remove_file(self.path("log")).unwrap();
    }

    /// Every file with its contents, mode and owner; the lock and the sockets come and go.
    fn contents(&self) -> BTreeMap<PathBuf, (u32, u32, Vec<u8>)> {
        let mut found = BTreeMap::new();
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).unwrap() {
                let (path, meta) = {
                    let entry = entry.unwrap();
                    (entry.path(), entry.metadata().unwrap())
                };
                if path.starts_with(self.path("run")) {
                    continue;
                }
                let bytes = if meta.is_dir() {
                    Vec::new()
                } else {
                    fs::read(&path).unwrap()
                };
                if meta.is_dir() {
                    dirs.push(path.clone());
                }
                found.insert(path, (meta.mode(), meta.uid(), bytes));
            }
        }
        found
    }

    /// `thon run` ends with this code and says this, and nothing is different afterwards.
    async fn is_refused(&self, exit: i32, code: &str, words: &str) {
        let before = self.contents();
        let output = self.thon(&["run"]).await;
        let changed: Vec<_> = {
            let after = self.contents();
            let keys = before.keys().chain(after.keys());
            keys.filter(|path| before.get(*path) != after.get(*path))
                .cloned()
                .collect()
        };
        assert!(changed.is_empty(), "changed: {changed:?}");
        says_it_well(&output, exit, code, words);
    }
}

async fn ended(mut command: Command) -> Output {
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    ended.expect("it ends").unwrap()
}

fn found(diagnosis: &Value) -> impl Iterator<Item = &str> {
    let findings = diagnosis["findings"].as_array().unwrap().iter();
    findings.filter_map(|finding| finding["code"].as_str())
}

fn has(diagnosis: &Value, code: &str) {
    assert!(
        found(diagnosis).any(|seen| seen == code),
        "{code}: {diagnosis:#}"
    );
}

/// One complaint, one hint, and no trace of the inside.
fn says_it_well(output: &Output, exit: i32, code: &str, words: &str) {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{talk}");
    let count = |word: &str| talk.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!((count("error: "), count("hint: ")), (1, 1), "{talk}");
    assert!(talk.contains(words), "no `{words}` in: {talk}");
    assert!(talk.contains(code), "no {code} in: {talk}");
    for inside in ["panicked", "backtrace", "RUST_", "Os {", "src/"] {
        assert!(!talk.contains(inside), "{talk}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_key_on_every_listener() {
    let house = House::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (settings, key) in [
        (
            format!("proxy: {{https_listen: '{address}', http_listen: '127.0.0.1:0'}}\n"),
            "proxy.https_listen",
        ),
        (
            format!("proxy: {{https_listen: '127.0.0.1:0', http_listen: '{address}'}}\n"),
            "proxy.http_listen",
        ),
        (
            format!("dashboard: {{host: 127.0.0.1, port: {}}}\n", address.port()),
            "dashboard.port",
        ),
        (
            format!("gateway: {{listen: '{address}'}}\n"),
            "gateway.listen",
        ),
    ] {
        house.settings(&settings);
        house.is_refused(1, "THN-PORT-01", key).await;
        assert!(!house.path("state").exists(), "nothing was made");
    }
}

#[tokio::test]
async fn an_address_of_another_host_is_named_with_its_key() {
    let house = House::new();
    house.settings("gateway: {listen: '192.0.2.1:0'}\n");
    house.is_refused(1, "THN-PORT-03", "gateway.listen").await;
}

#[tokio::test]
async fn a_second_appliance_is_refused_and_the_first_goes_on() {
    let house = House::new();
    let mut first = house.running().await;
    let output = house.thon(&["run"]).await;
    says_it_well(&output, 1, "THN-RUN-01", "an appliance runs already");
    assert!(house.thon(&["status"]).await.status.success());
    // Its way in was swept away: the records are still its own.
    fs::remove_dir_all(house.path("run")).unwrap();
    let output = house.thon(&["run"]).await;
    says_it_well(&output, 1, "THN-STORE-05", "in use");
    assert!(first.try_wait().unwrap().is_none());
    first.kill().await.unwrap();
    // A new start makes the directory again.
    drop(house.running().await);
}

#[tokio::test]
async fn damaged_records_are_refused_wherever_the_damage_is() {
    let house = House::new();
    house.lived().await;
    let path = house.path("state/thon.redb");
    let whole = fs::read(&path).unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    let mut torn = whole.clone();
    // Every page but the first, which says where the others are.
    torn[4_096..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    for damaged in [b"my shopping list".to_vec(), half, torn] {
        fs::write(&path, damaged).unwrap();
        house.is_refused(1, "THN-STORE-03", "cannot be read").await;
    }
    fs::write(&path, whole).unwrap();
    drop(house.running().await);
}

#[tokio::test]
async fn records_of_a_newer_version_are_refused() {
    let house = House::new();
    house.lived().await;
    {
        let db = Database::create(house.path("state/thon.redb")).unwrap();
        let tx = db.begin_write().unwrap();
        let meta: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
        tx.open_table(meta).unwrap().insert("schema", "99").unwrap();
        tx.commit().unwrap();
    }
    house.is_refused(1, "THN-STORE-04", "schema 99").await;
}

#[tokio::test]
async fn a_damaged_authority_is_refused_and_never_made_anew() {
    let house = House::new();
    house.lived().await;
    let [crt, key] = ["crt", "key"].map(|end| house.path(&format!("state/ca/rootCA.{end}")));
    let (whole_crt, whole_key) = (fs::read(&crt).unwrap(), fs::read(&key).unwrap());
    for (file, whole) in [(&crt, &whole_crt), (&key, &whole_key)] {
        for damaged in [
            b"no certificate".to_vec(),
            whole[..whole.len() / 2].to_vec(),
            Vec::new(),
        ] {
            fs::write(file, damaged).unwrap();
            house.is_refused(1, "THN-CA-01", "rootCA").await;
        }
        // The file itself is put back: one that root writes here is given to the appliance's user.
        fs::write(file, whole).unwrap();
        fs::rename(file, house.path("aside")).unwrap();
        house.is_refused(1, "THN-CA-01", "is missing").await;
        fs::rename(house.path("aside"), file).unwrap();
    }
    drop(house.running().await);
}

#[tokio::test]
async fn a_key_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    let house = House::new();
    house.lived().await;
    let key = house.path("state/ca/rootCA.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    house.is_refused(1, "THN-CA-02", "chmod 600").await;
}

#[tokio::test]
async fn a_directory_that_is_none_or_holds_other_things_is_refused() {
    let house = House::new();
    fs::write(house.path("state"), "a letter").unwrap();
    house.is_refused(1, "THN-STATE-02", "state_dir").await;
    fs::remove_file(house.path("state")).unwrap();
    fs::create_dir(house.path("state")).unwrap();
    fs::write(house.path("state/letter"), "dear").unwrap();
    house.is_refused(1, "THN-STATE-02", "other things").await;
    house.settings("runtime_dir: /proc/thon\n");
    house.is_refused(1, "THN-STATE-06", "runtime_dir").await;
}

#[tokio::test]
async fn settings_that_cannot_be_read_end_it_with_a_code_of_their_own() {
    let house = House::new();
    for text in [&b"groups: [\n"[..], b"\xff\xfe", b"log_level: LOUD\n"] {
        fs::write(house.path("thon.yaml"), text).unwrap();
        house.is_refused(64, "", "thon config validate").await;
    }
    fs::remove_file(house.path("thon.yaml")).unwrap();
    house.is_refused(64, "", "there is no such file").await;
    fs::create_dir(house.path("thon.yaml")).unwrap();
    house.is_refused(64, "", "cannot be read").await;
}

#[tokio::test]
async fn docker_that_is_away_is_told_and_no_reason_not_to_serve() {
    let house = House::new();
    house.settings("groups: {red: [alice]}\n");
    let mut appliance = house.running().await;
    let started = tokio::time::Instant::now();
    loop {
        let output = house.thon(&["status"]).await;
        let status = String::from_utf8(output.stdout).unwrap();
        if status.contains("THN-RUNTIME-01") {
            assert!(status.contains("degraded"), "{status}");
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(appliance.try_wait().unwrap().is_none());
}

#[tokio::test]
async fn an_account_without_a_home_is_told_so_and_gets_no_files() {
    let house = House::new();
    // Root has places of its own, so this is somebody else, who may not reach the build's directory.
    let program = house.path("thon");
    fs::copy(env!("CARGO_BIN_EXE_thon"), &program).unwrap();
    fs::set_permissions(house.dir.path(), Permissions::from_mode(0o755)).unwrap();
    let here = house.path("here");
    fs::create_dir(&here).unwrap();
    fs::set_permissions(&here, Permissions::from_mode(0o777)).unwrap();
    let before = house.contents();
    for action in ["run", "up", "doctor"] {
        let mut command = Command::new(&program);
        command
            .env_clear()
            .current_dir(&here)
            .arg(action)
            .stdin(Stdio::null());
        if nix::unistd::geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        let output = ended(command).await;
        let talk = [output.stdout, output.stderr].concat();
        let talk = String::from_utf8_lossy(&talk);
        let expected = if action == "doctor" { 1 } else { 64 };
        assert_eq!(output.status.code(), Some(expected), "{talk}");
        assert!(talk.contains("HOME"), "{talk}");
        assert!(house.contents() == before, "{action}");
    }
}

#[tokio::test]
async fn a_doctor_changes_nothing_and_finds_what_a_start_would_fail_for() {
    let house = House::new();
    let before = house.contents();
    let fresh = house.diagnosis().await;
    assert!(house.contents() == before, "it was changed");
    assert!(!house.path("run").exists(), "nothing was made");
    assert_eq!(fresh["is_running"], false);
    has(&fresh, "THN-RUNTIME-01");

    house.lived().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    house.settings(&format!("gateway: {{listen: '{address}'}}\n"));
    fs::write(house.path("state/thon.redb"), "my shopping list").unwrap();
    fs::set_permissions(house.path("state"), Permissions::from_mode(0o750)).unwrap();
    let key = house.path("state/ca/rootCA.key");
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let before = house.contents();
    let bad = house.diagnosis().await;
    assert!(house.contents() == before, "it was changed");
    for code in [
        "THN-PORT-01",
        "THN-STORE-03",
        "THN-STATE-07",
        "THN-CA-02",
        "THN-RUNTIME-01",
    ] {
        has(&bad, code);
    }
    assert!(bad["errors"].as_u64() >= Some(4), "{bad:#}");
}

#[tokio::test]
async fn a_doctor_asks_the_appliance_that_runs() {
    let house = House::new();
    let mut appliance = house.running().await;
    let seen = house.diagnosis().await;
    assert_eq!(seen["is_running"], true);
    // Its ports and its records are its own, and no fault.
    let found: Vec<_> = found(&seen).collect();
    assert!(!found.iter().any(|code| code.starts_with("THN-PORT")));
    assert!(!found.iter().any(|code| code.starts_with("THN-STORE")));
    let told = house.thon(&["doctor"]).await;
    assert_eq!(told.status.code(), Some(1), "Docker is away");
    let (data, talk) = (
        String::from_utf8(told.stdout).unwrap(),
        String::from_utf8(told.stderr).unwrap(),
    );
    assert!(data.contains("(THN-RUNTIME-01)\n"), "{data}");
    assert!(data.contains("hint: "), "{data}");
    assert!(
        talk.starts_with("error: ") && talk.contains(" found"),
        "{talk}"
    );
    assert!(appliance.try_wait().unwrap().is_none());
}
