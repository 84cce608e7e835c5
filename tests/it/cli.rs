//! The command line, as people and scripts run it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use thon::admin::control_router;
use thon::domain::set_limits::SetLimits;
use tokio::net::UnixListener;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::support::doors::House;
use crate::support::sources::{agree, between, section, text};
use crate::usage;

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
        &["usage", "--json"],
        &["usage", "--requests", "5", "--json"],
        &["gateway", "status", "--json"],
        &["gateway", "queue", "--json"],
        &["gateway", "balances", "--json"],
        &["gateway", "limits", "--json"],
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
        (&["gateway"], "no model is connected"),
        (&["gateway", "queue"], "nobody waits"),
        (&["gateway", "balances"], "nobody has used anything"),
        (&["usage"], "nobody used a model"),
        (&["usage", "--requests", "3"], "no requests"),
        (&["cleanup", "--yes"], "2 instances being removed"),
    ] {
        let output = appliance.thon(args).await;
        assert_eq!(code(&output), 0, "{args:?}: {}", talk(&output));
        assert!(data(&output).contains(words), "{args:?}: {}", data(&output));
    }
}

#[tokio::test]
async fn usage_is_a_table_for_people_and_commas_for_spreadsheets() {
    let house = House::new(&EVERYBODY);
    let sink = house.control.usage_sink();
    for user in ["red/alice", "red/alice", "blue/bob"] {
        let mut entry = usage::entry(user, "qwen3", jiff::Timestamp::now());
        entry.tokens.input = 1_234_567;
        sink.tell(entry);
    }
    usage::Keeper::start(&house.control).stop().await;
    let appliance = Appliance::start(&house);
    let all = appliance.thon(&["usage"]).await;
    let lines: Vec<&str> = data(&all).lines().collect();
    assert_eq!(lines.len(), 5, "{}{}", data(&all), talk(&all));
    assert!(lines[1].starts_with("USER"), "{}", data(&all));
    assert!(lines[2].starts_with("red/alice") && lines[2].contains("2,469,134"));
    assert!(lines[4].starts_with("all together") && lines[4].contains("3,703,701"));
    let top = appliance
        .thon(&["usage", "--top", "1", "--by", "group"])
        .await;
    assert!(data(&top).contains("\nred ") && !data(&top).contains("blue"));
    let csv = appliance
        .thon(&[
            "usage",
            "--csv",
            "--since",
            "1h",
            "--model",
            "user.qwen3",
            "--by",
            "model",
        ])
        .await;
    assert!(
        data(&csv).contains(",qwen3,3,3,"),
        "{}{}",
        data(&csv),
        talk(&csv)
    );
    let requests = appliance.thon(&["usage", "--requests", "1"]).await;
    assert!(data(&requests).contains("blue/bob") && !data(&requests).contains("alice"));
    for wrong in [
        &["usage", "--by", "colour"][..],
        &["usage", "--since", "1h", "--from", "2026-11-22T00:00:00Z"],
        &["usage", "--csv", "--requests", "3"],
        &["gateway", "limits", "set"],
        &["gateway", "limits", "set", "--window", "1h"],
        &["gateway", "limits", "set", "--tokens", "5", "--scope", "us"],
    ] {
        assert_eq!(code(&appliance.thon(wrong).await), 2, "{wrong:?}");
    }
    let nobody = appliance.thon(&["usage", "--since", "yesterday"]).await;
    assert_eq!(code(&nobody), 1);
    assert!(talk(&nobody).contains("90m, 24h, 7d or today"));
}

#[tokio::test]
async fn limits_are_set_one_by_one_and_reset_together() {
    let house = House::new(&EVERYBODY);
    let appliance = Appliance::start(&house);
    let set = async |args: &[&str]| {
        let set = appliance
            .thon(&[&["gateway", "limits", "set"], args].concat())
            .await;
        assert_eq!(code(&set), 0, "{args:?}: {}", talk(&set));
        data(&set).to_owned()
    };
    set(&["--tokens", "30000"]).await;
    set(&[
        "--tokens",
        "2000000",
        "--window",
        "1d",
        "--scope",
        "group",
        "--per-member",
    ])
    .await;
    set(&[
        "--tokens",
        "40000",
        "--mode",
        "strict",
        "--concurrency",
        "2",
    ])
    .await;
    let table = set(&["--model-concurrency", "qwen3=8"]).await;
    let rows: Vec<String> = table.lines().map(words).collect();
    for row in [
        "group/86400/* 2,000,000 tokens a participant in 1d 0h balanced command",
        "user/60/* 40,000 tokens in 1m 0s strict command",
        "requests a minute no limit settings",
        "requests at once 2 command",
        "at once, qwen3 8 command",
    ] {
        assert!(rows.contains(&row.to_owned()), "{row}: {rows:?}");
    }
    let in_force = house.control.limits().borrow().clone();
    assert_eq!(
        (in_force.tokens.len(), in_force.model_concurrency.len()),
        (2, 1)
    );
    let rest = set(&["--remove", "user/60/*", "--model-concurrency", "qwen3=0"]).await;
    assert!(
        !rest.contains("user/60/*") && !rest.contains("qwen3"),
        "{rest}"
    );
    let unknown = appliance
        .thon(&["gateway", "limits", "set", "--remove", "user/61/*"])
        .await;
    assert_eq!(code(&unknown), 1);
    assert!(talk(&unknown).contains("there is no limit user/61/*"));
    let reset = appliance.thon(&["gateway", "limits", "reset"]).await;
    assert!(data(&reset).contains("no limit") && !data(&reset).contains("command"));
    assert_eq!(house.control.limits_status().set, SetLimits::default());
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
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
        .filter(|command| !["instances", "invites", "keys", "ca", "gateway"].contains(command))
        .map(str::to_owned)
        .collect();
    agree(
        (&commands, "not in docs/api.md, *The command for programs*"),
        (&documented, "docs/api.md has commands that are not there"),
    );
}
