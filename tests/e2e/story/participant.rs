//! What participants do in their browsers.

use std::time::Duration;

use super::appliance::Appliance;
use super::browser::Browser;
use super::{machine, until};

const SOON: Duration = Duration::from_secs(40);

/// What is there when the editor can be worked with.
pub(crate) const WORKBENCH: &str = ".monaco-workbench .part.statusbar .statusbar-item";

const ENTER: &str = "\u{e007}";
const F1: &str = "\u{e031}";

/// From the link to the portal.
pub(crate) async fn signs_in(browser: &Browser, link: &str) {
    browser.goto(link).await;
    browser
        .element("button.primary")
        .await
        .click()
        .await
        .unwrap();
    browser.element("form.who").await;
}

/// From the portal to the editor.
pub(crate) async fn opens_the_editor(browser: &Browser) {
    let link = browser.element("a.button.primary").await;
    assert_eq!(link.text().await.unwrap(), "Open my editor");
    link.click().await.unwrap();
    browser.element(WORKBENCH).await;
}

/// By the command palette, as somebody does who does not know the shortcut.
pub(crate) async fn opens_a_terminal(browser: &Browser) {
    browser.element("body").await.send_keys(F1).await.unwrap();
    let palette = browser.element(".quick-input-widget input.input").await;
    let command = "Terminal: Create New Terminal";
    palette.send_keys(command).await.unwrap();
    browser
        .element(".quick-input-list .monaco-list-row[aria-label*='Create New Terminal']")
        .await;
    browser.keys(ENTER).await;
}

pub(crate) async fn types(browser: &Browser, line: &str) {
    let terminal = browser
        .element(".terminal.xterm .xterm-helper-textarea")
        .await;
    terminal.send_keys(line).await.unwrap();
    terminal.send_keys(ENTER).await.unwrap();
}

/// Waits until the file in the container holds this line.
pub(crate) async fn file_says(container: &str, path: &str, line: &str) {
    until(SOON, async || {
        let read = machine::try_docker(&["exec", container, "cat", path])?;
        (read == line).then_some(()).ok_or(read)
    })
    .await;
}

/// How long it took until the page's two WebSockets were open.
pub(crate) async fn both_sockets_open(appliance: &Appliance, who: &str) -> Duration {
    let seen = until(SOON, async || {
        let view = appliance.instance(who).await;
        let open = view["open_sockets"].as_u64().unwrap();
        (open >= 2).then_some(()).ok_or(format!("{open} sockets"))
    });
    seen.await.1
}
