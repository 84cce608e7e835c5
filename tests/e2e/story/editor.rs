//! Participants in the real editor, in real browsers.

use std::time::Duration;

use super::appliance::{Appliance, SANDBOX};
use super::browser::Browser;
use super::{alone, machine, tell, until};

const SOON: Duration = Duration::from_secs(40);

#[tokio::test]
async fn alice_opens_her_link_and_works_in_her_own_editor() {
    let _alone = alone().await;
    let appliance = Appliance::new(SANDBOX, "{red: [alice, bob]}");
    let links = appliance.up().await;
    assert_eq!(links.len(), 2, "{links:?}");
    let alice = Browser::open(&appliance.ca().await).await;

    asks_before_it_signs_in(&alice, &links["red/alice"]).await;
    finds_the_editor_on_the_portal(&alice).await;
    opens_two_sockets(&appliance).await;
    types_into_a_terminal(&alice, "echo hello-$((40+2)) > /workspace/proof.txt").await;
    let container = appliance.container("red/alice").await;
    file_says(&container, "/workspace/proof.txt", "hello-42").await;
    alice.screenshot("4-terminal").await;
    keeps_its_worker_to_itself(&alice).await;
}

async fn asks_before_it_signs_in(alice: &Browser, link: &str) {
    alice.goto(link).await;
    alice.screenshot("1-join").await;
    let button = alice.element("button.primary").await;
    assert_eq!(button.text().await.unwrap(), "Continue as alice (red)");
    let cookies = alice.page.get_all_cookies().await.unwrap();
    assert!(cookies.is_empty(), "a GET signed in: {cookies:?}");
    button.click().await.unwrap();
    alice.element("a.button.primary").await;
    assert_eq!(alice.path().await, "/", "the code left the address");
}

async fn finds_the_editor_on_the_portal(alice: &Browser) {
    alice.screenshot("2-portal").await;
    let link = alice.element("a.button.primary").await;
    assert_eq!(link.text().await.unwrap(), "Open my editor");
    link.click().await.unwrap();
    alice.element(WORKBENCH).await;
    assert_eq!(alice.path().await, "/w/red/alice/");
    alice.screenshot("3-workbench").await;
}

/// What is there when the editor can be worked with.
const WORKBENCH: &str = ".monaco-workbench .part.statusbar .statusbar-item";

async fn opens_two_sockets(appliance: &Appliance) {
    until(SOON, async || {
        let view = appliance.instance("red/alice").await;
        let open = view["open_sockets"].as_u64().unwrap();
        (open >= 2).then_some(()).ok_or(format!("{open} sockets"))
    })
    .await;
}

/// By the command palette, as somebody does who does not know the shortcut.
async fn types_into_a_terminal(browser: &Browser, line: &str) {
    const F1: &str = "\u{e031}";
    const ENTER: &str = "\u{e007}";
    browser.element("body").await.send_keys(F1).await.unwrap();
    let palette = browser.element(".quick-input-widget input.input").await;
    palette
        .send_keys("Terminal: Create New Terminal")
        .await
        .unwrap();
    browser
        .element(".quick-input-list .monaco-list-row[aria-label*='Create New Terminal']")
        .await;
    browser.keys(ENTER).await;
    let terminal = browser
        .element(".terminal.xterm .xterm-helper-textarea")
        .await;
    terminal.send_keys(line).await.unwrap();
    terminal.send_keys(ENTER).await.unwrap();
}

async fn file_says(container: &str, path: &str, text: &str) {
    until(SOON, async || {
        let read = machine::try_docker(&["exec", container, "cat", path])?;
        (read == text).then_some(()).ok_or(read)
    })
    .await;
}

async fn keeps_its_worker_to_itself(alice: &Browser) {
    let (scopes, _) = until(SOON, async || {
        let scopes = alice
            .eval(
                "const all = await navigator.serviceWorker.getRegistrations();\
                 return all.map(worker => new URL(worker.scope).pathname)",
            )
            .await;
        let any = scopes.as_array().is_some_and(|scopes| !scopes.is_empty());
        any.then_some(scopes.clone()).ok_or(format!("{scopes}"))
    })
    .await;
    for scope in scopes.as_array().unwrap() {
        let scope = scope.as_str().unwrap();
        assert!(scope.starts_with("/w/red/alice/"), "{scope}");
    }
    tell(&format!("service workers: {scopes}"));
}
