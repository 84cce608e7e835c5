//! Who waits is woken when it is their turn, and whoever leaves, whenever, leaves nothing behind.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use thon::domain::model::ModelName;
use thon::limiter::queue::{BusyKind, FairQueue, QueueSettings, Turn, Waiting};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::chance::Chance;
use super::rules::{USERS, who};

fn queue(slots: u32) -> Arc<FairQueue> {
    FairQueue::new(QueueSettings {
        slots,
        ..QueueSettings::default()
    })
}

fn model() -> ModelName {
    ModelName::new("m")
}

fn enter(queue: &Arc<FairQueue>, user: u32) -> Waiting {
    queue.enter(&model(), &who(user), 1).unwrap()
}

fn now(waiting: &mut Waiting) -> Option<Turn> {
    waiting.turn().now_or_never()
}

fn assert_empty(queue: &FairQueue) {
    let status = queue.status();
    assert!(status.users.is_empty(), "{status:?}");
    for model in status.models {
        assert_eq!((model.running, model.waiting), (0, 0));
    }
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_slot_that_is_freed_wakes_the_next_and_nobody_else() {
    let queue = queue(2);
    let mut turns: Vec<Turn> = (0..2)
        .filter_map(|user| now(&mut enter(&queue, user)))
        .collect();
    assert_eq!(turns.len(), 2);
    let mut waiting: Vec<Waiting> = (2..12).map(|user| enter(&queue, user)).collect();
    let bells: Vec<Arc<Bell>> = waiting.iter().map(|_| Arc::default()).collect();
    for (waiting, bell) in waiting.iter_mut().zip(&bells) {
        let waker = Waker::from(Arc::clone(bell));
        let turn = pin!(waiting.turn());
        assert!(turn.poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let rung = || -> usize { bells.iter().map(|bell| bell.0.load(Ordering::SeqCst)).sum() };
    drop(turns.pop());
    assert_eq!(rung(), 1);
    drop(turns.pop());
    assert_eq!(rung(), 2);
    let ready: Vec<Turn> = waiting.iter_mut().filter_map(now).collect();
    assert_eq!(ready.len(), 2);
    drop((waiting, ready));
    assert_empty(&queue);
}

#[tokio::test]
async fn who_leaves_the_line_is_gone_at_once() {
    let queue = queue(1);
    let turn = now(&mut enter(&queue, 0)).unwrap();
    let first = enter(&queue, 1);
    let second = enter(&queue, 2);
    assert_eq!(queue.status().models[0].waiting, 2);
    drop(first);
    assert_eq!(queue.status().models[0].waiting, 1);
    assert_eq!(second.position().place, 1);
    drop((second, turn));
    assert_empty(&queue);
}

#[tokio::test]
async fn a_slot_that_was_given_to_somebody_who_left_goes_to_the_next() {
    let queue = queue(1);
    let turn = now(&mut enter(&queue, 0)).unwrap();
    let first = enter(&queue, 1);
    let mut second = enter(&queue, 2);
    assert!(now(&mut second).is_none());
    drop(turn);
    assert_eq!(
        first.position().place,
        0,
        "it is theirs, but they have not looked"
    );
    drop(first);
    assert!(now(&mut second).is_some());
    drop(second);
    assert_empty(&queue);
}

#[tokio::test]
async fn a_turn_is_given_once_and_outlives_the_wait() {
    let queue = queue(1);
    let mut waiting = enter(&queue, 0);
    let turn = now(&mut waiting).unwrap();
    assert!(now(&mut waiting).is_none());
    drop(waiting);
    assert_eq!(queue.status().models[0].running, 1);
    drop(turn);
    assert_empty(&queue);
}

#[tokio::test]
async fn a_refusal_leaves_nothing_and_says_why() {
    let queue = queue(1);
    let turn = now(&mut enter(&queue, 0)).unwrap();
    let waiting: Vec<Waiting> = (0..8).map(|_| enter(&queue, 0)).collect();
    let busy = queue.enter(&model(), &who(0), 1).err().unwrap();
    assert_eq!((busy.kind, busy.waiting), (BusyKind::TooManyOfYours, 8));
    drop((turn, waiting));
    assert_empty(&queue);
}

#[tokio::test]
async fn other_rules_and_other_slots_hold_from_now_on_for_who_waits_already() {
    let queue = queue(1);
    let turns: Vec<Turn> = (0..1)
        .filter_map(|user| now(&mut enter(&queue, user)))
        .collect();
    let mut waiting: Vec<Waiting> = (1..4).map(|user| enter(&queue, user)).collect();
    queue.set_slots(&model(), 3);
    let more: Vec<Turn> = waiting.iter_mut().filter_map(now).collect();
    assert_eq!(more.len(), 2);
    queue.apply(QueueSettings {
        model_concurrency: [(model(), 1.try_into().unwrap())].into(),
        ..QueueSettings::default()
    });
    drop(turns);
    assert!(waiting.iter_mut().find_map(now).is_none());
    drop(more);
    assert!(waiting.iter_mut().find_map(now).is_some());
    drop(waiting);
    assert_empty(&queue);
}

#[tokio::test(start_paused = true)]
async fn whenever_two_thousand_leave_nothing_is_left_and_no_slot_is_used_twice() {
    const SLOTS: u32 = 5;
    let queue = queue(SLOTS);
    let tasks = TaskTracker::new();
    let (running, served) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut chance = Chance::new(11);
    for _ in 0..2_000 {
        let (queue, running, served) = (queue.clone(), running.clone(), served.clone());
        let user = chance.below(USERS);
        let mut time = |most| Duration::from_millis(chance.below(most).into());
        let (comes, patience, takes) = (time(600_000), time(20_000), time(5_000));
        tasks.spawn(async move {
            sleep(comes).await;
            let Ok(mut waiting) = queue.enter(&model(), &who(user), 1) else {
                return;
            };
            let Ok(_turn) = timeout(patience, waiting.turn()).await else {
                return;
            };
            assert!(running.fetch_add(1, Ordering::SeqCst) < SLOTS);
            sleep(takes).await;
            running.fetch_sub(1, Ordering::SeqCst);
            served.fetch_add(1, Ordering::SeqCst);
        });
    }
    tasks.close();
    tasks.wait().await;
    assert!(served.load(Ordering::SeqCst) > 500);
    assert_empty(&queue);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_four_threads_no_slot_is_lost() {
    let queue = queue(3);
    let tasks = TaskTracker::new();
    let running = Arc::new(AtomicU32::new(0));
    for user in 0..8 {
        let (queue, running) = (queue.clone(), running.clone());
        let mut chance = Chance::new(user.into());
        tasks.spawn(async move {
            for _ in 0..500 {
                let mut waiting = enter(&queue, user);
                if chance.below(3) == 0 {
                    tokio::task::yield_now().await;
                    drop(waiting);
                    continue;
                }
                let turn = waiting.turn().await;
                assert!(running.fetch_add(1, Ordering::SeqCst) < 3);
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                drop(turn);
            }
        });
    }
    tasks.close();
    tasks.wait().await;
    assert_empty(&queue);
}
