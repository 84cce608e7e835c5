//! Invites and sessions: who gets in, for how long, and how that ends.

use std::time::Duration;

use jiff::Timestamp;
use thon::control::{Browser, Error, SignedIn};
use thon::domain::audit::Actor;
use thon::domain::instance::Phase;
use thon::domain::invite::{Invite, SESSIONS_PER_INVITE_MAX};
use thon::domain::session::{IDLE_MAX, Session};
use tokio::time::Instant;

use crate::support::world::World;

const ALICE: &str = "red/alice";

fn browser() -> Browser {
    Browser {
        address: None,
        agent: "a browser".to_owned(),
    }
}

async fn redeem(world: &World, code: &str, now: Timestamp) -> SignedIn {
    let browser = browser();
    let signed_in = world.control.redeem_invite(code, &browser, now);
    signed_in.await.unwrap()
}

async fn code_for_alice(world: &World) -> String {
    world.launch().await;
    let invites = world
        .control
        .create_invites(None, Actor::Control)
        .await
        .unwrap();
    assert_eq!(invites.len(), 1);
    invites[0].code.expose().to_owned()
}

#[tokio::test]
async fn a_code_signs_its_participant_in_and_is_never_stored() {
    let world = World::with(&[ALICE]);
    let code = code_for_alice(&world).await;
    assert_eq!(
        world
            .control
            .preview_invite(&code)
            .await
            .unwrap()
            .user
            .to_string(),
        ALICE
    );
    let now = Timestamp::now();
    let signed_in = redeem(&world, &code, now).await;
    let session = world
        .control
        .session(signed_in.token.expose(), Instant::now())
        .unwrap();
    assert_eq!(session.user.to_string(), ALICE);
    assert!(
        world.control.session(&code, Instant::now()).is_none(),
        "a code is no token"
    );
    let again = world
        .control
        .create_invites(None, Actor::Control)
        .await
        .unwrap();
    assert!(
        again.is_empty(),
        "a link that was given cannot be shown again"
    );
    let kept = everything_stored(&world);
    for secret in [code.as_str(), signed_in.token.expose()] {
        assert!(!kept.contains(secret), "{kept}");
    }
    assert!(kept.contains("invite.redeem"), "{kept}");
}

/// What the store keeps of invites, sessions and deeds, with its keys.
fn everything_stored(world: &World) -> String {
    let view = world.store.view().unwrap();
    serde_json::json!([
        view.all::<Invite>().unwrap(),
        view.all::<Session>().unwrap(),
        view.audit(usize::MAX).unwrap(),
    ])
    .to_string()
}

#[tokio::test]
async fn a_code_that_nobody_has_signs_nobody_in() {
    let world = World::with(&[ALICE]);
    code_for_alice(&world).await;
    world.until(&[ALICE], Phase::Ready).await;
    let before = world.audited();
    for wrong in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAA"] {
        let error = world
            .control
            .redeem_invite(wrong, &browser(), Timestamp::now())
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Missing { .. }), "{error}");
    }
    assert_eq!(
        world.audited(),
        before,
        "guessing pushes nothing out of the log"
    );
}

#[tokio::test]
async fn rotating_a_link_ends_the_old_one_and_whoever_came_in_by_it() {
    let world = World::with(&[ALICE]);
    let code = code_for_alice(&world).await;
    let now = Timestamp::now();
    let signed_in = redeem(&world, &code, now).await;
    let live = world
        .control
        .session(signed_in.token.expose(), Instant::now())
        .unwrap();
    let fresh = world
        .control
        .rotate_invite(&ALICE.parse().unwrap(), Actor::Control)
        .await
        .unwrap();
    assert!(live.revoked.is_cancelled(), "open sockets are told");
    assert!(
        world
            .control
            .session(signed_in.token.expose(), Instant::now())
            .is_none()
    );
    assert!(world.control.preview_invite(&code).await.is_err());
    redeem(&world, fresh.code.expose(), now).await;
}

#[tokio::test]
async fn whoever_is_named_in_the_settings_can_be_given_a_link_before_any_launch() {
    let world = World::with(&[ALICE]);
    let alice = ALICE.parse().unwrap();
    let link = world.control.rotate_invite(&alice, Actor::Control);
    let code = link.await.unwrap().code;
    let invite = world.control.preview_invite(code.expose()).await.unwrap();
    assert_eq!(invite.user, alice);
    let stranger = "red/stranger".parse().unwrap();
    let refused = world.control.rotate_invite(&stranger, Actor::Control);
    assert!(matches!(refused.await, Err(Error::Missing { .. })));
}

#[tokio::test]
async fn the_oldest_session_of_a_link_makes_room() {
    let world = World::with(&[ALICE]);
    let code = code_for_alice(&world).await;
    let now = Timestamp::now();
    let mut tokens = Vec::new();
    for second in 0..=SESSIONS_PER_INVITE_MAX {
        let at = now + jiff::SignedDuration::from_secs(i64::try_from(second).unwrap());
        tokens.push(redeem(&world, &code, at).await.token);
    }
    let alive: Vec<bool> = tokens
        .iter()
        .map(|token| {
            world
                .control
                .session(token.expose(), Instant::now())
                .is_some()
        })
        .collect();
    assert_eq!(alive, [false, true, true, true, true, true]);
    let listed = world
        .control
        .sessions(&ALICE.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(listed.len(), SESSIONS_PER_INVITE_MAX);
}

#[tokio::test]
async fn a_session_ends_a_day_after_it_was_last_used() {
    let world = World::with(&[ALICE]);
    let code = code_for_alice(&world).await;
    let now = Timestamp::now();
    let token = redeem(&world, &code, now).await.token;
    let day = IDLE_MAX.unsigned_abs();
    let nearly = Instant::now() + day - Duration::from_secs(1);
    assert!(world.control.session(token.expose(), nearly).is_some());
    assert!(
        world
            .control
            .session(token.expose(), nearly + day)
            .is_some(),
        "it slides"
    );
    let late = nearly + day + day + Duration::from_secs(1);
    assert!(world.control.session(token.expose(), late).is_none());
}

#[tokio::test]
async fn nobody_ends_somebody_elses_session() {
    let world = World::with(&[ALICE]);
    let code = code_for_alice(&world).await;
    let now = Timestamp::now();
    let signed_in = redeem(&world, &code, now).await;
    let bob = "red/bob".parse().unwrap();
    let error = world
        .control
        .end_session(&bob, &signed_in.session.id, Actor::Control)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Missing { .. }));
    assert!(
        world
            .control
            .session(signed_in.token.expose(), Instant::now())
            .is_some()
    );
    let alice = ALICE.parse().unwrap();
    world
        .control
        .end_session(&alice, &signed_in.session.id, Actor::Control)
        .await
        .unwrap();
    assert!(
        world
            .control
            .session(signed_in.token.expose(), Instant::now())
            .is_none()
    );
}
