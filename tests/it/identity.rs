//! Invites and sessions: who gets in, for how long, and how that ends.

use std::time::Duration;

use jiff::Timestamp;
use thon::control::{Browser, Error};
use thon::domain::audit::Actor;
use thon::domain::instance::Phase;
use thon::domain::invite::SESSIONS_PER_INVITE_MAX;
use thon::domain::session::IDLE_MAX;
use tokio::time::Instant;

use crate::support::world::World;

const ALICE: &str = "red/alice";

fn browser() -> Browser {
    Browser {
        address: None,
        agent: "a browser".to_owned(),
    }
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
    let signed_in = world
        .control
        .redeem_invite(&code, &browser(), now)
        .await
        .unwrap();
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
    let signed_in = world
        .control
        .redeem_invite(&code, &browser(), now)
        .await
        .unwrap();
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
    world
        .control
        .redeem_invite(fresh.code.expose(), &browser(), now)
        .await
        .unwrap();
}

#[tokio::test]
async fn whoever_is_named_in_the_settings_can_be_given_a_link_before_any_launch() {
    let world = World::with(&[ALICE]);
    world
        .control
        .rotate_invite(&ALICE.parse().unwrap(), Actor::Control)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_oldest_session_of_a_link_makes_room() {
    let world = World::with(&[ALICE]);
    let code = code_for_alice(&world).await;
    let now = Timestamp::now();
    let mut tokens = Vec::new();
    for second in 0..=SESSIONS_PER_INVITE_MAX {
        let at = now + jiff::SignedDuration::from_secs(i64::try_from(second).unwrap());
        tokens.push(
            world
                .control
                .redeem_invite(&code, &browser(), at)
                .await
                .unwrap()
                .token,
        );
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
    let token = world
        .control
        .redeem_invite(&code, &browser(), now)
        .await
        .unwrap()
        .token;
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
    let signed_in = world
        .control
        .redeem_invite(&code, &browser(), now)
        .await
        .unwrap();
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
