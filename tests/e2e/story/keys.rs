//! The key of a container: who can read it, who cannot, and what programs make of it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::appliance::{Appliance, SANDBOX, STAND_IN};
use super::browser::Browser;
use super::participant::{file_says, opens_a_terminal, opens_the_editor, signs_in, types};
use super::{alone, machine, until};

const ALICE: &str = "red/alice";
const KEY: &str = "/etc/thon/model.key";
const VARIABLES: &str = "/etc/thon/model.env";
const KILO: &str = "/home/vscode/.config/kilo/kilo.jsonc";
const PARTICIPANT: u32 = 1_001;
const SOON: Duration = Duration::from_secs(20);

/// With a gateway, before anything runs.
fn with_a_gateway(image: &'static str) -> Appliance {
    let appliance = Appliance::new(image, "{red: [alice]}");
    let settings = std::fs::read_to_string(appliance.settings()).unwrap();
    let with = settings.replace("gateway: {", "gateway: {enabled: true, ");
    std::fs::write(appliance.settings(), with).unwrap();
    appliance
}

/// A file of the present container, as the kernel has it.
async fn file(appliance: &Appliance, path: &str) -> PathBuf {
    let container = appliance.container(ALICE).await;
    let pid = machine::docker(&["inspect", "--format", "{{.State.Pid}}", &container]);
    PathBuf::from(format!("/proc/{pid}/root{path}"))
}

/// Nothing while the container does not run.
async fn text(appliance: &Appliance, path: &str) -> String {
    std::fs::read_to_string(file(appliance, path).await).unwrap_or_default()
}

async fn assert_is_the_participant_s(appliance: &Appliance, path: &str, mode: u32) {
    let file = std::fs::metadata(file(appliance, path).await).unwrap();
    let seen = (file.permissions().mode() & 0o7777, file.uid(), file.gid());
    assert_eq!(seen, (mode, PARTICIPANT, PARTICIPANT), "{path}");
}

async fn listed(appliance: &Appliance) -> Vec<Value> {
    let json = appliance.thon(&["--json", "keys"]).await.well();
    serde_json::from_str(&json).unwrap()
}

#[tokio::test]
async fn a_container_s_key_is_in_files_of_its_participant_and_nowhere_else() {
    let _alone = alone().await;
    let mut appliance = with_a_gateway(STAND_IN);
    appliance.run().await;
    let links = appliance.launch(&[]).await;
    let container = appliance.container(ALICE).await;
    let directory = "/home/vscode/.config/kilo";
    for (path, mode) in [
        (KEY, 0o600),
        (VARIABLES, 0o600),
        (KILO, 0o644),
        (directory, 0o755),
    ] {
        assert_is_the_participant_s(&appliance, path, mode).await;
    }
    let key = text(&appliance, KEY).await;
    assert!(key.starts_with("sk-thon-"), "{key}");
    let gateway = appliance.gateway();
    let variables = text(&appliance, VARIABLES).await;
    let port = appliance.ports().await.gateway;
    let expected = format!("OPENAI_BASE_URL=http://{gateway}:{port}/v1\nOPENAI_API_KEY={key}\n");
    assert_eq!(variables, expected);
    let kilo = text(&appliance, KILO).await;
    assert!(kilo.contains("{file:/etc/thon/model.key}"), "{kilo}");
    let seen_from_outside = machine::docker(&["inspect", &container]);
    for open in [&kilo, &seen_from_outside] {
        assert!(!open.contains(&key) && !open.contains("sk-thon-"), "{open}");
    }
    let listed = listed(&appliance).await;
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert_eq!(listed[0]["state"], "active");
    assert!(key.contains(listed[0]["id"].as_str().unwrap()));

    what_a_participant_makes_of_it_is_kept_or_put_right(&appliance, &links[ALICE]).await;
    a_new_container_has_another_key(&appliance, &key).await;
}

/// The key's files are the container's; Kilo's settings are the participant's.
async fn what_a_participant_makes_of_it_is_kept_or_put_right(appliance: &Appliance, link: &str) {
    let door = appliance.door().await;
    let cookie = door.sign_in(link).await;
    let key = text(appliance, KEY).await;
    let kilo = format!("/w/red/alice/__files{KILO}");
    let status = door.put(&kilo, &cookie, "mine").await.status;
    assert!((200..300).contains(&status), "{status}");
    // The participant's user owns it, and may write it.
    std::fs::write(file(appliance, KEY).await, "mine").unwrap();
    appliance
        .thon(&["instances", "restart", ALICE])
        .await
        .well();
    until(SOON, async || {
        let now = text(appliance, KEY).await;
        (now == key).then_some(()).ok_or(now)
    })
    .await;
    appliance.until_state(ALICE, "ready", SOON).await;
    assert_eq!(text(appliance, KILO).await, "mine");
}

async fn a_new_container_has_another_key(appliance: &Appliance, old: &str) {
    let before = appliance.container(ALICE).await;
    appliance
        .thon(&["instances", "recreate", ALICE])
        .await
        .well();
    until(SOON, async || {
        let seen = appliance.instance(ALICE).await;
        let is_new = seen["generation"] == 2 && seen["state"] == "ready";
        is_new.then_some(()).ok_or(format!("{seen:#}"))
    })
    .await;
    assert_ne!(appliance.container(ALICE).await, before);
    let new = text(appliance, KEY).await;
    assert!(new.starts_with("sk-thon-") && new != old, "{new}");
    assert_eq!(text(appliance, KILO).await, "mine");
    let listed = listed(appliance).await;
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert!(new.contains(listed[0]["id"].as_str().unwrap()));
}

#[tokio::test]
async fn an_odd_home_keeps_no_editor_from_starting() {
    let _alone = alone().await;
    let mut appliance = with_a_gateway(STAND_IN);
    appliance.run().await;
    let links = appliance.launch(&[]).await;
    let door = appliance.door().await;
    let cookie = door.sign_in(&links[ALICE]).await;
    let config = file(&appliance, "/home/vscode/.config").await;
    std::fs::remove_dir_all(&config).unwrap();
    std::fs::write(&config, "a file where a directory was").unwrap();
    appliance
        .thon(&["instances", "recreate", ALICE])
        .await
        .well();
    until(SOON, async || {
        let seen = appliance.instance(ALICE).await;
        let is_new = seen["generation"] == 2 && seen["state"] == "ready";
        is_new.then_some(()).ok_or(format!("{seen:#}"))
    })
    .await;
    let answer = door.get("/w/red/alice/__head", &cookie).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn everything_that_is_started_from_the_editor_finds_the_model() {
    let _alone = alone().await;
    let appliance = with_a_gateway(SANDBOX);
    let links = appliance.up().await;
    let container = appliance.container(ALICE).await;
    let key = text(&appliance, KEY).await;
    let alice = Browser::open(&appliance.ca().await).await;
    signs_in(&alice, &links[ALICE]).await;
    opens_the_editor(&alice).await;
    opens_a_terminal(&alice).await;
    types(&alice, "printenv OPENAI_API_KEY > /workspace/key.txt").await;
    file_says(&container, "/workspace/key.txt", &key).await;
    types(&alice, "printenv OPENAI_BASE_URL > /workspace/url.txt").await;
    let port = appliance.ports().await.gateway;
    let url = format!("http://{}:{port}/v1", appliance.gateway());
    file_says(&container, "/workspace/url.txt", &url).await;
    kilo_knows_the_model(&container, &url, &key);
}

/// By its own reading of what it was given.
fn kilo_knows_the_model(container: &str, url: &str, key: &str) {
    let settings = machine::docker(&["exec", container, "kilo", "debug", "config"]);
    let settings: Value = serde_json::from_str(&settings).unwrap();
    let options = &settings["provider"]["thon"]["options"];
    assert_eq!(
        (&options["baseURL"], &options["apiKey"]),
        (&url.into(), &key.into())
    );
    let model = settings["model"].as_str().unwrap();
    let name = model.strip_prefix("thon/").unwrap();
    assert!(settings["provider"]["thon"]["models"][name].is_object());
}
