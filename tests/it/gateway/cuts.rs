//! Everything is cut at random, again and again: nothing is left behind, and the sums are right.

use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt as _;
use thon::domain::usage::{Outcome, Settled};
use tokio::time::Instant;

use crate::support::gate::{Gate, chat, streamed};
use crate::support::model::{Model, Reply, Words};
use crate::support::world::until;

const CHAT: &str = "/v1/chat/completions";

/// Tokens that nobody spends in a test, and that refill by less than two a second.
const LIMIT: &str = "token_limit: 1000000, token_window: 604800, cached_weight: 1, concurrency_limit: 0, queue_limit: 500";

/// `SplitMix64`: the same moments in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

async fn gate() -> Gate {
    let model = Model::llama("tiny").await;
    model.has_slots(8);
    model.says(Words {
        output: 12,
        ..Words::default()
    });
    Gate::before(model, LIMIT).await
}

/// One client that leaves at some moment: before its answer, in it, or never.
async fn client(gate: &Gate, key: &str, moment: u64) {
    let body = if moment.is_multiple_of(2) {
        streamed(chat("tiny"))
    } else {
        chat("tiny")
    };
    let listening = gate.begin(key, CHAT, &body).await;
    match moment % 5 {
        0 => drop(listening),
        1 => {
            for _ in 0..moment % 40 {
                tokio::task::yield_now().await;
            }
            drop(listening);
        }
        _ => {
            let (answer, connection) = listening.head().await;
            let mut body = answer.into_body();
            for _ in 0..moment % 17 {
                if body.frame().await.is_none_or(|frame| frame.is_err()) {
                    break;
                }
            }
            drop((body, connection));
        }
    }
}

/// What the ledger says that was spent is what the balances lack, but for what refilled since.
async fn assert_settled(gate: &Gate, begun: Instant) {
    until("everything is over", async || gate.is_idle().await).await;
    // Of three balances, a little below two tokens a second each.
    let refilled = 6 * (1 + i64::try_from(begun.elapsed().as_secs()).unwrap());
    let mut sums = (0, 0);
    // The ledger is written within a second.
    until("the ledger has what the balances lack", async || {
        sums = (gate.spent().await, gate.lacking().await);
        sums.1 <= sums.0
    })
    .await;
    let (spent, lacking) = sums;
    assert!(
        spent - lacking <= refilled,
        "{spent} were spent, and {lacking} are lacking"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_clients_that_leave_at_random_leave_nothing_behind() {
    let (gate, begun) = (gate().await, Instant::now());
    let keys = [
        gate.key("red/alice").await,
        gate.key("red/bob").await,
        gate.key("blue/dan").await,
    ];
    let left = AtomicUsize::new(10_000);
    let clients = (0..32_u64).map(|seed| {
        let (gate, keys, left) = (&gate, &keys, &left);
        async move {
            let mut chance = Chance(seed);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                let key = &keys[usize::try_from(chance.below(3)).unwrap()];
                client(gate, key, chance.below(1_000)).await;
            }
        }
    });
    futures_util::future::join_all(clients).await;
    gate.model.until(|counts| counts.open == 0).await;
    assert_settled(&gate, begun).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_breaks_off_a_hundred_times_leaves_nothing_behind() {
    let (gate, begun) = (gate().await, Instant::now());
    let key = gate.key("red/alice").await;
    let mut chance = Chance(1);
    for _ in 0..100 {
        let at = usize::try_from(chance.below(2_500)).unwrap();
        let how = chance.below(3);
        gate.model.next(move |reply: Reply, _| match how {
            0 => reply.cut_at(at),
            1 => reply.cut_after(at % 15),
            _ => Reply::none(),
        });
        let body = if at.is_multiple_of(2) {
            streamed(chat("tiny"))
        } else {
            chat("tiny")
        };
        let reply = gate.post(&key, CHAT, &body).await;
        // Whole answers and refusals alike have a body; a stream that broke off says so in its last event.
        assert!(!reply.body.is_empty());
    }
    let ledger = gate.ledger(100).await;
    for entry in &ledger {
        let is_free = entry.settled == Settled::Nothing;
        assert!(
            is_free || entry.tokens.input + entry.tokens.cached > 0,
            "{entry:?}"
        );
        assert_ne!(entry.outcome, Outcome::Left, "{entry:?}");
    }
    assert!(
        ledger
            .iter()
            .any(|entry| entry.settled == Settled::Observed)
    );
    assert!(ledger.iter().any(|entry| entry.settled == Settled::Nothing));
    assert_settled(&gate, begun).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_that_is_stopped_keeps_its_balances_and_holds_no_slot() {
    let (mut gate, begun) = (gate().await, Instant::now());
    let key = gate.key("red/alice").await;
    for _ in 0..3 {
        gate.model.always(|reply, _| reply.hang_after(6));
        let mut asking = Vec::new();
        for _ in 0..3 {
            asking.push(gate.begin(&key, CHAT, &streamed(chat("tiny"))).await);
        }
        gate.model.until(|counts| counts.open == 3).await;
        gate = gate.restarted().await;
        drop(asking);
        gate.model.until(|counts| counts.open == 0).await;
        assert!(gate.is_idle().await);
    }
    gate.model.always(|reply, _| reply);
    assert_eq!(gate.post(&key, CHAT, &chat("tiny")).await.status, 200);
    assert_settled(&gate, begun).await;
}
