//! Fifty streams at once on one limit, on real threads.

use tokio::task::JoinSet;

use super::*;

const STREAMS: u64 = 50;
const LIMIT: u64 = 10_000;
const PROMPT: u64 = 200;
/// What the estimate of a prompt is short of.
const ERROR: u64 = 7;
const CAP: u64 = 2_000;
/// A day, so that the milliseconds of a test refill nothing to speak of.
const WINDOW: u32 = DAY;

struct Raced {
    admitted: u64,
    charged: u64,
    left: i64,
}

/// Each that is admitted streams all that it may, and is cut, settled or dropped.
async fn race(mode: Mode) -> Raced {
    let limit = TokenLimit {
        mode,
        ..limit(Scope::Group, LIMIT, WINDOW)
    };
    let world = Arc::new(World::new(limits([limit])));
    let start = Arc::new(tokio::sync::Barrier::new(usize::try_from(STREAMS).unwrap()));
    let mut streams = JoinSet::new();
    for number in 0..STREAMS {
        let (world, start) = (world.clone(), start.clone());
        streams.spawn(async move {
            start.wait().await;
            stream(&world, number).await
        });
    }
    let spent = streams.join_all().await;
    assert!(world.is_idle());
    Raced {
        admitted: u64::try_from(spent.iter().flatten().count()).unwrap(),
        charged: spent.into_iter().flatten().sum(),
        left: world.left(ANN),
    }
}

async fn stream(world: &World, number: u64) -> Option<u64> {
    let ask = ask(&format!("red/u{number}"), PROMPT, CAP);
    let mut permit = world.limiter.admit(ask).await.ok()?;
    permit.sent();
    let until = if number.is_multiple_of(5) {
        CAP / 2
    } else {
        CAP
    };
    for seen in (0..=until).step_by(20) {
        permit.seen(seen);
        tokio::task::yield_now().await;
    }
    if number.is_multiple_of(5) {
        drop(permit);
        return Some(PROMPT + until);
    }
    permit.settle(spent(PROMPT + ERROR, until), Settled::Exact);
    Some(PROMPT + ERROR + until)
}

fn total(raced: &Raced) -> i64 {
    i64::try_from(raced.charged).unwrap() + raced.left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_strict_streams_exceed_the_limit_by_the_error_of_their_prompts_only() {
    let raced = race(Mode::Strict).await;
    assert_eq!(total(&raced), i64::try_from(LIMIT).unwrap());
    assert!((4..50).contains(&raced.admitted), "{}", raced.admitted);
    assert!(
        raced.charged <= LIMIT + raced.admitted * ERROR,
        "{}",
        raced.charged
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_balanced_streams_exceed_the_limit_by_the_bound_at_most() {
    let raced = race(Mode::Balanced).await;
    assert_eq!(total(&raced), i64::try_from(LIMIT).unwrap());
    assert!((4..50).contains(&raced.admitted), "{}", raced.admitted);
    let at_once = LIMIT / (PROMPT + 512);
    let bound = at_once * (CAP - 512 + ERROR);
    assert!(raced.charged <= LIMIT + bound, "{}", raced.charged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_observed_streams_are_all_admitted_and_all_counted() {
    let raced = race(Mode::Observe).await;
    assert_eq!(raced.admitted, STREAMS);
    assert_eq!(total(&raced), i64::try_from(LIMIT).unwrap());
}
