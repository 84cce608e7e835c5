//! The keys of containers: good from one address, new with every container, put right after whatever
//! happened.

use jiff::{SignedDuration, Timestamp};
use thon::auth::key::read;
use thon::config::env::FixedVars;
use thon::control::Error;
use thon::control::Settings;
use thon::domain::audit::Actor;
use thon::domain::id::{InstanceId, KeyId, UserRef};
use thon::domain::instance::{Desired, Instance, Phase};
use thon::domain::key::{Holder, Key, Owner};
use thon::routing::{KeyRefusal, admit};
use thon::runtime::Runtime as _;
use thon::runtime::fake::{Operation, Step};
use thon::store::StoreError;
use tokio::time::timeout;

use super::{
    ALICE, ANYWHERE, EVERYBODY, container_key, given, quiet, shown, spec_of, stored, with_agents,
    with_containers,
};
use crate::support::world::{PATIENCE, until};

#[tokio::test]
async fn every_container_has_a_key_that_is_good_from_its_address_only() {
    let world = with_containers().await;
    for user in EVERYBODY {
        let key = container_key(&world, user).await;
        let home = world.instance(user).await.address.to_string();
        let live = shown(&world, &key, &home).unwrap();
        assert_eq!(live.key.owner.to_string(), user);
        let mapped = format!("::ffff:{home}");
        shown(&world, &key, &mapped).unwrap();
        let elsewhere = shown(&world, &key, ANYWHERE).unwrap_err();
        let id = live.key.id.clone();
        assert_eq!(elsewhere, KeyRefusal::Elsewhere { id });
        let table = world.control.table().load_full();
        let nowhere = admit(&table, &read(&key).unwrap(), None, Timestamp::now());
        assert!(nowhere.is_err());
        let variables = given(&world, user, "/etc/thon/model.env").await.unwrap();
        let expected = format!("OPENAI_BASE_URL=http://10.201.0.1:9080/v1\nOPENAI_API_KEY={key}\n");
        assert_eq!(variables, expected);
    }
    assert_eq!(stored(&world).len(), EVERYBODY.len());
}

#[tokio::test]
async fn no_secret_is_where_it_could_be_seen_from_outside_the_container() {
    let world = with_containers().await;
    let key = container_key(&world, ALICE).await;
    let spec = spec_of(&world, &world.instance(ALICE).await.id);
    let open = format!("{:?} {:?} {spec:?}", spec.command, spec.env);
    assert!(!open.contains(&key), "{open}");
    for file in &spec.files {
        let holds = file.contents.expose().contains(&key);
        assert!(!holds || file.mode == 0o600, "{}", file.path);
    }
}

#[tokio::test]
async fn a_new_container_has_a_new_key_and_the_old_one_ends_with_the_old_container() {
    let world = with_containers().await;
    let old = container_key(&world, ALICE).await;
    let home = world.instance(ALICE).await.address.to_string();
    let running = shown(&world, &old, &home).unwrap();
    let alice = ALICE.parse().unwrap();
    let again = world.control.recreate(&alice, Actor::Control);
    again.await.unwrap();
    assert!(running.revoked.is_cancelled(), "from that moment on");
    let refused = shown(&world, &old, &home).unwrap_err();
    assert_eq!(refused, KeyRefusal::Unknown);
    world.until(&[ALICE], Phase::Ready).await;
    let new = container_key(&world, ALICE).await;
    assert_ne!(old, new);
    shown(&world, &new, &home).unwrap();
    assert_eq!(stored(&world).len(), EVERYBODY.len());
}

#[tokio::test]
async fn the_key_of_a_container_goes_with_the_instance_and_comes_back_with_neither() {
    let world = with_containers().await;
    let key = container_key(&world, ALICE).await;
    let home = world.instance(ALICE).await.address.to_string();
    let alice: UserRef = ALICE.parse().unwrap();
    let removed = world.control.want(&alice, Desired::Removed, Actor::Control);
    removed.await.unwrap();
    until("its key is gone", async || {
        !stored(&world)
            .iter()
            .any(|key| key.owner == Owner::User(alice.clone()))
    })
    .await;
    assert!(shown(&world, &key, &home).is_err());
    world.launch().await;
    world.until(&[ALICE], Phase::Ready).await;
    assert_ne!(container_key(&world, ALICE).await, key);
    assert!(shown(&world, &key, &home).is_err());
}

#[tokio::test]
async fn a_container_s_key_can_be_disabled_and_stays_so_and_is_not_for_people_to_change() {
    let mut world = with_containers().await;
    let key = container_key(&world, ALICE).await;
    let id = read(&key).unwrap().id;
    let home = world.instance(ALICE).await.address.to_string();
    world
        .control
        .disable_key(&id, Actor::Control)
        .await
        .unwrap();
    world.kill().await;
    world.start_again();
    world.until(&EVERYBODY, Phase::Ready).await;
    let refused = shown(&world, &key, &home).unwrap_err();
    assert_eq!(refused, KeyRefusal::Disabled);
    let hour = SignedDuration::from_hours(1);
    let rotated = world.control.rotate_key(&id, hour, Actor::Control).await;
    assert!(matches!(rotated, Err(Error::Conflict(words)) if words.contains("recreate red/alice")));
    let revoked = world.control.revoke_key(&id, Actor::Control).await;
    assert!(matches!(revoked, Err(Error::Conflict(_))));
}

#[tokio::test]
async fn containers_made_before_there_was_a_gateway_get_a_key_with_their_next_start() {
    let mut world = quiet(|_| ());
    world.start();
    world.launch().await;
    world.until(&EVERYBODY, Phase::Ready).await;
    assert_eq!(stored(&world), []);
    assert_eq!(container_key(&world, ALICE).await, "");
    world.kill().await;
    world.start_again_with(with_agents);
    until("every container has a key", async || {
        stored(&world).len() == EVERYBODY.len()
    })
    .await;
    let alice = ALICE.parse().unwrap();
    let generation = world.instance(ALICE).await.generation;
    let restarted = world.control.restart(&alice, Actor::Control);
    restarted.await.unwrap();
    until("it has the files", async || {
        !container_key(&world, ALICE).await.is_empty()
    })
    .await;
    world.until(&[ALICE], Phase::Ready).await;
    let home = world.instance(ALICE).await.address.to_string();
    shown(&world, &container_key(&world, ALICE).await, &home).unwrap();
    assert_eq!(world.instance(ALICE).await.generation, generation);
    // And nobody has one when it is switched off again.
    let key = container_key(&world, ALICE).await;
    world.kill().await;
    world.start_again_with(|settings| settings.agents = None);
    assert!(shown(&world, &key, &home).is_err());
    until("no container has a key", async || stored(&world).is_empty()).await;
}

#[tokio::test]
async fn records_of_keys_that_are_lost_or_left_over_are_put_right() {
    let mut world = with_containers().await;
    let key = container_key(&world, ALICE).await;
    let id = read(&key).unwrap().id;
    world.kill().await;
    let wrecked: Result<(), StoreError> = world.store.note(|tx| {
        let lost = tx.get::<Key>(id.as_str())?.unwrap();
        tx.remove::<Key>(id.as_str())?;
        let left_over = Key {
            id: KeyId::from_bits(1),
            holder: Holder::Instance {
                instance: InstanceId::from_bits(1),
                generation: 1,
                address: "10.201.0.9".parse().unwrap(),
            },
            ..lost
        };
        tx.put(left_over.id.as_str(), &left_over)
    });
    wrecked.unwrap();
    world.start_again();
    until("the records are right", async || {
        let ids: Vec<KeyId> = stored(&world).into_iter().map(|key| key.id).collect();
        ids.len() == EVERYBODY.len() && ids.contains(&id)
    })
    .await;
    let home = world.instance(ALICE).await.address.to_string();
    shown(&world, &key, &home).unwrap();
}

#[tokio::test]
async fn killed_at_any_step_a_container_has_the_one_key_that_was_made_for_it() {
    let alice: UserRef = ALICE.parse().unwrap();
    for step in [
        Step::Before(Operation::Create),
        Step::VolumesMade,
        Step::ContainerMade,
        Step::After(Operation::Create),
        Step::Before(Operation::Start),
        Step::After(Operation::Start),
        Step::Before(Operation::Remove),
        Step::After(Operation::Remove),
    ] {
        let mut world = with_containers().await;
        let old = container_key(&world, ALICE).await;
        world.fake.kill_at(step);
        let again = world.control.recreate(&alice, Actor::Control);
        again.await.unwrap();
        timeout(PATIENCE, world.fake.killed()).await.unwrap();
        world.kill().await;
        world.start_again();
        world.until(&EVERYBODY, Phase::Ready).await;
        let home = world.instance(ALICE).await.address.to_string();
        let new = container_key(&world, ALICE).await;
        shown(&world, &new, &home).unwrap();
        assert!(shown(&world, &old, &home).is_err(), "{step:?}");
        until("one key each", async || {
            stored(&world).len() == EVERYBODY.len()
        })
        .await;
    }
}

#[tokio::test]
async fn a_container_that_is_replaced_or_adopted_has_the_key_of_its_generation() {
    let mut world = with_containers().await;
    let before = container_key(&world, ALICE).await;
    let gone = world.instance(ALICE).await.observed.container.unwrap();
    world.fake.remove(&gone).await.unwrap();
    until("it was replaced", async || {
        let instance = world.instance(ALICE).await;
        instance.generation == 2 && instance.observed.phase == Phase::Ready
    })
    .await;
    let home = world.instance(ALICE).await.address.to_string();
    let after = container_key(&world, ALICE).await;
    assert_ne!(before, after);
    shown(&world, &after, &home).unwrap();
    // A copy from before knows nothing of the second generation.
    world.kill().await;
    let rewound: Result<(), StoreError> = world.store.note(|tx| {
        let mut instance = tx.get::<Instance>(ALICE)?.unwrap();
        instance.generation = 1;
        tx.put(ALICE, &instance)
    });
    rewound.unwrap();
    world.start_again();
    until("it was adopted", async || {
        shown(&world, &after, &home).is_ok()
    })
    .await;
    assert!(shown(&world, &before, &home).is_err());
}

#[tokio::test]
async fn a_key_that_was_carried_out_is_written_down_once() {
    let world = with_containers().await;
    let id = read(&container_key(&world, ALICE).await).unwrap().id;
    let before = world.audited();
    let from = Some(ANYWHERE.parse().unwrap());
    for _ in 0..3 {
        world.control.note_foreign_key(&id, from).await.unwrap();
    }
    assert_eq!(world.audited(), before + 1);
    let newest = world.store.view().unwrap().audit(1).unwrap().remove(0);
    assert_eq!(newest.action, "key.foreign");
    assert_eq!(newest.target, format!("{id} of {ALICE}"));
    assert_eq!(newest.actor, Actor::Visitor { address: from });
}

#[test]
fn agents_know_the_models_that_are_offered() {
    let models = |gateway: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thon.yaml");
        let at = dir.path().display();
        let text = format!(
            "state_dir: {at}/state\nruntime_dir: {at}/run\ngateway: {{enabled: true, {gateway}}}\nlemonade: {{model_name: big, chat_models: [{{name: small, checkpoint: x, context: 4096}}]}}\nkilo: {{chat_model: fast}}\n"
        );
        std::fs::write(&path, text).unwrap();
        let config = thon::config::load(Some(&path), &FixedVars::default()).unwrap();
        let agents = Settings::from(&config).agents.unwrap();
        let models = agents.models.into_iter();
        models
            .map(|model| (model.name, model.context_tokens))
            .collect::<Vec<_>>()
    };
    let names = |models: &[(String, u32)]| {
        let names = models.iter().map(|(name, _)| name.clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&models("")), ["big", "small"]);
    let offered = models("models: [{name: big}, {name: small, alias: fast}]");
    assert_eq!(names(&offered), ["fast", "big"]);
    assert_eq!(offered[0].1, 4_096);
}
