//! The command line, as people and scripts run it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use thon::admin::control_router;
use tokio::net::UnixListener;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::support::doors::House;
use crate::support::sources::{agree, between, section, text};

const EVERYBODY: [&str; 2] = ["red/alice", "blue/bob"];

/// An appliance that answers on its control socket.
struct Appliance {
    dir: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

impl Appliance {
    fn start(house: &House) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("control.sock")).unwrap();
        let router = control_router(house.admin(None));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { dir, _tasks: tasks }
    }

    async fn thon(&self, args: &[&str]) -> Output {
        thon(self.dir.path(), args).await
    }
}

async fn thon(runtime_dir: &Path, args: &[&str]) -> Output {
    let command = Command::new(env!("CARGO_BIN_EXE_thon"))
        .args(args)
        .env_clear()
        .env("HOME", runtime_dir)
        .env("THON_STATE_DIR", runtime_dir)
        .env("THON_RUNTIME_DIR", runtime_dir)
        .current_dir(runtime_dir)
        .kill_on_drop(true)
        .output();
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, command)
        .await
        .unwrap()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn data(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn talk(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[tokio::test]
async fn a_launch_waits_and_prints_each_link_once() {
    let house = House::new(&EVERYBODY);
    let appliance = Appliance::start(&house);
    let first = appliance.thon(&["launch"]).await;
    assert_eq!(code(&first), 0, "{}", talk(&first));
    let rows: Vec<&str> = data(&first).lines().collect();
    assert_eq!(rows.len(), 3, "{}", data(&first));
    assert!(rows[1].starts_with("blue/bob") && rows[1].contains("ready"));
    assert!(rows[2].contains("https://thon.example/join/"));
    let second = appliance.thon(&["launch"]).await;
    assert!(!data(&second).contains("/join/"));
    assert!(talk(&second).contains("invites rotate"));
}

#[tokio::test]
async fn a_launch_in_which_one_fails_says_who_and_why_and_still_prints_the_links() {
    let house = House::new(&EVERYBODY);
    house.world.fake.forget_image("thon-stand-in:1");
    let appliance = Appliance::start(&house);
    let output = appliance.thon(&["launch", "--group", "red"]).await;
    assert_eq!(code(&output), 1);
    assert!(
        talk(&output).contains("red/alice failed: "),
        "{}",
        talk(&output)
    );
    assert!(talk(&output).contains("hint: "));
    assert!(data(&output).contains("/join/"));
}

#[tokio::test]
async fn programs_get_json_on_standard_output_and_nothing_else_there() {
    let house = House::new(&EVERYBODY);
    let appliance = Appliance::start(&house);
    let output = appliance.thon(&["--json", "launch"]).await;
    let json: serde_json::Value = serde_json::from_str(data(&output)).unwrap();
    assert_eq!(json["invites"].as_array().unwrap().len(), 2);
    for args in [
        &["status", "--json"][..],
        &["instances", "--json"],
        &["invites", "list", "--json"],
        &["keys", "--json"],
        &["keys", "create", "red/alice", "--json"],
        &["ca", "--json"],
        &["instances", "show", "red/alice", "--json"],
        &["config", "show", "--json"],
    ] {
        let output = appliance.thon(args).await;
        assert_eq!(code(&output), 0, "{args:?}: {}", talk(&output));
        serde_json::from_str::<serde_json::Value>(data(&output)).unwrap();
    }
}

#[tokio::test]
async fn people_get_words() {
    let house = House::launched(&EVERYBODY).await;
    let appliance = Appliance::start(&house);
    for (args, words) in [
        (&["status"][..], "health     ok"),
        (&["instances"], "red/alice"),
        (
            &["instances", "show", "red/alice"],
            "https://thon.example/w/red/alice/",
        ),
        (&["instances", "stop", "red/alice"], "stop is asked for"),
        (
            &["instances", "restart", "blue/bob"],
            "restart is asked for",
        ),
        (
            &["invites", "rotate", "red/alice"],
            "https://thon.example/join/",
        ),
        (&["invites"], "red/alice"),
        (&["keys"], "no keys: "),
        (
            &[
                "keys",
                "create",
                "red/alice",
                "--expires",
                "2d",
                "--note",
                "mine",
            ],
            "sk-thon-",
        ),
        (&["keys"], "red/alice"),
        (&["ca"], "sha-256  AB:CD"),
        (&["ca", "show"], "for      thon.example"),
        (&["ca", "export", "-"], "-----BEGIN CERTIFICATE-----"),
        (&["cleanup", "--yes"], "2 instances being removed"),
    ] {
        let output = appliance.thon(args).await;
        assert_eq!(code(&output), 0, "{args:?}: {}", talk(&output));
        assert!(data(&output).contains(words), "{args:?}: {}", data(&output));
    }
}

#[tokio::test]
async fn a_key_is_looked_after_by_its_id() {
    let house = House::new(&EVERYBODY);
    let appliance = Appliance::start(&house);
    let made = appliance.thon(&["keys", "create", "red/alice"]).await;
    let key = data(&made).trim().to_owned();
    assert_eq!(data(&made).lines().count(), 1, "to be piped");
    assert!(talk(&made).contains("the only time"), "{}", talk(&made));
    let id = key.split('-').nth(2).unwrap();
    for (args, words) in [
        (&["keys", "show", id][..], "state       active"),
        (&["keys", "disable", id], "state       disabled"),
        (&["keys", "enable", id], "state       active"),
        (&["keys", "rotate", id, "--grace", "10m"], "sk-thon-"),
        (&["keys", "rotate", id, "--grace", "0"], "sk-thon-"),
        (&["keys", "revoke", id], ""),
    ] {
        let output = appliance.thon(args).await;
        assert_eq!(code(&output), 0, "{args:?}: {}", talk(&output));
        assert!(data(&output).contains(words), "{args:?}: {}", data(&output));
        assert!(!data(&output).contains(&key), "{args:?}");
    }
    let group = appliance.thon(&["keys", "create", "red"]).await;
    assert_eq!((code(&group), data(&group)), (1, ""));
    assert!(talk(&group).contains("gateway.mode"), "{}", talk(&group));
    let odd = ["keys", "rotate", id, "--grace", "soon"];
    assert_eq!(code(&appliance.thon(&odd).await), 2);
}

#[tokio::test]
async fn a_refusal_of_the_appliance_is_told_in_its_words() {
    let house = House::launched(&EVERYBODY).await;
    let appliance = Appliance::start(&house);
    let output = appliance.thon(&["instances", "stop", "red/nobody"]).await;
    assert_eq!((code(&output), data(&output)), (1, ""));
    assert_eq!(talk(&output), "error: there is no instance of red/nobody\n");
    let output = appliance.thon(&["cleanup"]).await;
    assert_eq!(code(&output), 1);
    assert!(talk(&output).contains("hint: add --yes"));
}

#[tokio::test]
async fn without_an_appliance_there_is_a_hint_how_to_start_it() {
    let dir = tempfile::tempdir().unwrap();
    let output = thon(dir.path(), &["status"]).await;
    assert_eq!((code(&output), data(&output)), (1, ""));
    assert!(talk(&output).starts_with("error: the appliance is not running\nhint: "));
}

#[tokio::test]
async fn an_authority_is_exchanged_on_purpose_only_and_the_old_one_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let output = thon(dir.path(), &["ca", "rotate"]).await;
    assert_eq!((code(&output), data(&output)), (1, ""));
    assert!(talk(&output).contains("hint: add --yes"));
    let rotate = ["--json", "ca", "rotate", "--yes"];
    let mut fingerprints = Vec::new();
    for kept in [false, true] {
        let output = thon(dir.path(), &rotate).await;
        assert_eq!(code(&output), 0, "{}", talk(&output));
        assert_eq!(talk(&output).contains("from before is in"), kept);
        let json: serde_json::Value = serde_json::from_str(data(&output)).unwrap();
        fingerprints.push(json["sha256"].clone());
    }
    assert_ne!(fingerprints[0], fingerprints[1]);
}

#[tokio::test]
async fn a_configuration_that_is_not_valid_has_its_own_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("thon.yaml");
    std::fs::write(&file, "grups: {}\nlog_level: LOUD\n").unwrap();
    for command in [&["config", "validate"][..], &["status"], &["run"]] {
        let output = thon(dir.path(), command).await;
        assert_eq!(code(&output), 64, "{command:?}: {}", talk(&output));
        assert!(talk(&output).starts_with("error: "));
    }
}

/// What `--help` lists below a command.
async fn listed(dir: &Path, command: &[&str]) -> Vec<String> {
    let output = thon(dir, &[command, &["--help"]].concat()).await;
    assert_eq!(code(&output), 0, "{command:?}: {}", talk(&output));
    let help = data(&output);
    let Some((_, below)) = help.split_once("\nCommands:\n") else {
        return Vec::new();
    };
    below
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn every_command_is_in_the_documents_and_no_other_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut commands = BTreeSet::new();
    for name in listed(dir.path(), &[]).await {
        let actions = listed(dir.path(), &[&name]).await;
        let is_one = actions.is_empty();
        commands.extend(actions.iter().map(|action| format!("{name} {action}")));
        if is_one {
            commands.insert(name);
        }
    }
    let document = text("docs/api.md");
    let documented: BTreeSet<String> = section(&document, "## The command for programs")
        .split_once("| prints with `--json` |\n")
        .unwrap()
        .1
        .lines()
        .filter_map(|row| row.strip_prefix('|')?.split('|').next())
        .flat_map(|cell| between(cell, '`'))
        // What happens without an action is an action that has a name.
        .filter(|command| !["instances", "invites", "keys", "ca"].contains(command))
        .map(str::to_owned)
        .collect();
    agree(
        (&commands, "not in docs/api.md, *The command for programs*"),
        (&documented, "docs/api.md has commands that are not there"),
    );
}
