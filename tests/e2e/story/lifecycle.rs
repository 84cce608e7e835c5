//! What an organizer does to an instance, and what its participant sees of it.

use std::time::Duration;

use super::appliance::{Appliance, STAND_IN};
use super::browser::Browser;
use super::door::Door;
use super::participant::signs_in;
use super::{alone, until};

const ALICE: &str = "red/alice";
const FILES: [&str; 2] = [
    "/w/red/alice/__files/workspace/main.rs",
    "/w/red/alice/__files/home/vscode/.bash_history",
];
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn paused_and_stopped_editors_say_so_and_come_back_with_every_file() {
    let _alone = alone().await;
    let mut appliance = Appliance::new(STAND_IN, "{red: [alice, bob]}");
    appliance.run().await;
    let links = appliance.launch(&[]).await;
    let door = appliance.door().await;
    let cookie = door.sign_in(&links[ALICE]).await;
    for path in FILES {
        let status = door.put(path, &cookie, "mine").await.status;
        assert!((200..300).contains(&status), "{path}: {status}");
    }
    let alice = Browser::open(&appliance.ca().await).await;
    signs_in(&alice, &links[ALICE]).await;

    the_page_of_a_paused_editor_waits(&appliance, &door, &cookie, &alice).await;
    a_stopped_editor_is_started_by_its_participant(&appliance, &door, &cookie, &alice).await;
    logs_show_what_it_printed(&appliance).await;
    cleaning_up_keeps_the_files(&appliance, &door, &cookie).await;
}

async fn the_page_of_a_paused_editor_waits(
    appliance: &Appliance,
    door: &Door,
    cookie: &str,
    alice: &Browser,
) {
    organizer(appliance, "pause", "paused").await;
    page_says(door, cookie, 503, "is paused").await;
    alice.goto(&format!("{}/w/red/alice/", door.origin())).await;
    alice.screenshot("7-paused").await;
    organizer(appliance, "resume", "ready").await;
    // Without a click.
    until(SOON, async || {
        let text = alice.text().await;
        let is_paused = text.contains("paused");
        (!is_paused).then_some(()).ok_or(text)
    })
    .await;
    files_are_there(door, cookie).await;
}

async fn a_stopped_editor_is_started_by_its_participant(
    appliance: &Appliance,
    door: &Door,
    cookie: &str,
    alice: &Browser,
) {
    organizer(appliance, "stop", "stopped").await;
    page_says(door, cookie, 503, "is stopped").await;
    alice.goto(&format!("{}/w/red/alice/", door.origin())).await;
    alice.screenshot("8-stopped").await;
    alice.element("main a").await.click().await.unwrap();
    let button = alice.element("main button.primary").await;
    alice.screenshot("9-portal-stopped").await;
    assert_eq!(button.text().await.unwrap(), "Start my editor");
    button.click().await.unwrap();
    the_portal_looks_again_by_itself(alice).await;
    files_are_there(door, cookie).await;
}

async fn the_portal_looks_again_by_itself(alice: &Browser) {
    let link = alice.element("main a.button.primary").await;
    assert_eq!(link.text().await.unwrap(), "Open my editor");
}

async fn logs_show_what_it_printed(appliance: &Appliance) {
    let logs = appliance.thon(&["instances", "logs", ALICE]).await.well();
    assert!(logs.contains("HTTP server listening"), "{logs}");
}

async fn cleaning_up_keeps_the_files(appliance: &Appliance, door: &Door, cookie: &str) {
    let unasked = appliance.thon(&["cleanup"]).await;
    assert_eq!(unasked.code, Some(1), "{unasked:?}");
    assert!(unasked.err.contains("add --yes"), "{unasked:?}");
    assert_eq!(appliance.labelled(&["ps", "-q"]).len(), 2);

    let volumes = appliance.labelled(&["volume", "ls", "-q"]);
    assert_eq!(volumes.len(), 4, "{volumes:?}");
    appliance.thon(&["cleanup", "--yes"]).await.well();
    until(SOON, async || {
        let containers = appliance.labelled(&["ps", "-aq"]);
        let status = appliance.status().await;
        let is_empty = containers.is_empty() && status["instances"] == serde_json::json!([]);
        is_empty.then_some(()).ok_or(format!("{status:#}"))
    })
    .await;
    assert_eq!(appliance.labelled(&["volume", "ls", "-q"]), volumes);
    page_says(door, cookie, 404, "<h1>No ").await;

    appliance.launch(&[]).await;
    assert_eq!(appliance.labelled(&["volume", "ls", "-q"]), volumes);
    files_are_there(door, cookie).await;
}

async fn organizer(appliance: &Appliance, verb: &str, state: &str) {
    appliance.thon(&["instances", verb, ALICE]).await.well();
    appliance.until_state(ALICE, state, SOON).await;
}

async fn page_says(door: &Door, cookie: &str, status: u16, words: &str) {
    let answer = door.page("/w/red/alice/", cookie).await;
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.body.contains(words), "{answer:?}");
}

async fn files_are_there(door: &Door, cookie: &str) {
    for path in FILES {
        let answer = door.get(path, cookie).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "mine"),
            "{path}"
        );
    }
}
