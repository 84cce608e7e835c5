//! The network: made once, checked ever after, made again when it was removed.

use thon::runtime::docker::{Docker, Settings};
use thon::runtime::{Runtime, RuntimeError};

use super::host::{Host, cli};
use super::isolation::answering;

fn refused(answer: Result<thon::runtime::Network, RuntimeError>) -> String {
    match answer {
        Err(RuntimeError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_network_of_another_range_or_owner_is_refused_with_what_to_change() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let spec = host.fixture().spec();
    let made = docker.create(&spec).await.unwrap();
    docker.start(&made.id).await.unwrap();

    let moved = Settings {
        subnet: "10.250.0.0/24".parse().unwrap(),
        ..host.settings.clone()
    };
    let why = refused(Docker::connect(moved.clone()).prepare().await);
    assert!(why.contains("sandbox.subnet"), "{why}");

    let stranger = Settings {
        appliance: Host::new().settings.appliance.clone(),
        ..host.settings.clone()
    };
    let why = refused(Docker::connect(stranger).prepare().await);
    assert!(why.contains("sandbox.bridge"), "{why}");

    let overlapping = Settings {
        bridge: Host::new().settings.bridge.clone(),
        ..host.settings.clone()
    };
    let why = refused(Docker::connect(overlapping).prepare().await);
    assert!(why.contains("choose a free range"), "{why}");

    // Nothing runs on it any more: it is made anew where the settings want it.
    docker.stop(&made.id).await.unwrap();
    let network = Docker::connect(moved.clone()).prepare().await.unwrap();
    assert_eq!(network.subnet, moved.subnet);
    docker.remove(&made.id).await.unwrap();
}

#[tokio::test]
async fn two_at_a_time_make_one_network() {
    let host = Host::new();
    let (a, b) = (host.docker(), host.docker());
    let (a, b) = tokio::join!(a.prepare(), b.prepare());
    assert_eq!(a.unwrap(), b.unwrap());
    let named = format!("name={}", host.settings.bridge);
    let listed = cli(&["network", "ls", "-q", "--filter", &named]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
}

#[tokio::test]
async fn a_network_removed_by_hand_is_made_again_at_the_next_start() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let spec = host.fixture().spec();
    let made = docker.create(&spec).await.unwrap();
    docker.start(&made.id).await.unwrap();
    docker.stop(&made.id).await.unwrap();
    cli(&["network", "rm", &host.settings.bridge]);
    docker.start(&made.id).await.unwrap();
    assert_eq!(answering(&docker, &spec).await.ip(), spec.address);
}
