//! THON as it is, with every limit and its access log; only the machine below it is in memory, and
//! its editors are the bench's origin.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use thon::auth::cookie::PARTICIPANT;
use thon::config::{self, env::FixedVars};
use thon::control::{Browser, Launch};
use thon::domain::audit::Actor;
use thon::domain::id::UserRef;
use thon::routing::State;
use thon::runtime::fake::Fake;
use thon::server::Appliance;
use thon::telemetry;

use crate::process::until_bench_ends;

/// One instance takes 1,024 requests at a time: thousands of sockets need several.
const PARTICIPANTS: &str = "alice, more1, more2, more3, more4, more5, more6, more7, more8, more9";

pub(crate) fn run(origin: SocketAddr, directory: &Path) -> anyhow::Result<()> {
    let _log = telemetry::start("info", telemetry::Destination::Stderr);
    // As `thon run` builds it.
    let workers = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    workers.block_on(async {
        let appliance = start(origin, directory).await?;
        let cookie = sign_in(&appliance).await?;
        let listeners = appliance.listeners();
        let public = listeners.iter().find(|listener| listener.name == "public");
        println!("{} {cookie}", public.context("no public listener")?.address);
        until_bench_ends().await;
        appliance.stop().await;
        Ok(())
    })
}

async fn start(origin: SocketAddr, directory: &Path) -> anyhow::Result<Appliance> {
    let at = directory.display();
    let settings = format!(
        "groups: {{red: [{PARTICIPANTS}]}}\nstate_dir: {at}/state\nruntime_dir: {at}/run\n\
         proxy: {{https_listen: '127.0.0.1:0', http_listen: '127.0.0.1:0'}}\n\
         dashboard: {{host: 127.0.0.1, port: 0}}\ngateway: {{listen: '127.0.0.1:0'}}\n\
         sandbox: {{subnet: 10.201.0.0/24, access: open}}\n"
    );
    let path = directory.join("thon.yaml");
    tokio::fs::write(&path, settings).await?;
    let config = config::load(Some(&path), &FixedVars::default())?;
    let fake = Fake::new(config.sandbox.subnet);
    fake.serve_at(origin);
    Appliance::start_with(&config, |_| Arc::new(fake)).await
}

/// The participant's instance is served, and this browser may use it.
async fn sign_in(appliance: &Appliance) -> anyhow::Result<String> {
    let control = appliance.control();
    let alice: UserRef = "red/alice".parse()?;
    control.launch(&Launch::default(), Actor::Control).await?;
    while !is_served(appliance) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let invite = control.rotate_invite(&alice, Actor::Control).await?;
    let browser = Browser {
        address: None,
        agent: "bench".to_owned(),
    };
    let now = Timestamp::now();
    let signed_in = control
        .redeem_invite(invite.code.expose(), &browser, now)
        .await?;
    Ok(format!("{PARTICIPANT}={}", signed_in.token.expose()))
}

fn is_served(appliance: &Appliance) -> bool {
    let table = appliance.control().table().load();
    PARTICIPANTS.split(", ").all(|name| {
        let route = table.route(&format!("red/{name}"));
        route.is_some_and(|route| matches!(route.state, State::Serving(_)))
    })
}
