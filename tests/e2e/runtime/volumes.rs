//! Files outlive containers, and never meet somebody else.

use thon::domain::workspace::Mount;
use thon::runtime::{Runtime, RuntimeError};

use super::contract::random_id;
use super::host::{Host, cli};
use super::isolation::{answering, request};

#[tokio::test]
async fn workspace_and_home_come_back_in_the_next_generation() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let mut spec = host.fixture().spec();
    let first = docker.create(&spec).await.unwrap();
    docker.start(&first.id).await.unwrap();
    let endpoint = answering(&docker, &spec).await;
    for path in [
        "/__files/workspace/main.rs",
        "/__files/home/vscode/.bash_history",
    ] {
        let (status, said) = request(endpoint, "PUT", path, "mine").await;
        assert!((200..300).contains(&status), "{status} {said}");
    }
    docker.remove(&first.id).await.unwrap();

    spec.generation = 2;
    let second = docker.create(&spec).await.unwrap();
    docker.start(&second.id).await.unwrap();
    let endpoint = answering(&docker, &spec).await;
    for path in [
        "/__files/workspace/main.rs",
        "/__files/home/vscode/.bash_history",
    ] {
        assert_eq!(
            request(endpoint, "GET", path, "").await,
            (200, "mine".to_owned())
        );
    }
}

#[tokio::test]
async fn a_volume_that_somebody_made_by_hand_is_refused() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let mut spec = host.fixture().spec();
    let name = format!("thon-test-foreign-{}", random_id());
    let label = format!("thon.appliance={}", host.settings.appliance);
    cli(&["volume", "create", "--label", &label, &name]);
    spec.home = Mount::Volume {
        name: name.clone(),
        workspace: random_id().parse().unwrap(),
    };
    let refusal = docker.create(&spec).await.unwrap_err();
    assert!(
        matches!(&refusal, RuntimeError::Refused(why) if why.contains(&name)),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn a_directory_of_the_host_is_made_and_given_to_the_participant() {
    let host = Host::new();
    let docker = host.docker();
    docker.prepare().await.unwrap();
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().canonicalize().unwrap().join("red/alice");
    let mut spec = host.fixture().spec();
    spec.workspace = Mount::Bind {
        path: directory.clone(),
    };
    spec.home = Mount::Ephemeral;
    let made = docker.create(&spec).await.unwrap();
    docker.start(&made.id).await.unwrap();
    let endpoint = answering(&docker, &spec).await;
    let (status, said) = request(endpoint, "PUT", "/__files/workspace/a", "mine").await;
    assert!((200..300).contains(&status), "{status} {said}");
    assert_eq!(
        std::fs::read_to_string(directory.join("a")).unwrap(),
        "mine"
    );
    docker.remove(&made.id).await.unwrap();
    assert!(directory.join("a").exists());
}
