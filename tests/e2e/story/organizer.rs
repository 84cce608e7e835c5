//! What a tired organizer reads.

use std::net::TcpListener;

use serde_json::Value;

use super::alone;
use super::appliance::{Appliance, STAND_IN};

#[tokio::test]
async fn up_twice_changes_nothing_and_says_so() {
    let _alone = alone().await;
    let appliance = Appliance::new(STAND_IN, "{red: [alice]}");
    appliance.up().await;
    let before = appliance.labelled(&["ps", "--no-trunc", "--format", "{{.ID}} {{.CreatedAt}}"]);
    let again = appliance.thon(&["up", "--detach"]).await;
    assert_eq!(again.code, Some(0), "{again:#?}");
    for words in ["runs already", "0 editors to start, 1 running already"] {
        assert!(again.err.contains(words), "{again:#?}");
    }
    // No link is made anew, and it says how to get one.
    assert!(!again.out.contains("/join/"), "{again:#?}");
    assert!(again.err.contains("thon invites rotate"), "{again:#?}");
    let after = appliance.labelled(&["ps", "--no-trunc", "--format", "{{.ID}} {{.CreatedAt}}"]);
    assert_eq!(after, before);
    status_tells_everything(&appliance).await;
}

async fn status_tells_everything(appliance: &Appliance) {
    let status = appliance.status().await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["health"]["status"], "ok", "{status:#}");
    let store = appliance.directory().join("state/thon.redb");
    assert_eq!(status["store_path"], store.to_str().unwrap());
    let settings = appliance.settings();
    assert_eq!(status["config_path"], settings.to_str().unwrap());
    every_listener_is_told(&status, appliance).await;
    let instance = &status["instances"][0];
    assert_eq!(instance["state"], "ready");
    let url = format!("{}/w/red/alice/", text(&status["public_url"]));
    assert_eq!(instance["url"], url.as_str());
    let words = appliance.thon(&["status"]).await.well();
    for part in ["health     ok", "red/alice", "ready"] {
        assert!(words.contains(part), "{words}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// With the ports that they really have.
async fn every_listener_is_told(status: &Value, appliance: &Appliance) {
    let listeners: Vec<(String, String)> = status["listeners"]
        .as_array()
        .unwrap()
        .iter()
        .map(|listener| (text(&listener["name"]), text(&listener["address"])))
        .collect();
    for name in ["public", "plain", "admin", "gateway"] {
        let bound = |(of, address): &&(String, String)| of == name && !address.ends_with(":0");
        assert!(listeners.iter().any(|at| bound(&at)), "{listeners:?}");
    }
    assert!(!listeners.iter().any(|(_, at)| at.ends_with(":0")));
    let on_bridge = format!(
        "{}:{}",
        appliance.gateway(),
        appliance.ports().await.gateway
    );
    let is_on_bridge = listeners.iter().any(|(_, address)| *address == on_bridge);
    assert!(is_on_bridge, "{on_bridge}: {listeners:?}");
}

#[tokio::test]
async fn every_problem_of_the_settings_is_told_at_once() {
    let _alone = alone().await;
    let appliance = Appliance::new(STAND_IN, "{red: [alice]}");
    let wrong = "groups: {Red: [alice]}\nproxy: {https_listen: here}\nsandbox: {cpus: 0}\n";
    std::fs::write(appliance.settings(), wrong).unwrap();
    for command in [&["up"][..], &["run"], &["config", "validate"], &["status"]] {
        let said = appliance.thon(command).await;
        assert_eq!(said.code, Some(64), "{command:?}: {said:#?}");
        for place in ["1: groups.Red", "2: proxy.https_listen", "3: sandbox.cpus"] {
            let line = format!("/thon.yaml:{place}: ");
            let told = said.err.lines().filter(|line| line.starts_with("error: "));
            assert!(
                told.clone().any(|told| told.contains(&line)),
                "{command:?}: {said:#?}"
            );
        }
    }
    let unknown = "group: {red: [alice]}\nsandbox: {imagee: x}\n";
    std::fs::write(appliance.settings(), unknown).unwrap();
    let said = appliance.thon(&["run"]).await;
    assert_eq!(said.code, Some(64), "{said:#?}");
    for words in ["did you mean `groups`?", "did you mean `image`?"] {
        assert!(said.err.contains(words), "{said:#?}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_what_to_do() {
    let _alone = alone().await;
    let appliance = Appliance::new(STAND_IN, "{red: [alice]}");
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings = std::fs::read_to_string(appliance.settings()).unwrap();
    let settings = settings.replacen("0.0.0.0:0", &address, 1);
    std::fs::write(appliance.settings(), settings).unwrap();
    for command in [&["run"][..], &["up"], &["up", "--detach"]] {
        let said = appliance.thon(command).await;
        assert_eq!(said.code, Some(1), "{command:?}: {said:#?}");
        for words in [&address, "in use", "proxy.https_listen"] {
            assert!(said.err.contains(words), "{command:?}: {said:#?}");
        }
    }
    let said = appliance.thon(&["status"]).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.contains("not running"), "{said:#?}");
    assert!(said.err.contains("thon up"), "{said:#?}");
}

/// What `setpriv` takes to be somebody without any rights.
const NOBODY: [&str; 4] = [
    "setpriv",
    "--reuid=nobody",
    "--regid=nogroup",
    "--clear-groups",
];

#[tokio::test]
async fn without_root_up_says_what_is_missing_and_what_to_type() {
    let _alone = alone().await;
    let appliance = Appliance::new(STAND_IN, "{red: [alice]}");
    let settings = appliance.directory().join("low.yaml");
    let low = "proxy: {https_listen: '0.0.0.0:443', http_listen: '0.0.0.0:80'}\n";
    std::fs::write(&settings, low).unwrap();
    let settings = settings.to_str().unwrap();
    let said = appliance
        .thon_by(&NOBODY, &["--config", settings, "up"])
        .await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    for words in [
        "sudo systemctl start docker",
        "usermod -aG docker",
        "start as root",
    ] {
        assert!(said.err.contains(words), "{words}: {said:#?}");
    }
    let first_for_all = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let first_for_all = std::fs::read_to_string(first_for_all).unwrap();
    for port in [80, 443] {
        let is_told = said.err.contains(&format!("port {port} needs root"));
        let is_forbidden = port < first_for_all.trim().parse::<u16>().unwrap();
        assert_eq!(is_told, is_forbidden, "{port}: {said:#?}");
    }
}
