//! Docker goes away, and so does what one does with it; what runs goes on.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::appliance::{Appliance, STAND_IN};
use super::door::{Door, Socket};
use super::forwarder::Forwarder;
use super::{alone, machine, tell, until};

const ALICE: &str = "red/alice";
const SOON: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editors_go_on_while_docker_is_away() {
    let _alone = alone().await;
    let mut forwarder = Forwarder::new();
    forwarder.begin();
    let mut appliance = Appliance::new(STAND_IN, "{red: [alice, bob]}");
    appliance.reach_docker_at(&forwarder.path());
    appliance.run().await;
    let links = appliance.launch(&[]).await;
    appliance.keep_ports().await;
    let door = appliance.door().await;
    let cookie = door.sign_in(&links[ALICE]).await;
    let mut socket = door.websocket("/w/red/alice/ws", &cookie).await.unwrap();
    let (records, started) = (records(&appliance).await, started(&appliance).await);

    forwarder.end().await;
    let runtime = until_health(&appliance, "degraded").await;
    assert_eq!(runtime["code"], "THN-RUNTIME-01", "{runtime}");
    tell(&format!("while Docker is away: {runtime}"));
    what_runs_goes_on(&door, &cookie, &mut socket).await;
    assert_eq!(self::records(&appliance).await, records);

    // Nor does a restart lose anything meanwhile.
    appliance.kill().await;
    appliance.run().await;
    let mut socket = door.websocket("/w/red/alice/ws", &cookie).await.unwrap();
    until_health(&appliance, "degraded").await;
    what_runs_goes_on(&door, &cookie, &mut socket).await;
    assert_eq!(self::records(&appliance).await, records);

    forwarder.begin();
    until_health(&appliance, "ok").await;
    what_runs_goes_on(&door, &cookie, &mut socket).await;
    assert_eq!(self::records(&appliance).await, records);
    assert_eq!(self::started(&appliance).await, started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_appliance_that_starts_before_docker_waits_for_it() {
    let _alone = alone().await;
    let mut forwarder = Forwarder::new();
    let mut appliance = Appliance::new(STAND_IN, "{red: [alice]}");
    appliance.reach_docker_at(&forwarder.path());
    appliance.run().await;
    until_health(&appliance, "degraded").await;
    appliance.launch(&["--no-wait"]).await;
    forwarder.begin();
    let took = appliance.until_state(ALICE, "ready", SOON).await;
    tell(&format!("ready {took:?} after Docker came"));
    until_health(&appliance, "ok").await;
}

async fn what_runs_goes_on(door: &Door, cookie: &str, socket: &mut Socket) {
    let answer = door.get("/w/red/alice/__head", cookie).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    socket.send(Message::text("still there?")).await.unwrap();
    let echo = tokio::time::timeout(SOON, socket.next()).await.unwrap();
    assert_eq!(echo.unwrap().unwrap(), Message::text("still there?"));
}

/// Waits; gives back how the runtime is.
async fn until_health(appliance: &Appliance, verdict: &str) -> Value {
    let seen = until(SOON, async || {
        let health = appliance.status().await["health"].clone();
        if health["status"] != verdict {
            return Err(format!("{verdict}: {health:#}"));
        }
        let parts = health["parts"].as_array().unwrap();
        let runtime = parts.iter().find(|part| part["name"] == "runtime");
        runtime.cloned().ok_or("no runtime".to_owned())
    });
    seen.await.0
}

/// Instances without what only memory knows.
async fn records(appliance: &Appliance) -> Vec<Value> {
    let status = appliance.status().await;
    let mut records = status["instances"].as_array().unwrap().clone();
    for record in &mut records {
        record["open_sockets"] = Value::Null;
        record["last_used_at"] = Value::Null;
    }
    records
}

async fn started(appliance: &Appliance) -> [String; 2] {
    let containers = [
        appliance.container(ALICE).await,
        appliance.container("red/bob").await,
    ];
    let format = "{{.Id}} {{.State.StartedAt}}";
    containers.map(|container| machine::docker(&["inspect", "--format", format, &container]))
}
