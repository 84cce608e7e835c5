//! What an instance cannot do to others and to the host.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use thon::domain::secret::Secret;
use thon::runtime::Runtime;
use thon::runtime::docker::Docker;

use super::contract::{Fixture, only};
use super::host::{Host, cli, inspected};

/// An instance that answers.
pub(crate) async fn running(docker: &Docker, fixture: &Fixture) -> (String, SocketAddr) {
    let spec = fixture.spec();
    let made = docker.create(&spec).await.unwrap();
    docker.start(&made.id).await.unwrap();
    (made.id, answering(docker, &spec).await)
}

pub(crate) async fn answering(
    docker: &Docker,
    spec: &thon::domain::instance::InstanceSpec,
) -> SocketAddr {
    let there = only(docker, spec).await;
    let cookie = Secret::new("0".repeat(64));
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    while let Err(error) = docker.probe(&there, &cookie).await {
        assert!(tokio::time::Instant::now() < patience, "{error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    there.endpoint.unwrap()
}

pub(crate) async fn request(
    endpoint: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String) {
    let mut stream = TcpStream::connect(endpoint).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {endpoint}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[tokio::test]
async fn instances_reach_the_gateway_and_not_each_other() {
    let host = Host::new();
    let docker = host.docker();
    let network = docker.prepare().await.unwrap();
    let fixture = host.fixture();
    let (_, a) = running(&docker, &fixture).await;
    let (_, b) = running(&docker, &fixture).await;

    // The host reaches both: `running` has asked them. They do not reach each other.
    for (from, to) in [(a, b), (b, a)] {
        let (status, said) = request(from, "GET", &format!("/__connect?to={to}&ms=1500"), "").await;
        assert_eq!(status, 502, "{said}");
    }
    let gateway = tokio::net::TcpListener::bind((network.gateway, 0))
        .await
        .unwrap();
    let to = gateway.local_addr().unwrap();
    let (status, said) = request(a, "GET", &format!("/__connect?to={to}&ms=3000"), "").await;
    assert_eq!(status, 200, "{said}");
}

#[tokio::test]
async fn an_instance_has_no_capability_and_no_published_port() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let fixture = host.fixture();
    let (id, _) = running(&docker, &fixture).await;
    assert_eq!(cli(&["port", &id]), "");

    let init: u32 = inspected(&id, "{{.State.Pid}}").parse().unwrap();
    let editor = child_of(init);
    let status = std::fs::read_to_string(format!("/proc/{editor}/status")).unwrap();
    for expected in [
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "Uid:\t1001\t1001\t1001\t1001",
    ] {
        assert!(status.contains(expected), "{expected} in\n{status}");
    }
    let score = std::fs::read_to_string(format!("/proc/{editor}/oom_score_adj")).unwrap();
    assert_eq!(score.trim(), "500");
}

fn child_of(parent: u32) -> u32 {
    let children = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(children).unwrap();
    text.split_whitespace()
        .next()
        .expect("init has a child")
        .parse()
        .unwrap()
}

#[tokio::test]
async fn the_address_stays_and_a_second_container_waits_for_it() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let fixture = host.fixture();
    let spec = fixture.spec();
    let made = docker.create(&spec).await.unwrap();
    docker.start(&made.id).await.unwrap();
    let first = answering(&docker, &spec).await;
    assert_eq!(first.ip(), spec.address);
    docker.stop(&made.id).await.unwrap();
    let (_, neighbour) = running(&docker, &fixture).await;
    assert_ne!(neighbour, first);
    docker.start(&made.id).await.unwrap();
    assert_eq!(answering(&docker, &spec).await, first);

    let mut next = spec.clone();
    next.generation = 2;
    let next_made = docker.create(&next).await.unwrap();
    let error = docker.start(&next_made.id).await.unwrap_err();
    assert!(
        matches!(&error, thon::runtime::RuntimeError::Unavailable(why) if why.contains("address")),
        "{error:?}"
    );
    docker.remove(&made.id).await.unwrap();
    docker.start(&next_made.id).await.unwrap();
    assert_eq!(answering(&docker, &next).await, first);
}
