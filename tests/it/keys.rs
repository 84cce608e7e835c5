//! Keys for the language model: who has one, from where it is good, and how that ends.

mod containers;

use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use thon::auth::key::{self, read};
use thon::config::{ChatModel, KeyMode};
use thon::control::{Agents, Error, KeyWish, Launch, NewKey, Settings};
use thon::domain::audit::Actor;
use thon::domain::id::{InstanceId, KeyId, UserRef};
use thon::domain::instance::{InstanceSpec, Phase};
use thon::domain::key::Key;
use thon::domain::model::ModelName;
use thon::domain::user::User;
use thon::routing::{KeyRefusal, LiveKey, admit};
use thon::store::Store;

use crate::support::world::{World, identity};

const ALICE: &str = "red/alice";
const BOB: &str = "red/bob";
const EVERYBODY: [&str; 3] = [ALICE, BOB, "blue/cleo"];

fn with_agents(settings: &mut Settings) {
    let model = ChatModel {
        name: "qwen3".to_owned(),
        checkpoint: String::new(),
        context_tokens: 4_096,
        output_tokens: 512,
    };
    settings.agents = Some(Agents {
        port: 9_080,
        models: vec![model],
        small_model: None,
    });
}

fn quiet(change: impl FnOnce(&mut Settings)) -> World {
    let store = Store::in_memory(identity).unwrap();
    World::asleep(store, &EVERYBODY, change)
}

/// Everybody's editor runs, and every container has its key.
async fn with_containers() -> World {
    let mut world = quiet(with_agents);
    world.start();
    world.launch().await;
    world.until(&EVERYBODY, Phase::Ready).await;
    world
}

fn wish(owner: &str) -> KeyWish {
    KeyWish {
        owner: owner.parse().unwrap(),
        models: Vec::new(),
        expires_at: None,
        note: String::new(),
    }
}

async fn create(world: &World, wish: KeyWish) -> Result<NewKey, Error> {
    world.control.create_key(wish, Actor::Control).await
}

async fn key_of(world: &World, owner: &str) -> NewKey {
    create(world, wish(owner)).await.unwrap()
}

fn shown(world: &World, text: &str, from: &str) -> Result<Arc<LiveKey>, KeyRefusal> {
    shown_at(world, text, from, Timestamp::now())
}

fn shown_at(
    world: &World,
    text: &str,
    from: &str,
    now: Timestamp,
) -> Result<Arc<LiveKey>, KeyRefusal> {
    let from: IpAddr = from.parse().unwrap();
    let table = world.control.table().load_full();
    admit(&table, &read(text).unwrap(), Some(from), now)
}

const ANYWHERE: &str = "192.0.2.7";

fn spec_of(world: &World, instance: &InstanceId) -> InstanceSpec {
    world.fake.spec(instance).unwrap()
}

/// A file of the newest container of this participant.
async fn given(world: &World, user: &str, path: &str) -> Option<String> {
    let spec = spec_of(world, &world.instance(user).await.id);
    let file = spec.files.into_iter().find(|file| file.path == path)?;
    Some(file.contents.expose().to_owned())
}

async fn container_key(world: &World, user: &str) -> String {
    given(world, user, "/etc/thon/model.key").await.unwrap()
}

fn stored(world: &World) -> Vec<Key> {
    let rows = world.store.view().unwrap().all::<Key>().unwrap();
    rows.into_iter().map(|(_, key)| key).collect()
}

#[tokio::test]
async fn a_key_is_shown_once_and_kept_as_a_hash() {
    let world = quiet(|_| ());
    let new = key_of(&world, ALICE).await;
    let key = new.secret.expose();
    assert!(
        key.starts_with("sk-thon-") && key.len() == key::LEN,
        "{key}"
    );
    let live = shown(&world, key, ANYWHERE).unwrap();
    assert_eq!(live.key.owner.to_string(), ALICE);
    assert_eq!(live.members, 2);
    let view = world.store.view().unwrap();
    let kept = serde_json::json!([stored(&world), view.audit(usize::MAX).unwrap()]).to_string();
    let secret = &key[key.len() - 43..];
    assert!(!kept.contains(secret), "{kept}");
    assert!(kept.contains("key.create"), "{kept}");
    let listed = world.control.keys().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].in_force && listed[0].key.last_used_at.is_some());
}

#[tokio::test]
async fn another_secret_opens_nothing_and_learns_nothing() {
    let world = quiet(|_| ());
    let new = key_of(&world, ALICE).await;
    let id = &new.status.key.id;
    let other = key::fresh(id);
    let unknown = key::fresh(&KeyId::from_bits(7));
    world.control.disable_key(id, Actor::Control).await.unwrap();
    for wrong in [other, unknown] {
        let refused = shown(&world, wrong.expose(), ANYWHERE);
        assert_eq!(refused.unwrap_err(), KeyRefusal::Unknown);
    }
}

#[tokio::test]
async fn the_secret_from_before_is_good_until_its_grace_ends() {
    let world = quiet(|_| ());
    let old = key_of(&world, ALICE).await;
    let id = old.status.key.id.clone();
    let running = shown(&world, old.secret.expose(), ANYWHERE).unwrap();
    let hour = SignedDuration::from_hours(1);
    let rotated = world.control.rotate_key(&id, hour, Actor::Control);
    let new = rotated.await.unwrap();
    let now = Timestamp::now();
    for secret in [&old.secret, &new.secret] {
        shown_at(&world, secret.expose(), ANYWHERE, now).unwrap();
    }
    assert!(!running.revoked.is_cancelled(), "its requests go on");
    let later = now + hour;
    assert!(shown_at(&world, old.secret.expose(), ANYWHERE, later).is_err());
    assert!(shown_at(&world, new.secret.expose(), ANYWHERE, later).is_ok());
    // One more pushes the oldest out, whatever was promised it.
    let rotated = world.control.rotate_key(&id, hour, Actor::Control);
    rotated.await.unwrap();
    assert!(shown(&world, old.secret.expose(), ANYWHERE).is_err());
    assert!(shown(&world, new.secret.expose(), ANYWHERE).is_ok());
}

#[tokio::test]
async fn a_secret_that_is_changed_at_once_ends_the_requests_of_the_old_one() {
    let world = quiet(|_| ());
    let old = key_of(&world, ALICE).await;
    let id = old.status.key.id.clone();
    let running = shown(&world, old.secret.expose(), ANYWHERE).unwrap();
    let rotated = world
        .control
        .rotate_key(&id, SignedDuration::ZERO, Actor::Control);
    let new = rotated.await.unwrap();
    assert!(running.revoked.is_cancelled());
    assert!(shown(&world, old.secret.expose(), ANYWHERE).is_err());
    let fresh = shown(&world, new.secret.expose(), ANYWHERE).unwrap();
    assert!(!fresh.revoked.is_cancelled());
}

#[tokio::test]
async fn a_disabled_key_ends_its_requests_and_comes_back_when_it_is_enabled() {
    let world = quiet(|_| ());
    let new = key_of(&world, ALICE).await;
    let (id, secret) = (&new.status.key.id, new.secret.expose());
    let running = shown(&world, secret, ANYWHERE).unwrap();
    world.control.disable_key(id, Actor::Control).await.unwrap();
    assert!(running.revoked.is_cancelled());
    let refused = shown(&world, secret, ANYWHERE).unwrap_err();
    assert_eq!(refused, KeyRefusal::Disabled);
    world.control.enable_key(id, Actor::Control).await.unwrap();
    let again = shown(&world, secret, ANYWHERE).unwrap();
    assert!(!again.revoked.is_cancelled());
    world.control.revoke_key(id, Actor::Control).await.unwrap();
    assert!(again.revoked.is_cancelled());
    let refused = shown(&world, secret, ANYWHERE).unwrap_err();
    assert_eq!(refused, KeyRefusal::Unknown);
    let missing = world.control.key(id).await;
    assert!(matches!(missing, Err(Error::Missing { .. })));
}

#[tokio::test]
async fn a_key_ends_when_it_was_to_end_and_is_for_the_models_it_names() {
    let world = quiet(|_| ());
    let end = Timestamp::now() + SignedDuration::from_hours(1);
    let wish = KeyWish {
        expires_at: Some(end),
        models: vec![ModelName::new("user.qwen3")],
        ..wish(ALICE)
    };
    let new = create(&world, wish).await.unwrap();
    let live = shown(&world, new.secret.expose(), ANYWHERE).unwrap();
    assert!(live.key.allows(&ModelName::new("qwen3")));
    assert!(!live.key.allows(&ModelName::new("gemma")));
    let refused = shown_at(&world, new.secret.expose(), ANYWHERE, end);
    assert_eq!(refused.unwrap_err(), KeyRefusal::Expired);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_words() {
    let world = quiet(|_| ());
    let long = "x".repeat(121);
    let names = |count| vec![ModelName::new("m"); count];
    for (case, wish) in [
        ("a group, per user", wish("red")),
        ("no participant", wish("red/nobody")),
        (
            "an end that was",
            KeyWish {
                expires_at: Some(Timestamp::now()),
                ..wish(ALICE)
            },
        ),
        (
            "a long note",
            KeyWish {
                note: long,
                ..wish(ALICE)
            },
        ),
        (
            "two lines",
            KeyWish {
                note: "a\nb".to_owned(),
                ..wish(ALICE)
            },
        ),
        (
            "many models",
            KeyWish {
                models: names(65),
                ..wish(ALICE)
            },
        ),
        (
            "no name",
            KeyWish {
                models: vec![ModelName::new("")],
                ..wish(ALICE)
            },
        ),
    ] {
        assert!(create(&world, wish).await.is_err(), "{case}");
    }
    assert_eq!(stored(&world), []);
    let key = key_of(&world, ALICE).await.status.key;
    for grace in [-1, 604_801] {
        let grace = SignedDuration::from_secs(grace);
        let refused = world.control.rotate_key(&key.id, grace, Actor::Control);
        assert!(matches!(refused.await, Err(Error::Invalid(_))));
    }
}

#[tokio::test]
async fn an_owner_has_so_many_keys_and_takes_nobody_else_s_room() {
    let world = quiet(|_| ());
    for _ in 0..16 {
        key_of(&world, ALICE).await;
    }
    let refused = create(&world, wish(ALICE)).await;
    assert!(matches!(refused, Err(Error::Conflict(_))));
    key_of(&world, BOB).await;
}

#[tokio::test]
async fn a_group_has_keys_where_groups_share_and_they_are_idle_where_they_do_not() {
    let mut world = quiet(|settings| settings.key_mode = KeyMode::PerGroup);
    let new = key_of(&world, "red").await;
    let live = shown(&world, new.secret.expose(), ANYWHERE).unwrap();
    assert_eq!((live.key.owner.user(), live.members), (None, 2));
    world.start();
    world.kill().await;
    world.start_again_with(|settings| settings.key_mode = KeyMode::PerUser);
    let refused = shown(&world, new.secret.expose(), ANYWHERE).unwrap_err();
    assert_eq!(refused, KeyRefusal::Unknown);
    assert!(!world.control.keys().await.unwrap()[0].in_force);
}

#[tokio::test]
async fn a_key_is_idle_while_its_owner_takes_no_part() {
    let mut world = quiet(|_| ());
    let new = key_of(&world, ALICE).await;
    world.start();
    world.kill().await;
    world.start_again_with(|settings| settings.groups.clear());
    assert!(shown(&world, new.secret.expose(), ANYWHERE).is_err());
    let entry =
        thon::domain::audit::AuditEntry::done(Timestamp::now(), Actor::Control, "a test", ALICE);
    let removed = world.store.change(&entry, |tx| tx.remove::<User>(ALICE));
    assert!(removed.unwrap());
    assert!(!world.control.keys().await.unwrap()[0].in_force);
}

#[tokio::test]
async fn a_group_s_size_is_right_when_somebody_joins() {
    let world = quiet(|settings| settings.groups.clear());
    let demo = Launch {
        demo: true,
        ..Launch::default()
    };
    world.control.launch(&demo, Actor::Control).await.unwrap();
    let new = key_of(&world, "demo/alice").await;
    let before = shown(&world, new.secret.expose(), ANYWHERE).unwrap();
    assert_eq!(before.members, 2);
    let carol: UserRef = "demo/carol".parse().unwrap();
    let entry =
        thon::domain::audit::AuditEntry::done(Timestamp::now(), Actor::Control, "a test", &carol);
    let user = User {
        name: carol.clone(),
        email: None,
        source: thon::domain::user::Source::Command,
        created_at: Timestamp::now(),
    };
    let joined = world
        .store
        .change(&entry, |tx| tx.put(&carol.to_string(), &user));
    joined.unwrap();
    // Whatever is changed next puts it in force.
    key_of(&world, "demo/bob").await;
    let after = shown(&world, new.secret.expose(), ANYWHERE).unwrap();
    assert_eq!(after.members, 3);
    assert!(!before.revoked.is_cancelled());
    after.touch(Timestamp::now() + SignedDuration::from_hours(1));
    assert_eq!(before.last_used_at(), after.last_used_at());
}

#[tokio::test]
async fn the_last_use_is_written_down_away_from_requests() {
    let world = quiet(|_| ());
    let new = key_of(&world, ALICE).await;
    shown(&world, new.secret.expose(), ANYWHERE).unwrap();
    assert_eq!(stored(&world)[0].last_used_at, None);
    let before = world.audited();
    world.control.flush_keys().await.unwrap();
    let written = stored(&world)[0].last_used_at;
    assert!(written.is_some());
    assert_eq!(world.audited(), before, "a use is no deed");
    world.control.flush_keys().await.unwrap();
    assert_eq!(stored(&world)[0].last_used_at, written);
}
