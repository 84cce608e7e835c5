//! `Served`: a real llama.cpp server with a model of random weights, as `tests/setup` made it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinSet;

/// What the model asks of whoever speaks to it.
pub(super) const KEY: &str = "what only the gateway knows";

pub(super) struct Served {
    address: String,
    _life: ChildStdin,
    _child: Child,
}

/// What it has done since it began, as it counts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) output: u64,
    pub(super) deferred: u64,
}

fn made(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/model")
        .join(name)
}

/// Python with what the tests need.
pub(super) fn python(script: &str) -> Command {
    let python = made("venv/bin/python");
    assert!(
        python.exists(),
        "no {}: tests/setup makes it",
        python.display()
    );
    let mut command = Command::new(python);
    command
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/model")
                .join(script),
        )
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Served {
    pub(super) async fn start(model: &str, slots: u32, context: u32) -> Self {
        let mut child = python("serve.py")
            .args([model, "--key", KEY])
            .args(["--slots", &slots.to_string()])
            .args(["--context", &context.to_string()])
            .spawn()
            .unwrap();
        let life = child.stdin.take().unwrap();
        let mut says = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut says).await.unwrap();
        let address = says.trim().strip_prefix("http://");
        Self {
            address: address.expect("the model's server starts").to_owned(),
            _life: life,
            _child: child,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn look(&self, path: &str) -> String {
        let io = TokioIo::new(TcpStream::connect(&self.address).await.unwrap());
        let (mut sender, connection) = http1::handshake(io).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let request = Request::get(path)
            .header("host", &self.address)
            .header("authorization", format!("Bearer {KEY}"))
            .body(Empty::<Bytes>::new());
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// Slots that are at work.
    pub(super) async fn busy(&self) -> usize {
        let slots: Value = serde_json::from_str(&self.look("/slots").await).unwrap();
        let slots = slots.as_array().unwrap().iter();
        slots.filter(|slot| slot["is_processing"] == true).count()
    }

    pub(super) async fn counted(&self) -> Counted {
        let text = self.look("/metrics").await;
        let of = |name: &str| {
            let lines = text.lines();
            let mut found = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            found.next().and_then(|number| number.parse().ok()).unwrap()
        };
        Counted {
            input: of("llamacpp:prompt_tokens_total"),
            cached: of("llamacpp:prompt_tokens_cached_total"),
            output: of("llamacpp:tokens_predicted_total"),
            deferred: of("llamacpp:requests_deferred"),
        }
    }
}
