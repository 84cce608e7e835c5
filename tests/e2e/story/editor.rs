//! Participants in the real editor, in real browsers.

use std::time::Duration;

use tokio::time::Instant;

use super::appliance::{Appliance, SANDBOX};
use super::browser::Browser;
use super::participant::{
    WORKBENCH, both_sockets_open, file_says, opens_a_terminal, opens_the_editor, signs_in, types,
};
use super::{alone, machine, tell, until};

const ALICE: &str = "red/alice";
const SOON: Duration = Duration::from_secs(40);

#[tokio::test]
async fn alice_opens_her_link_and_works_in_her_own_editor() {
    let _alone = alone().await;
    let appliance = Appliance::new(SANDBOX, "{red: [alice, bob]}");
    let links = appliance.up().await;
    assert_eq!(links.len(), 2, "{links:?}");
    let alice = Browser::open(&appliance.ca().await).await;

    asks_before_it_signs_in(&alice, &links[ALICE]).await;
    finds_the_editor_on_the_portal(&alice).await;
    both_sockets_open(&appliance, ALICE).await;
    opens_a_terminal(&alice).await;
    types(&alice, "echo hello-$((40+2)) > /workspace/proof.txt").await;
    let container = appliance.container(ALICE).await;
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
    alice.element("form.who").await;
    assert_eq!(alice.path().await, "/", "the code left the address");
}

async fn finds_the_editor_on_the_portal(alice: &Browser) {
    alice.screenshot("2-portal").await;
    opens_the_editor(alice).await;
    assert_eq!(alice.path().await, "/w/red/alice/");
    alice.screenshot("3-workbench").await;
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
}

#[tokio::test]
async fn an_open_editor_outlives_the_appliance_and_its_files_outlive_the_container() {
    let _alone = alone().await;
    let mut appliance = Appliance::new(SANDBOX, "{red: [alice]}");
    let links = appliance.up().await;
    // Browsers come back to where they were.
    appliance.keep_ports().await;
    let alice = Browser::open(&appliance.ca().await).await;
    signs_in(&alice, &links[ALICE]).await;
    opens_the_editor(&alice).await;
    opens_a_terminal(&alice).await;

    the_terminal_is_still_there(&mut appliance, &alice).await;
    a_new_container_has_the_old_files(&appliance).await;
    // What ran in the old container is gone, and the editor says so until it is reloaded.
    alice.screenshot("5-container-replaced").await;
    alice.page.refresh().await.unwrap();
    alice.element(WORKBENCH).await;
}

async fn the_terminal_is_still_there(appliance: &mut Appliance, alice: &Browser) {
    let container = appliance.container(ALICE).await;
    types(alice, "MARK=abc; echo set > /workspace/set.txt").await;
    file_says(&container, "/workspace/set.txt", "set").await;
    both_sockets_open(appliance, ALICE).await;

    appliance.kill().await;
    let killed = Instant::now();
    appliance.run().await;
    let started = killed.elapsed();
    both_sockets_open(appliance, ALICE).await;
    let back = killed.elapsed();
    tell(&format!(
        "restart: answers after {started:?}, both sockets back after {back:?}"
    ));
    assert!(back < Duration::from_secs(30), "{back:?}");

    types(alice, "echo $MARK > /workspace/mark.txt").await;
    file_says(&container, "/workspace/mark.txt", "abc").await;
    assert_eq!(appliance.container(ALICE).await, container);
}

async fn a_new_container_has_the_old_files(appliance: &Appliance) {
    let before = appliance.container(ALICE).await;
    let write = "echo w > /workspace/kept.txt; echo h > /home/vscode/kept.txt";
    machine::docker(&["exec", &before, "sh", "-c", write]);
    let address = address_of(&before);
    let generation = appliance.instance(ALICE).await["generation"].as_u64();

    machine::docker(&["rm", "-f", &before]);
    let ((), took) = until(Duration::from_secs(10), async || {
        let view = appliance.instance(ALICE).await;
        let is_new = view["generation"].as_u64() == generation.map(|before| before + 1);
        let is_back = is_new && view["state"] == "ready";
        is_back.then_some(()).ok_or(format!("{view:#}"))
    })
    .await;
    tell(&format!("a removed container is replaced after {took:?}"));

    let after = appliance.container(ALICE).await;
    assert_ne!(after, before);
    assert_eq!(address_of(&after), address);
    file_says(&after, "/workspace/kept.txt", "w").await;
    file_says(&after, "/home/vscode/kept.txt", "h").await;
}

fn address_of(container: &str) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = machine::docker(&["inspect", "--format", format, container]);
    assert!(!address.is_empty(), "{container} has no address");
    address
}
