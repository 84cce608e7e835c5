//! `Browser`: a Chromium with a profile of its own that trusts the appliance's authority, as a
//! participant's does after `/ca`. Ignoring certificate errors would not do: no service worker
//! registers then.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::Instant;

use super::machine;

const PATIENCE: Duration = Duration::from_secs(40);

/// Between two looks at a page that does not show what it should.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

pub(crate) struct Browser {
    pub(crate) page: Client,
    driver: Child,
    home: Arc<TempDir>,
    /// Whoever hangs up on the driver stops it.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    pub(crate) async fn open(ca_pem: &str) -> Self {
        let home = new_home();
        trust(home.path(), ca_pem).await;
        Self::at(home).await
    }

    /// One that has never heard of the authority.
    pub(crate) async fn stranger() -> Self {
        Self::at(new_home()).await
    }

    /// All its windows are closed, and it is opened again.
    pub(crate) async fn reopened(self) -> Self {
        let home = Arc::clone(&self.home);
        self.page.clone().close().await.unwrap();
        drop(self);
        Self::at(home).await
    }

    /// What its owner types into a terminal.
    pub(crate) async fn types_into_a_terminal(&self, command: &str) {
        let ended = Command::new("sh")
            .args(["-ec", command])
            .env("HOME", self.home.path())
            .output()
            .await
            .unwrap();
        assert!(ended.status.success(), "{command}: {ended:?}");
    }

    async fn at(home: Arc<TempDir>) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts; tests/setup installs it");
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let started = tokio::time::timeout(PATIENCE, port(&mut said)).await;
        let port = started.expect("chromedriver says where it listens");
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(home.path()));
        let page = builder.connect(&format!("http://127.0.0.1:{port}")).await;
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                end(&driver);
                panic!("no session with Chromium: {error}");
            }
        };
        Self {
            page,
            driver,
            home,
            _said: said,
        }
    }

    /// Waits until it is there.
    pub(crate) async fn element(&self, css: &str) -> Element {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let waiting = self.page.wait().at_most(LOOK_AGAIN);
            let error = match waiting.for_element(Locator::Css(css)).await {
                Ok(element) => return element,
                Err(error) => error,
            };
            let text = self.text().await;
            if Instant::now() > deadline {
                self.screenshot("failed").await;
                panic!("no {css} ({error}) in {text}");
            }
            // Chromium takes the bridges of this host's containers for its own network, and drops what
            // it was loading whenever one comes or goes. Participants are on other machines.
            if text.contains("ERR_NETWORK_CHANGED") {
                self.page.refresh().await.unwrap();
            }
        }
    }

    pub(crate) async fn goto(&self, url: &str) {
        self.page.goto(url).await.unwrap();
    }

    /// What a person reads.
    pub(crate) async fn text(&self) -> String {
        let text = self.eval("return document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn path(&self) -> String {
        self.page.current_url().await.unwrap().path().to_owned()
    }

    /// What the body of an async function returns in the page.
    pub(crate) async fn eval(&self, body: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];\
             (async () => {{ {body} }})().then(done, error => done('threw ' + error));"
        );
        self.page.execute_async(&script, Vec::new()).await.unwrap()
    }

    /// What the keyboard sends goes to whatever has the focus.
    pub(crate) async fn keys(&self, keys: &str) {
        let focused = self.page.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }

    /// Into `target/e2e`, for people to look at.
    pub(crate) async fn screenshot(&self, name: &str) {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/e2e");
        std::fs::create_dir_all(&directory).unwrap();
        let picture = self.page.screenshot().await.unwrap();
        std::fs::write(directory.join(format!("{name}.png")), picture).unwrap();
    }

    /// A cookie as it goes over the wire, also one that no script can read.
    pub(crate) async fn cookie(&self, name: &str) -> String {
        let cookie = self.page.get_named_cookie(name).await.unwrap();
        assert_eq!(cookie.http_only(), Some(true));
        format!("{name}={}", cookie.value())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        end(&self.driver);
    }
}

fn new_home() -> Arc<TempDir> {
    let home = tempfile::Builder::new().prefix("thon-browser-").tempdir();
    Arc::new(home.unwrap())
}

/// Chromium does not end with its driver.
fn end(driver: &Child) {
    let pid = driver.id().and_then(|id| i32::try_from(id).ok());
    for pid in pid
        .map(|pid| machine::family(Pid::from_raw(pid)))
        .iter()
        .flatten()
    {
        machine::end(*pid);
    }
}

async fn port(said: &mut Lines<BufReader<ChildStdout>>) -> u16 {
    while let Some(line) = said.next_line().await.unwrap() {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return port.trim_end_matches('.').parse().unwrap();
        }
    }
    panic!("chromedriver ended at once")
}

async fn trust(home: &Path, ca_pem: &str) {
    let database = home.join(".pki/nssdb");
    std::fs::create_dir_all(&database).unwrap();
    let certificate: PathBuf = home.join("rootCA.crt");
    std::fs::write(&certificate, ca_pem).unwrap();
    let database = format!("sql:{}", database.display());
    let certificate = certificate.to_str().unwrap();
    for arguments in [
        &["-N", "--empty-password"][..],
        &["-A", "-t", "C,,", "-n", "thon", "-i", certificate],
    ] {
        let ended = Command::new("certutil")
            .args(["-d", &database])
            .args(arguments)
            .output()
            .await
            .expect("certutil starts; tests/setup installs it");
        assert!(ended.status.success(), "{ended:?}");
    }
}

fn capabilities(home: &Path) -> serde_json::Map<String, Value> {
    let profile = format!("--user-data-dir={}", home.join("profile").display());
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,800",
        // Names that no resolver here knows.
        "--host-resolver-rules=MAP nas.local 127.0.0.1, MAP evil.example.org 127.0.0.1",
        &profile,
    ];
    let capabilities = json!({
        "browserName": "chrome",
        "goog:chromeOptions": {"args": arguments},
        "timeouts": {"script": 60_000, "pageLoad": 60_000},
    });
    match capabilities {
        Value::Object(map) => map,
        _ => unreachable!("an object was written"),
    }
}
