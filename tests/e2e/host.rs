//! The host room against this machine and its Docker.

use std::path::Path;

use thon::host::{Progress, base_image, daemon, engine, image};
use thon::runtime::docker::SOCKET;

/// Named apart from what anybody uses; the layers are those that `tests/setup` has built.
const IMAGE: &str = "thon-sandbox-from-binary:test";

#[tokio::test]
async fn a_running_daemon_is_found_and_described() {
    let socket = Path::new(SOCKET);
    assert!(daemon::is_answering(socket).await);
    assert!(!daemon::is_answering(Path::new("/nonexistent/docker.sock")).await);
    let engine = engine::describe(socket).await.unwrap();
    assert!(Path::new(&engine.root_dir).is_absolute(), "{engine:?}");
    assert!(engine.runtimes.contains(&"runc".to_owned()), "{engine:?}");
    assert!(engine.cores > 0 && engine.memory_bytes > 0, "{engine:?}");
    daemon::start(socket, Path::new("/nonexistent/log"), &mut |_| {})
        .await
        .unwrap();
}

#[tokio::test]
async fn the_sandbox_image_is_built_from_the_binary_alone_and_only_once() {
    let socket = Path::new(SOCKET);
    let mut steps = Vec::new();
    let mut report = |progress: Progress| steps.extend(progress.step);
    let built = image::build_sandbox(socket, IMAGE, &mut report)
        .await
        .unwrap();
    assert_eq!(built, image::Built::Now);
    let (last, of) = steps.last().copied().unwrap();
    assert_eq!(last, of);
    let again = image::build_sandbox(socket, IMAGE, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(again, image::Built::Already);
    let removed = std::process::Command::new("docker")
        .args(["rmi", IMAGE])
        .output()
        .unwrap();
    assert!(removed.status.success());
}

#[tokio::test]
async fn a_base_image_is_made_where_no_registry_answers() {
    let socket = Path::new(SOCKET);
    let made = "thon-base-test:bookworm";
    let mut said = Vec::new();
    let mut report = |progress: Progress| said.push(progress.text);
    base_image::make(socket, made, &mut report).await.unwrap();
    assert!(engine::has_image(socket, made).await.unwrap(), "{said:?}");
    let removed = std::process::Command::new("docker")
        .args(["rmi", made])
        .output()
        .unwrap();
    assert!(removed.status.success());
}
