//! THON's gateway as it is: keys, four limits of tokens, one of requests, fair slots, and the ledger.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thon::config::{self, env::FixedVars};
use thon::control::{KeyWish, Launch};
use thon::domain::audit::Actor;
use thon::domain::key::Owner;
use thon::runtime::fake::Fake;
use thon::server::Appliance;
use thon::telemetry;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::upstream::MODEL;
use crate::process::until_bench_ends;

/// One has a quarter of the slots at most.
const PARTICIPANTS: [&str; 10] = ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10"];

/// Limits that are counted and never reached.
const LIMITS: &str = "token_limit: 1000000000, requests_per_minute: 1000000, limits: [\
     {scope: user, tokens: 100000000000, window: 86400}, \
     {scope: group, tokens: 10000000000}, \
     {scope: event, tokens: 10000000000}]";

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(upstream: SocketAddr, directory: &Path) -> anyhow::Result<()> {
    let _log = telemetry::start("info", telemetry::Destination::Stderr);
    // As `thon run` builds it.
    let workers = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    workers.block_on(async {
        let appliance = start(upstream, directory).await?;
        let listeners = appliance.listeners();
        let gateway = listeners.iter().find(|listener| listener.name == "gateway");
        let address = gateway.context("no gateway listener")?.address;
        let keys = keys(&appliance).await?;
        for key in &keys {
            until_offered(address, key).await?;
        }
        println!("{address} {}", keys.join(" "));
        until_bench_ends().await;
        appliance.stop().await;
        Ok(())
    })
}

async fn start(upstream: SocketAddr, directory: &Path) -> anyhow::Result<Appliance> {
    let (at, people) = (directory.display(), PARTICIPANTS.join(", "));
    let settings = format!(
        "groups: {{red: [{people}]}}\nstate_dir: {at}/state\nruntime_dir: {at}/run\n\
         proxy: {{https_listen: '127.0.0.1:0', http_listen: '127.0.0.1:0'}}\n\
         dashboard: {{host: 127.0.0.1, port: 0}}\n\
         gateway: {{enabled: true, listen: '127.0.0.1:0', concurrency_limit: 0, queue_limit: 1000, \
         backends: [{{url: 'http://{upstream}'}}], {LIMITS}}}\n\
         sandbox: {{subnet: 10.202.0.0/24}}\n"
    );
    let path = directory.join("thon.yaml");
    tokio::fs::write(&path, settings).await?;
    let config = config::load(Some(&path), &FixedVars::default())?;
    let fake = Fake::new(config.sandbox.subnet);
    Appliance::start_with(&config, |_| Arc::new(fake)).await
}

async fn keys(appliance: &Appliance) -> anyhow::Result<Vec<String>> {
    let control = appliance.control();
    control.launch(&Launch::default(), Actor::Control).await?;
    let mut keys = Vec::new();
    for name in PARTICIPANTS {
        let wish = KeyWish {
            owner: Owner::User(format!("red/{name}").parse()?),
            models: Vec::new(),
            expires_at: None,
            note: String::new(),
        };
        let made = control.create_key(wish, Actor::Control).await?;
        keys.push(made.secret.expose().to_owned());
    }
    Ok(keys)
}

async fn until_offered(address: SocketAddr, key: &str) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let seen = models(address, key).await?;
        if seen.contains(MODEL) {
            return Ok(());
        }
        anyhow::ensure!(
            begin.elapsed() < PATIENCE,
            "the model is not offered: {seen}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

async fn models(address: SocketAddr, key: &str) -> anyhow::Result<String> {
    let io = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = http1::handshake(io).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = Request::get("/v1/models")
        .header("host", address.to_string())
        .header("authorization", format!("Bearer {key}"))
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec())?)
}
