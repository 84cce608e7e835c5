//! The fake keeps the runtimes' contract, and goes wrong exactly as it is told.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use thon::domain::instance::{ContainerState, InstanceSpec};
use thon::domain::workspace::Mount;
use thon::runtime::fake::{Fake, Operation, Step};
use thon::runtime::{Runtime, RuntimeError, Subnet};

use crate::support::contract::{self, Fixture};

fn subnet() -> Subnet {
    "10.201.0.0/24".parse().unwrap()
}

fn fake() -> (Fake, Fixture) {
    let fake = Fake::new(subnet());
    fake.forget_image(&contract::missing_image());
    let fixture = Fixture::new("thon-stand-in:1", Arc::new(fake.clone()), subnet(), "fake");
    (fake, fixture)
}

fn volume_of(spec: &InstanceSpec) -> String {
    match &spec.workspace {
        Mount::Volume { name, .. } => name.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_contract_holds_for_the_fake() {
    let (fake, fixture) = fake();
    contract::holds(Arc::new(fake.clone()), &fixture).await;
    assert_eq!(fake.started_without_files(), 0);
}

#[tokio::test]
async fn while_it_is_down_nothing_answers_and_nothing_is_lost() {
    let (fake, fixture) = fake();
    let spec = fixture.spec();
    let made = fake.create(&spec).await.unwrap();
    let mut events = fake.events();
    fake.set_down(true);
    assert!(matches!(
        fake.list().await,
        Err(RuntimeError::Unavailable(_))
    ));
    assert_eq!(events.next().await, None);
    assert_eq!(fake.events().next().await, None);
    fake.set_down(false);
    assert_eq!(fake.list().await.unwrap(), [made]);
}

#[tokio::test]
async fn a_fault_hits_the_next_call_of_its_operation_only() {
    let (fake, fixture) = fake();
    let made = fake.create(&fixture.spec()).await.unwrap();
    let fault = RuntimeError::Unavailable("busy".to_owned());
    fake.fail_next(Operation::Start, fault.clone());
    assert_eq!(fake.list().await.unwrap().len(), 1);
    assert_eq!(fake.start(&made.id).await, Err(fault));
    assert_eq!(fake.start(&made.id).await, Ok(()));
    assert_eq!(fake.performed().last(), Some(&(Operation::Start, made.id)));
}

#[tokio::test]
async fn whoever_is_killed_in_create_goes_on_where_it_was() {
    for step in [
        Step::Before(Operation::Create),
        Step::VolumesMade,
        Step::ContainerMade,
        Step::After(Operation::Create),
    ] {
        let (fake, fixture) = fake();
        let spec = fixture.spec();
        fake.kill_at(step);
        tokio::select! {
            _ = fake.create(&spec) => panic!("{step:?} returned"),
            () = fake.killed() => {}
        }
        let made = fake.create(&spec).await.unwrap();
        fake.start(&made.id).await.unwrap();
        assert_eq!(fake.list().await.unwrap().len(), 1, "{step:?}");
        assert_eq!(fake.started_without_files(), 0, "{step:?}");
    }
}

#[tokio::test]
async fn a_container_removed_by_hand_leaves_its_files() {
    let (fake, fixture) = fake();
    let spec = fixture.spec();
    fake.create(&spec).await.unwrap();
    fake.write(&volume_of(&spec), "main.rs", "fn main() {}");
    fake.remove_by_hand(&spec.id);
    assert_eq!(fake.list().await.unwrap(), []);
    fake.create(&spec).await.unwrap();
    let files = fake.volume(&volume_of(&spec)).unwrap().files;
    assert_eq!(files["main.rs"], "fn main() {}");
}

#[tokio::test]
async fn a_foreign_volume_is_never_used() {
    let (fake, fixture) = fake();
    let spec = fixture.spec();
    fake.add_foreign_volume(&volume_of(&spec));
    assert!(matches!(
        fake.create(&spec).await,
        Err(RuntimeError::Refused(_))
    ));
}

#[tokio::test]
async fn endpoints_lead_to_the_test_origin_and_exits_are_seen() {
    let (fake, fixture) = fake();
    let origin = "127.0.0.1:4321".parse().unwrap();
    fake.serve_at(origin);
    let made = fake.create(&fixture.spec()).await.unwrap();
    fake.start(&made.id).await.unwrap();
    assert_eq!(fake.list().await.unwrap()[0].endpoint, Some(origin));
    fake.exit(&made.id, 137, true);
    let expected = ContainerState::Exited {
        code: 137,
        out_of_memory: true,
    };
    assert_eq!(fake.list().await.unwrap()[0].state, expected);
}

#[tokio::test(start_paused = true)]
async fn a_delay_takes_its_time() {
    let (fake, fixture) = fake();
    fake.delay(Operation::Create, Duration::from_secs(3));
    let before = tokio::time::Instant::now();
    fake.create(&fixture.spec()).await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(3));
}
