//! `Gate`: an appliance with a model behind it, and people who ask.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tempfile::TempDir;
use thon::config::env::FixedVars;
use thon::config::{self, Config};
use thon::control::{Control, KeyWish, Launch};
use thon::domain::audit::Actor;
use thon::domain::health::Health;
use thon::domain::key::Owner;
use thon::domain::usage::UsageEntry;
use thon::runtime::fake::Fake;
use thon::server::Appliance;
use tokio::net::{TcpStream, UnixStream};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::client::TlsStream;

use super::client::{Reply, request, send, tls_connector};
use super::model::Model;
use super::origin::spawn;
use super::world::until;

/// The gateway's plain listener of an appliance in this process.
pub(crate) struct Gate {
    pub(crate) model: Model,
    pub(crate) appliance: Appliance,
    pub(crate) address: SocketAddr,
    config: Config,
    _dir: TempDir,
}

/// What people who take part in these tests are called.
const GROUPS: &str = "{red: [alice, bob, carol], blue: [dan]}";

impl Gate {
    pub(crate) async fn open() -> Self {
        Self::with("").await
    }

    /// `gateway` is more of that section, as YAML in one line.
    pub(crate) async fn with(gateway: &str) -> Self {
        Self::before(Model::llama("tiny").await, gateway).await
    }

    pub(crate) async fn before(model: Model, gateway: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir, &model, gateway);
        let appliance = start(&config).await;
        Self::of(dir, config, model, appliance).await
    }

    async fn of(dir: TempDir, config: Config, model: Model, appliance: Appliance) -> Self {
        let listeners = appliance.listeners();
        let gateway = listeners.iter().find(|listener| listener.name == "gateway");
        let gate = Self {
            address: gateway.unwrap().address,
            model,
            appliance,
            config,
            _dir: dir,
        };
        until("the model is seen", async || gate.is_ready().await).await;
        gate
    }

    async fn is_ready(&self) -> bool {
        let gateway = self.told("/api/gateway").await;
        gateway["backends"][0]["state"] == "up"
    }

    /// The same event after a restart of the appliance.
    pub(crate) async fn restarted(self) -> Self {
        let Self {
            model,
            appliance,
            config,
            _dir: dir,
            ..
        } = self;
        appliance.stop().await;
        let appliance = start(&config).await;
        Self::of(dir, config, model, appliance).await
    }

    pub(crate) fn control(&self) -> &Arc<Control> {
        self.appliance.control()
    }

    /// A new key of a participant, or of a group when there is no slash.
    pub(crate) async fn key(&self, owner: &str) -> String {
        self.key_for(owner, &[]).await
    }

    pub(crate) async fn key_for(&self, owner: &str, models: &[&str]) -> String {
        let owner = if owner.contains('/') {
            Owner::User(owner.parse().unwrap())
        } else {
            Owner::Group(owner.parse().unwrap())
        };
        let wish = KeyWish {
            owner,
            models: models.iter().map(|&name| name.to_owned().into()).collect(),
            expires_at: None,
            note: String::new(),
        };
        let made = self.control().create_key(wish, Actor::Control).await;
        made.unwrap().secret.expose().to_owned()
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Reply {
        let bearer = format!("Bearer {key}");
        let headers = [("host", "gate"), ("authorization", bearer.as_str())];
        send(self.wire().await, request("GET", path, &headers, "")).await
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: &Value) -> Reply {
        self.post_raw(key, path, &body.to_string()).await
    }

    pub(crate) async fn post_raw(&self, key: &str, path: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {key}");
        let headers = [
            ("host", "gate"),
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        send(
            self.wire().await,
            request("POST", path, &headers, body.to_owned()),
        )
        .await
    }

    /// An answer that is read piece by piece, and left whenever the reader likes.
    pub(crate) async fn begin(&self, key: &str, path: &str, body: &Value) -> Listening {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(self.wire().await))
                .await
                .unwrap();
        let connection = tokio_util::task::AbortOnDropHandle::new(spawn(async move {
            connection.await.ok();
        }));
        let request = Request::post(path)
            .header("host", "gate")
            .header("authorization", format!("Bearer {key}"))
            .body(Full::new(bytes::Bytes::from(body.to_string())))
            .unwrap();
        let sending = spawn(async move { sender.send_request(request).await });
        Listening {
            answer: tokio_util::task::AbortOnDropHandle::new(sending),
            _connection: connection,
        }
    }

    pub(crate) fn is_healthy(&self) -> bool {
        let health = self.control().health();
        health
            .iter()
            .any(|(part, health)| *part == "model" && health.is_ok())
    }

    pub(crate) fn has_trouble(&self, code: &str) -> bool {
        self.control().health().iter().any(
            |(_, health)| matches!(health, Health::Degraded { code: found, .. } if found == code),
        )
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut all = vec![("host", "gate")];
        all.extend(headers);
        send(self.wire().await, request("GET", path, &all, "")).await
    }

    /// As the control socket says it.
    async fn told(&self, path: &str) -> Value {
        let socket = UnixStream::connect(self.config.control_socket())
            .await
            .unwrap();
        send(socket, request("GET", path, &[], "")).await.json()
    }

    pub(crate) async fn is_waiting(&self) -> bool {
        let queue = self.told("/api/gateway/queue").await;
        let queue = queue["queue"].as_array().unwrap();
        queue.iter().any(|request| request["place"].is_u64())
    }

    pub(crate) async fn is_idle(&self) -> bool {
        let gateway = self.told("/api/gateway").await;
        let is_free = |model: &Value| model["slots_busy"] == 0 && model["queued"] == 0;
        gateway["reserved_tokens"] == 0
            && gateway["models"].as_array().unwrap().iter().all(is_free)
            && self.told("/api/gateway/queue").await["total"] == 0
    }

    pub(crate) async fn slots(&self) -> u64 {
        let gateway = self.told("/api/gateway").await;
        gateway["models"][0]["slots_total"].as_u64().unwrap()
    }

    /// Of somebody's first limit; for one who has not used anything there is no entry.
    pub(crate) async fn remaining(&self, who: &str) -> i64 {
        let told = self.told("/api/gateway/balances").await;
        let mut balances = told["balances"].as_array().unwrap().iter();
        let of_them = balances.find(|balance| balance["who"] == who).unwrap();
        of_them["remaining"].as_i64().unwrap()
    }

    /// Tokens that the ledger's sums have, of everybody.
    pub(crate) async fn spent(&self) -> i64 {
        let told = self.told("/api/usage?by=group&since=24h").await;
        let count = |name: &str| told["sum"][name].as_i64().unwrap();
        count("input_tokens") + count("cached_tokens") + count("output_tokens")
    }

    /// Tokens that are lacking from the balances of the main limit.
    pub(crate) async fn lacking(&self) -> i64 {
        let told = self.told("/api/gateway/balances").await;
        let balances = told["balances"].as_array().unwrap().iter();
        let lacks = |balance: &Value| {
            balance["tokens"].as_i64().unwrap() - balance["remaining"].as_i64().unwrap()
        };
        balances.map(lacks).sum()
    }

    /// A connection to the public listener.
    pub(crate) async fn over_tls(&self) -> TlsStream<TcpStream> {
        let listeners = self.appliance.listeners();
        let public = listeners
            .iter()
            .find(|listener| listener.name == "public")
            .unwrap();
        let pem = std::fs::read(self.config.state_dir.join("ca/rootCA.crt")).unwrap();
        let mut trusted = rustls::RootCertStore::empty();
        trusted
            .add(CertificateDer::from_pem_slice(&pem).unwrap())
            .unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tcp = TcpStream::connect(public.address).await.unwrap();
        tls_connector(trusted, &["http/1.1"])
            .connect(name, tcp)
            .await
            .unwrap()
    }

    async fn wire(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// What the ledger has of this many requests, oldest first.
    pub(crate) async fn ledger(&self, count: usize) -> Vec<UsageEntry> {
        let mut found = Vec::new();
        until("the ledger is written", async || {
            let wanted = thon::control::Wanted::default();
            found = self.control().requests(1_000, wanted).await.unwrap();
            found.len() >= count
        })
        .await;
        assert_eq!(found.len(), count, "{found:#?}");
        found.sort_by_key(|entry| entry.at);
        found
    }
}

/// Half a conversation.
pub(crate) struct Listening {
    answer:
        tokio_util::task::AbortOnDropHandle<hyper::Result<http::Response<hyper::body::Incoming>>>,
    _connection: tokio_util::task::AbortOnDropHandle<()>,
}

impl Listening {
    pub(crate) async fn head(self) -> (http::Response<hyper::body::Incoming>, impl Sized) {
        let Self {
            answer,
            _connection: connection,
        } = self;
        (
            super::client::within(answer).await.unwrap().unwrap(),
            connection,
        )
    }
}

/// What is left of an answer, as text.
pub(crate) async fn rest(body: hyper::body::Incoming) -> String {
    let body = super::client::within(body.collect()).await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// The `data:` of a stream's events that are JSON.
pub(crate) fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}

pub(crate) fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]})
}

pub(crate) fn streamed(mut body: Value) -> Value {
    body["stream"] = true.into();
    body
}

fn config(dir: &TempDir, model: &Model, gateway: &str) -> Config {
    let at = dir.path().display();
    let url = model.url();
    let settings = format!(
        "groups: {GROUPS}\nstate_dir: {at}/state\nruntime_dir: {at}/run\n\
         proxy: {{https_listen: '127.0.0.1:0', http_listen: '127.0.0.1:0'}}\n\
         dashboard: {{host: 127.0.0.1, port: 0}}\n\
         gateway: {{listen: '127.0.0.1:0', enabled: true, backends: [{{url: '{url}'}}], {gateway}}}\n\
         sandbox: {{subnet: 10.201.0.0/24}}\n"
    );
    let path = dir.path().join("thon.yaml");
    std::fs::write(&path, settings).unwrap();
    config::load(Some(&path), &FixedVars::default()).unwrap()
}

async fn start(config: &Config) -> Appliance {
    let fake = Fake::new(config.sandbox.subnet);
    let appliance = Appliance::start_with(config, |_| Arc::new(fake))
        .await
        .unwrap();
    let everybody = Launch::default();
    let launched = appliance.control().launch(&everybody, Actor::Control);
    launched.await.unwrap();
    appliance
}
