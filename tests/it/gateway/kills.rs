//! The built program, ended as if the power had failed, in the middle of answers.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};

use crate::support::client::{request, send};
use crate::support::gate::{chat, streamed};
use crate::support::model::Model;
use crate::support::world::until;

const KILLS: usize = 50;

struct Program {
    dir: tempfile::TempDir,
    model: Model,
}

impl Program {
    async fn new() -> Self {
        let (dir, model) = (tempfile::tempdir().unwrap(), Model::llama("tiny").await);
        let (at, url) = (dir.path().display(), model.url());
        let settings = format!(
            "groups: {{red: [alice]}}\nstate_dir: {at}/state\nruntime_dir: {at}/run\n\
             proxy: {{https_listen: '127.0.0.1:0', http_listen: '127.0.0.1:0'}}\n\
             dashboard: {{host: 127.0.0.1, port: 0}}\n\
             gateway: {{listen: '127.0.0.1:0', enabled: true, concurrency_limit: 0, \
             token_limit: 1000000, token_window: 604800, backends: [{{url: '{url}'}}]}}\n"
        );
        std::fs::write(dir.path().join("thon.yaml"), settings).unwrap();
        Self { dir, model }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self) -> Child {
        let log = std::fs::File::create(self.path("log")).unwrap();
        Command::new(env!("CARGO_BIN_EXE_thon"))
            .env_clear()
            .env("HOME", self.dir.path())
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .current_dir(self.dir.path())
            .arg("--config")
            .arg(self.path("thon.yaml"))
            .arg("run")
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let socket = UnixStream::connect(self.path("run/control.sock"))
            .await
            .ok()?;
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        Some(send(socket, request(method, path, &[], body)).await.json())
    }

    /// Where its gateway listens, as soon as it has seen its model.
    async fn serves(&self) -> String {
        let mut found = String::new();
        until("it serves", async || {
            let Some(gateway) = self.ask("GET", "/api/gateway", &Value::Null).await else {
                return false;
            };
            if gateway["backends"][0]["state"] != "up" {
                return false;
            }
            let status = self.ask("GET", "/api/status", &Value::Null).await.unwrap();
            let mut listeners = status["listeners"].as_array().unwrap().iter();
            let gateway = listeners
                .find(|listener| listener["name"] == "gateway")
                .unwrap();
            gateway["address"].as_str().unwrap().clone_into(&mut found);
            true
        })
        .await;
        found
    }
}

/// Sends a request and does not wait for anything.
async fn ask(address: &str, key: &str) -> TcpStream {
    use tokio::io::AsyncWriteExt as _;
    let mut wire = TcpStream::connect(address).await.unwrap();
    let body = streamed(chat("tiny")).to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    wire.write_all((head + &body).as_bytes()).await.unwrap();
    wire
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_fifty_times_it_holds_no_slot_and_no_reservation() {
    let program = Program::new().await;
    let mut child = program.start();
    let mut address = program.serves().await;
    let wish = json!({"group": "red", "user": "alice"});
    let made = program.ask("POST", "/api/keys", &wish).await.unwrap();
    let key = made["key"]
        .as_str()
        .unwrap_or_else(|| panic!("{made}"))
        .to_owned();
    program
        .model
        .always(|reply, _| reply.slow(Duration::from_millis(2)));
    for kill in 0..KILLS {
        let mut asking = Vec::new();
        for _ in 0..6 {
            asking.push(ask(&address, &key).await);
        }
        // At a moment that differs: none, some or all of them have reached the model.
        let open = kill % 5;
        program
            .model
            .until(|counts| counts.open + counts.over % 7 >= open)
            .await;
        child.kill().await.unwrap();
        program.model.until(|counts| counts.open == 0).await;
        drop(asking);
        child = program.start();
        address = program.serves().await;
        let gateway = program
            .ask("GET", "/api/gateway", &Value::Null)
            .await
            .unwrap();
        assert_eq!(gateway["reserved_tokens"], 0, "{gateway}");
        assert_eq!(gateway["models"][0]["slots_busy"], 0, "{gateway}");
    }
    let left = program
        .ask("GET", "/api/gateway/balances", &Value::Null)
        .await
        .unwrap();
    for balance in left["balances"].as_array().unwrap() {
        // At most everything that was asked for was charged: nothing twice.
        let lacking = balance["tokens"].as_i64().unwrap() - balance["remaining"].as_i64().unwrap();
        let asked = i64::try_from(program.model.asked().len()).unwrap();
        assert!(lacking <= asked * 30, "{lacking} for {asked}");
    }
    child.kill().await.unwrap();
}
