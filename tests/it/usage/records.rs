//! The records of usage: added once, whatever fails; bounded in number and in time.

use jiff::{SignedDuration, Timestamp};
use thon::domain::tally::{Kept, OTHERS, Span, Tally};
use thon::store::{Batch, Store, StoreError};

use super::{entry, hours_ago, now};
use crate::support::disk::Disk;
use crate::support::world::identity;

fn on(disk: &Disk) -> Store {
    let disk = disk.clone();
    Store::on(move || disk.clone(), identity).unwrap()
}

fn batch(number: usize, count: usize) -> Batch {
    Batch {
        id: format!("batch-{number}"),
        entries: vec![entry("red/alice", "qwen3", hours_ago(1)); count],
        ..Batch::default()
    }
}

fn add(store: &Store, batch: &Batch) -> Result<(), StoreError> {
    store.note(|tx| tx.add_usage(batch, now()))
}

/// Of all spans, owners and models.
pub(super) fn sums(store: &Store, span: Span) -> Tally {
    let mut sum = Tally::default();
    let each = |row: thon::store::Tallied<'_>| sum.add(&row.tally);
    store
        .view()
        .unwrap()
        .tallies(span, 0..u32::MAX, each)
        .unwrap();
    sum
}

fn listed(store: &Store) -> u64 {
    let view = store.view().unwrap();
    let all = view.requests(usize::MAX, usize::MAX, |_| true).unwrap();
    all.len().try_into().unwrap()
}

/// List and sums agree; says how many there are.
fn whole(store: &Store) -> u64 {
    let listed = listed(store);
    for span in [Span::Minute, Span::Day] {
        assert_eq!(sums(store, span).requests, listed, "{span:?}");
    }
    listed
}

#[test]
fn at_whatever_write_it_fails_a_batch_is_added_once() {
    let first = Disk::default();
    add(&on(&first), &batch(0, 5)).unwrap();
    for writes in 0.. {
        let disk = first.copy();
        let store = on(&disk);
        disk.fill_after(writes);
        let added = add(&store, &batch(1, 7));
        let was_full = disk.make_room();
        assert!([5, 12].contains(&whole(&store)));
        // Whoever was told that it failed tries the same batch again.
        add(&store, &batch(1, 7)).unwrap();
        assert_eq!(whole(&store), 12, "after {writes} writes: {added:?}");
        if !was_full {
            assert!(writes > 2);
            return;
        }
    }
}

#[test]
fn at_whatever_sync_the_power_fails_sums_and_list_agree() {
    let disk = Disk::default();
    let store = on(&disk);
    let made = disk.syncs();
    for number in 0..4 {
        add(&store, &batch(number, 3)).unwrap();
    }
    let cuts = disk.cuts();
    assert!(cuts.len() > made);
    for cut in cuts.iter().skip(made) {
        for count in 0..=cut.unsynced.len() {
            let left = cut.with(cut.unsynced[..count].iter().cloned());
            assert!(whole(&on(&left)).is_multiple_of(3));
        }
    }
}

#[test]
fn made_up_models_of_one_owner_do_not_fill_the_disk() {
    let store = on(&Disk::default());
    let at = hours_ago(1);
    for number in 0..10 {
        let entries = (0..50).map(|model| entry("red/alice", &format!("m-{number}-{model}"), at));
        let batch = Batch {
            id: number.to_string(),
            entries: entries.collect(),
            ..Batch::default()
        };
        add(&store, &batch).unwrap();
    }
    // Somebody else's are told apart.
    let other = Batch {
        id: "other".to_owned(),
        entries: vec![entry("red/alice-2", "qwen3", at)],
        ..Batch::default()
    };
    add(&store, &other).unwrap();
    for span in [Span::Minute, Span::Day] {
        let (mut rows, mut others) = (0, 0);
        let each = |row: thon::store::Tallied<'_>| {
            rows += 1;
            if row.model == OTHERS {
                others += row.tally.requests;
            }
        };
        store
            .view()
            .unwrap()
            .tallies(span, 0..u32::MAX, each)
            .unwrap();
        assert_eq!((rows, others), (33 + 1, 500 - 32), "{span:?}");
    }
    assert_eq!(whole(&store), 501);
}

#[test]
fn old_usage_goes_in_bounded_steps_and_sums_stay_longer_than_requests() {
    let store = on(&Disk::default());
    let long_ago = hours_ago(24 * 500);
    let week_ago = hours_ago(24 * 10);
    for (number, at) in [long_ago, week_ago, now()].into_iter().enumerate() {
        let entries = (0..30).map(|minute| {
            let at = at + SignedDuration::from_mins(minute) - SignedDuration::from_mins(40);
            entry("red/alice", "qwen3", at)
        });
        let batch = Batch {
            id: number.to_string(),
            entries: entries.collect(),
            ..Batch::default()
        };
        store.note(|tx| tx.add_usage(&batch, at)).unwrap();
    }
    let mut steps = 0;
    let prune = |at: Timestamp| store.note(|tx| tx.prune_usage(Kept::default(), at, 7));
    while prune(now()).unwrap() {
        steps += 1;
    }
    assert!(steps >= 8, "{steps}");
    assert_eq!(listed(&store), 30, "a week");
    assert_eq!(sums(&store, Span::Minute).requests, 60, "two weeks");
    assert_eq!(sums(&store, Span::Day).requests, 60, "four hundred days");
    // A clock that was set far forward and back again turns nothing round.
    let ahead = now() + SignedDuration::from_hours(24 * 365);
    store.note(|tx| tx.add_usage(&batch(7, 1), ahead)).unwrap();
    store.note(|tx| tx.add_usage(&batch(8, 1), now())).unwrap();
    assert_eq!(listed(&store), 32);
}

#[test]
fn a_sum_that_cannot_be_read_stays_and_keeps_nothing_else_out() {
    let disk = Disk::default();
    add(&on(&disk), &batch(0, 2)).unwrap();
    let db = redb::Database::builder();
    let db = db.create_with_backend(disk.clone()).unwrap();
    let tx = db.begin_write().unwrap();
    let days: redb::TableDefinition<'_, (u32, &str, &str), &[u8]> =
        redb::TableDefinition::new("usage_days");
    let day = Span::Day.number(hours_ago(1));
    let odd: &[u8] = b"odd";
    let key = (day, "red/alice", "qwen3");
    tx.open_table(days).unwrap().insert(key, odd).unwrap();
    tx.commit().unwrap();
    drop(db);
    let store = on(&disk);
    add(&store, &batch(1, 3)).unwrap();
    assert_eq!(
        (listed(&store), sums(&store, Span::Minute).requests),
        (5, 5)
    );
    assert_eq!(sums(&store, Span::Day).requests, 0);
    assert_eq!(store.unreadable().len(), 1);
}
