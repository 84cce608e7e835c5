//! What every runtime promises, whatever it runs instances on.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use thon::domain::instance::{
    Container, ContainerState, InjectedFile, InstanceSpec, Resources, Standing, Sudo,
};
use thon::domain::secret::Secret;
use thon::domain::workspace::Mount;
use thon::runtime::{EventKind, Network, Runtime, RuntimeError, Subnet};

const PATIENCE: Duration = Duration::from_secs(30);

/// What an adapter's test knows that the port does not say.
pub(crate) struct Fixture {
    pub(crate) image: String,
    /// The same machine, seen by another process.
    pub(crate) again: Arc<dyn Runtime>,
    pub(crate) subnet: Subnet,
    /// Makes the names of volumes this run's own.
    pub(crate) mark: String,
    pub(crate) made: AtomicUsize,
}

impl Fixture {
    pub(crate) fn new(image: &str, again: Arc<dyn Runtime>, subnet: Subnet, mark: &str) -> Self {
        Self {
            image: image.to_owned(),
            again,
            subnet,
            mark: mark.to_owned(),
            made: AtomicUsize::new(0),
        }
    }

    fn address(&self, number: usize) -> Ipv4Addr {
        self.subnet.hosts().nth(number).unwrap()
    }

    pub(crate) fn volume(&self, number: usize, kind: &str) -> Mount {
        Mount::Volume {
            name: format!("thon-test-{}-{number}-{kind}", self.mark),
            workspace: format!("{number:016x}").parse().unwrap(),
        }
    }

    /// Another instance, with an address and volumes of its own.
    pub(crate) fn spec(&self) -> InstanceSpec {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        InstanceSpec {
            id: random_id().parse().unwrap(),
            generation: 1,
            owner: "red/alice".parse().unwrap(),
            image: self.image.clone(),
            address: self.address(number),
            workspace: self.volume(number, "workspace"),
            home: self.volume(number, "home"),
            resources: Resources {
                memory_bytes: 256 << 20,
                cpu_millis: 1_000,
                pids: 64,
            },
            sudo: Sudo::Deny,
            command: [
                "code-server",
                "--bind-addr",
                "0.0.0.0:8443",
                "--auth",
                "none",
                "/workspace",
            ]
            .map(ToOwned::to_owned)
            .to_vec(),
            env: vec![("THON_TEST".to_owned(), "1".to_owned())],
            files: vec![InjectedFile {
                path: "/etc/thon/key".to_owned(),
                mode: 0o600,
                contents: Secret::new("sk-thon-test"),
                standing: Standing::Ours,
            }],
        }
    }
}

pub(crate) fn random_id() -> String {
    format!("{:016x}", getrandom::u64().unwrap())
}

/// The whole contract, one rule after the other.
pub(crate) async fn holds(runtime: Arc<dyn Runtime>, fixture: &Fixture) {
    let runtime = runtime.as_ref();
    preparing_twice_gives_the_same_network(runtime, fixture).await;
    a_container_is_made_once(runtime, fixture).await;
    every_change_can_be_repeated(runtime, fixture).await;
    another_process_finds_what_the_first_made(runtime, fixture).await;
    a_removed_container_is_missing(runtime, fixture).await;
    volumes_outlive_their_containers(runtime, fixture).await;
    a_volume_of_another_workspace_is_refused(runtime, fixture).await;
    a_missing_image_is_refused_with_the_next_step(runtime, fixture).await;
    an_editor_is_ready_when_it_answers(runtime, fixture).await;
    events_tell_of_changes_and_ends(runtime, fixture).await;
}

async fn preparing_twice_gives_the_same_network(runtime: &dyn Runtime, fixture: &Fixture) {
    assert!(
        !runtime.name().is_empty(),
        "people are told which one it is"
    );
    let network = runtime.prepare().await.unwrap();
    let expected = Network {
        subnet: fixture.subnet,
        gateway: fixture.subnet.gateway(),
    };
    assert_eq!(network, expected);
    assert_eq!(fixture.again.prepare().await.unwrap(), expected);
}

async fn a_container_is_made_once(runtime: &dyn Runtime, fixture: &Fixture) {
    let spec = fixture.spec();
    let made = runtime.create(&spec).await.unwrap();
    assert_eq!(made.instance, spec.id);
    assert_eq!(made.generation, 1);
    assert_eq!(made.state, ContainerState::Created);
    assert_eq!(made.endpoint, None);
    assert_eq!(runtime.create(&spec).await.unwrap(), made);
    assert_eq!(listed(runtime, &spec).await, std::slice::from_ref(&made));
    runtime.remove(&made.id).await.unwrap();
}

async fn every_change_can_be_repeated(runtime: &dyn Runtime, fixture: &Fixture) {
    let spec = fixture.spec();
    let id = runtime.create(&spec).await.unwrap().id;
    runtime.start(&id).await.unwrap();
    let endpoint = only(runtime, &spec).await.endpoint.expect("an endpoint");
    runtime.start(&id).await.unwrap();
    assert_eq!(only(runtime, &spec).await.state, ContainerState::Running);
    pausing_can_be_repeated(runtime, &spec, &id).await;
    stopping_can_be_repeated(runtime, &spec, &id).await;

    runtime.start(&id).await.unwrap();
    let back = only(runtime, &spec).await;
    assert_eq!(
        (back.id.as_str(), back.endpoint),
        (id.as_str(), Some(endpoint))
    );
    // A paused container stops too.
    runtime.pause(&id).await.unwrap();
    stopping_can_be_repeated(runtime, &spec, &id).await;
    removing_can_be_repeated(runtime, &spec, &id).await;
}

async fn pausing_can_be_repeated(runtime: &dyn Runtime, spec: &InstanceSpec, id: &str) {
    runtime.pause(id).await.unwrap();
    runtime.pause(id).await.unwrap();
    assert_eq!(only(runtime, spec).await.state, ContainerState::Paused);
    runtime.unpause(id).await.unwrap();
    runtime.unpause(id).await.unwrap();
    assert_eq!(only(runtime, spec).await.state, ContainerState::Running);
}

async fn stopping_can_be_repeated(runtime: &dyn Runtime, spec: &InstanceSpec, id: &str) {
    runtime.stop(id).await.unwrap();
    runtime.stop(id).await.unwrap();
    let stopped = only(runtime, spec).await;
    let ended = matches!(
        stopped.state,
        ContainerState::Exited {
            out_of_memory: false,
            ..
        }
    );
    assert!(ended, "{stopped:?}");
    assert_eq!(stopped.endpoint, None);
    assert_eq!(runtime.inspect(id).await.unwrap(), stopped);
}

async fn removing_can_be_repeated(runtime: &dyn Runtime, spec: &InstanceSpec, id: &str) {
    runtime.remove(id).await.unwrap();
    runtime.remove(id).await.unwrap();
    assert_eq!(listed(runtime, spec).await, []);
    assert_eq!(runtime.inspect(id).await, Err(RuntimeError::Missing));
}

async fn another_process_finds_what_the_first_made(runtime: &dyn Runtime, fixture: &Fixture) {
    let spec = fixture.spec();
    let made = runtime.create(&spec).await.unwrap();
    runtime.start(&made.id).await.unwrap();
    let again = fixture.again.as_ref();
    let found = again.create(&spec).await.unwrap();
    assert_eq!(found.id, made.id);
    assert_eq!(found.state, ContainerState::Running);
    assert_eq!(listed(again, &spec).await, std::slice::from_ref(&found));
    again.remove(&found.id).await.unwrap();
    assert_eq!(listed(runtime, &spec).await, []);
}

async fn a_removed_container_is_missing(runtime: &dyn Runtime, fixture: &Fixture) {
    let id = runtime.create(&fixture.spec()).await.unwrap().id;
    runtime.remove(&id).await.unwrap();
    assert_eq!(runtime.start(&id).await, Err(RuntimeError::Missing));
    assert_eq!(runtime.stop(&id).await, Err(RuntimeError::Missing));
    assert_eq!(runtime.pause(&id).await, Err(RuntimeError::Missing));
    assert_eq!(runtime.unpause(&id).await, Err(RuntimeError::Missing));
    assert_eq!(runtime.logs(&id, 10).await, Err(RuntimeError::Missing));
}

async fn volumes_outlive_their_containers(runtime: &dyn Runtime, fixture: &Fixture) {
    let mut spec = fixture.spec();
    let Mount::Volume { name, .. } = &spec.workspace else {
        unreachable!("the fixture makes volumes")
    };
    let name = name.clone();
    assert!(!runtime.has_volume(&name).await.unwrap());
    let first = runtime.create(&spec).await.unwrap();
    runtime.start(&first.id).await.unwrap();
    runtime.remove(&first.id).await.unwrap();
    assert!(runtime.has_volume(&name).await.unwrap());

    spec.generation = 2;
    let second = runtime.create(&spec).await.unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(second.generation, 2);
    runtime.start(&second.id).await.unwrap();
    runtime.remove(&second.id).await.unwrap();
    assert!(runtime.has_volume(&name).await.unwrap());
}

async fn a_volume_of_another_workspace_is_refused(runtime: &dyn Runtime, fixture: &Fixture) {
    let first = fixture.spec();
    let made = runtime.create(&first).await.unwrap();
    let mut second = fixture.spec();
    let Mount::Volume { name, .. } = first.workspace else {
        unreachable!("the fixture makes volumes")
    };
    second.workspace = Mount::Volume {
        name: name.clone(),
        workspace: random_id().parse().unwrap(),
    };
    let refusal = runtime.create(&second).await.unwrap_err();
    assert!(
        matches!(&refusal, RuntimeError::Refused(why) if why.contains(&name)),
        "{refusal:?}"
    );
    assert_eq!(listed(runtime, &second).await, []);
    runtime.remove(&made.id).await.unwrap();
}

async fn a_missing_image_is_refused_with_the_next_step(runtime: &dyn Runtime, fixture: &Fixture) {
    let mut spec = fixture.spec();
    spec.image = missing_image();
    let refusal = runtime.create(&spec).await.unwrap_err();
    assert!(
        matches!(&refusal, RuntimeError::Refused(why) if why.contains("thon up")),
        "{refusal:?}"
    );
}

/// A fake forgets it; nobody else ever had it.
pub(crate) fn missing_image() -> String {
    "thon-no-such-image:1".to_owned()
}

async fn an_editor_is_ready_when_it_answers(runtime: &dyn Runtime, fixture: &Fixture) {
    let spec = fixture.spec();
    let cookie = Secret::new("0".repeat(64));
    let made = runtime.create(&spec).await.unwrap();
    let early = runtime.probe(&made, &cookie).await.unwrap_err();
    assert!(matches!(early, RuntimeError::Unavailable(_)), "{early:?}");

    runtime.start(&made.id).await.unwrap();
    let running = only(runtime, &spec).await;
    let ready = async {
        while let Err(error) = runtime.probe(&running, &cookie).await {
            assert!(matches!(error, RuntimeError::Unavailable(_)), "{error:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready)
        .await
        .expect("it answers in time");

    let printed = runtime.logs(&made.id, 1).await.unwrap();
    assert_eq!(printed.len(), 1, "{printed:?}");
    assert_eq!(runtime.logs(&made.id, 0).await.unwrap(), [""; 0]);
    runtime.remove(&made.id).await.unwrap();
}

async fn events_tell_of_changes_and_ends(runtime: &dyn Runtime, fixture: &Fixture) {
    let spec = fixture.spec();
    let id = runtime.create(&spec).await.unwrap().id;
    let mut events = runtime.events();
    let heard = async {
        // Until the first is heard, it may not have been listened to yet.
        let mut changed = Vec::new();
        while changed.len() < 2 {
            runtime.start(&id).await.unwrap();
            runtime.pause(&id).await.unwrap();
            runtime.unpause(&id).await.unwrap();
            let next = tokio::time::timeout(Duration::from_secs(1), events.next());
            if let Ok(Some(event)) = next.await
                && event.container == id
            {
                assert_eq!(event.kind, EventKind::Changed);
                changed.push(event);
            }
        }
        runtime.remove(&id).await.unwrap();
        while let Some(event) = events.next().await {
            if event.container == id && event.kind == EventKind::Gone {
                return;
            }
        }
        panic!("the events ended");
    };
    tokio::time::timeout(PATIENCE, heard)
        .await
        .expect("events come in time");
}

pub(crate) async fn listed(runtime: &dyn Runtime, spec: &InstanceSpec) -> Vec<Container> {
    let mut all = runtime.list().await.unwrap();
    all.retain(|container| container.instance == spec.id);
    all
}

pub(crate) async fn only(runtime: &dyn Runtime, spec: &InstanceSpec) -> Container {
    let mut all = listed(runtime, spec).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}
