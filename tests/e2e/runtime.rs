//! The Docker adapter against a real Docker: the contract, and what only Docker has.

#[path = "../it/support/contract.rs"]
mod contract;
mod host;
mod isolation;
mod network;
mod socket;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use thon::domain::instance::{ContainerState, InjectedFile, InstanceSpec, Standing};
use thon::domain::secret::Secret;
use thon::runtime::docker::{Docker, Settings};
use thon::runtime::{Runtime, RuntimeError};

use contract::only;
use host::{Host, IMAGE, archived, cli, inspected};
use socket::{Cut, Socket};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_contract_holds_for_docker() {
    let host = Host::new();
    let fixture = host.fixture();
    contract::holds(Arc::new(host.docker()), &fixture).await;
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_unavailable_and_never_an_empty_list() {
    let host = Host::new();
    let docker = Docker::connect(Settings {
        socket: "/nonexistent/docker.sock".into(),
        ..host.settings.clone()
    });
    for _ in 0..2 {
        let error = docker.list().await.unwrap_err();
        assert!(
            matches!(&error, RuntimeError::Unavailable(why) if why.contains("/nonexistent")),
            "{error:?}"
        );
    }
    assert!(matches!(
        docker.prepare().await,
        Err(RuntimeError::Unavailable(_))
    ));
    assert!(
        futures_util::StreamExt::next(&mut docker.events())
            .await
            .is_none()
    );
}

#[tokio::test]
async fn files_are_there_with_owner_and_mode_before_the_first_process() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let spec = host.fixture().spec();
    let made = docker.create(&spec).await.unwrap();
    assert_eq!(made.state, ContainerState::Created);
    assert_eq!(
        archived(&made.id, "/etc/thon"),
        ["thon/ 755 0:0", "thon/key 600 1001:1001"]
    );
    // A directory of the image keeps what it was.
    assert_eq!(archived(&made.id, "/etc")[0], "etc/ 755 0:0");
}

/// A process that is killed around a call leaves what the call left; the next create goes on.
#[tokio::test]
async fn a_create_that_was_cut_anywhere_is_completed_by_the_next() {
    let host = Host::new();
    host.docker().prepare().await.unwrap();
    let fixture = host.fixture();
    for cut in [
        Cut::Before("POST /volumes/create"),
        Cut::After("POST /volumes/create"),
        Cut::Before("POST /containers/create"),
        Cut::After("POST /containers/create"),
        Cut::Before("PUT /containers/"),
        Cut::After("PUT /containers/"),
    ] {
        let socket = Socket::listen(cut);
        let docker = Docker::connect(Settings {
            socket: socket.path(),
            ..host.settings.clone()
        });
        let spec = fixture.spec();
        let error = docker.create(&spec).await.unwrap_err();
        assert!(
            matches!(error, RuntimeError::Unavailable(_)),
            "{cut:?} {error:?}"
        );
        assert!(socket.has_cut(), "{cut:?}");

        let made = docker.create(&spec).await.unwrap();
        assert_eq!(made.state, ContainerState::Created, "{cut:?}");
        assert_eq!(archived(&made.id, "/etc/thon").len(), 2, "{cut:?}");
        docker.start(&made.id).await.unwrap();
        assert_eq!(
            only(&docker, &spec).await.state,
            ContainerState::Running,
            "{cut:?}"
        );
    }
}

#[tokio::test]
async fn a_container_made_from_an_older_specification_is_replaced_only_before_its_first_start() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let mut spec = host.fixture().spec();
    let first = docker.create(&spec).await.unwrap();
    spec.resources.pids = 99;
    let second = docker.create(&spec).await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(inspected(&second.id, "{{.HostConfig.PidsLimit}}"), "99");

    docker.start(&second.id).await.unwrap();
    spec.resources.pids = 77;
    assert_eq!(docker.create(&spec).await.unwrap().id, second.id);
}

#[tokio::test]
async fn a_stranger_with_our_name_is_not_touched() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let spec = host.fixture().spec();
    let name = format!("thon-{}-g1", spec.id);
    cli(&["create", "--name", &name, IMAGE]);
    let refusal = docker.create(&spec).await.unwrap_err();
    assert!(
        matches!(&refusal, RuntimeError::Refused(why) if why.contains(&name)),
        "{refusal:?}"
    );
    assert_eq!(docker.list().await.unwrap(), []);
    cli(&["rm", &name]);
}

#[tokio::test]
async fn how_a_container_ended_is_told() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let spec = host.fixture().spec();
    let made = docker.create(&spec).await.unwrap();
    cli(&["update", "--restart", "no", &made.id]);
    docker.start(&made.id).await.unwrap();
    cli(&["kill", &made.id]);
    let ended = ContainerState::Exited {
        code: 137,
        out_of_memory: false,
    };
    wait_for(&docker, &spec, &ended).await;
}

/// Docker's own init starts and fails to find it, so that Docker's start is a success.
#[tokio::test]
async fn a_program_that_is_not_there_is_named_in_the_logs() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let mut spec = host.fixture().spec();
    spec.command = vec!["no-such-program".to_owned()];
    let made = docker.create(&spec).await.unwrap();
    docker.start(&made.id).await.unwrap();
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let printed = docker.logs(&made.id, 10).await.unwrap().join("\n");
        if printed.contains("no-such-program") {
            break;
        }
        assert!(tokio::time::Instant::now() < patience, "{printed}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let state = only(&docker, &spec).await.state;
    assert_ne!(state, ContainerState::Created);
}

#[tokio::test]
async fn the_editor_must_accept_the_cookie() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let mut spec = host.fixture().spec();
    let hash = "a".repeat(64);
    spec.command = ["code-server", "--config", "/etc/thon/editor.yaml"]
        .map(ToOwned::to_owned)
        .to_vec();
    spec.files.push(InjectedFile {
        path: "/etc/thon/editor.yaml".to_owned(),
        mode: 0o600,
        contents: Secret::new(format!(
            "bind-addr: 0.0.0.0:8443\nauth: password\nhashed-password: {hash}\n"
        )),
        standing: Standing::Ours,
    });
    let made = docker.create(&spec).await.unwrap();
    docker.start(&made.id).await.unwrap();
    let running = only(&docker, &spec).await;
    let patience = tokio::time::Instant::now() + PATIENCE;
    while let Err(error) = docker.probe(&running, &Secret::new(&hash)).await {
        assert!(tokio::time::Instant::now() < patience, "{error:?}");
    }
    let refusal = docker.probe(&running, &Secret::new("b".repeat(64))).await;
    assert!(
        matches!(refusal, Err(RuntimeError::Refused(_))),
        "{refusal:?}"
    );
}

async fn wait_for(docker: &Docker, spec: &InstanceSpec, state: &ContainerState) {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let there = only(docker, spec).await.state;
        if there == *state {
            return;
        }
        assert!(tokio::time::Instant::now() < patience, "{there:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
