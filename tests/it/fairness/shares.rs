//! Who gets how much, and who comes before whom.

use std::num::NonZeroU32;
use std::time::Duration;

use thon::domain::model::ModelName;
use thon::limiter::queue::{BusyKind, QueueSettings};

use super::desk::Desk;
use super::pickers::Fair;
use super::world::{Habit, World};

const HOUR: Duration = Duration::from_hours(1);

fn slots(slots: u32) -> QueueSettings {
    QueueSettings {
        slots,
        ..QueueSettings::default()
    }
}

/// No user is held back for having many slots.
fn without_share(number: u32) -> QueueSettings {
    QueueSettings {
        share: NonZeroU32::new(number),
        ..slots(number)
    }
}

/// Slot seconds of each of so many who always want more.
fn hungry(settings: QueueSettings, users: usize, group: impl Fn(usize) -> usize) -> Vec<f64> {
    let habits = vec![Habit::Agent { requests: 4 }; users];
    let world = World::run(Fair::new(settings, users, group), &habits, 2 * HOUR);
    super::slot_times(&world.served)
}

fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 0.05 * a.max(b)
}

#[test]
fn two_who_want_the_same_get_the_same() {
    for group in [|user| user, |_| 0] {
        let times = hungry(slots(4), 2, group);
        assert!(is_near(times[0], times[1]), "{times:?}");
    }
}

#[test]
fn a_group_of_one_gets_as_much_as_a_group_of_nine() {
    let in_two_groups = |half_life| {
        let settings = QueueSettings {
            half_life,
            ..without_share(4)
        };
        hungry(settings, 10, |user| usize::from(user > 0))
    };
    let times = in_two_groups(24 * HOUR);
    let nine: f64 = times[1..].iter().sum();
    assert!(is_near(times[0], nine), "{times:?}");
    for user in &times[1..] {
        assert!(is_near(*user, nine / 9.0), "{times:?}");
    }
    // What is forgotten after minutes gives who mostly waits a lead again and again, but a small one.
    let times = in_two_groups(QueueSettings::default().half_life);
    let part = times[0] / times.iter().sum::<f64>();
    assert!((0.45..0.55).contains(&part), "{times:?}");
}

#[test]
fn a_group_of_twice_the_weight_gets_twice_as_much() {
    let settings = QueueSettings {
        weights: [("g1".parse().unwrap(), NonZeroU32::new(2).unwrap())].into(),
        ..without_share(6)
    };
    let times = hungry(settings, 2, |user| user);
    assert!(is_near(2.0 * times[0], times[1]), "{times:?}");
}

#[test]
fn among_forty_nobody_waits_for_more_than_two_rounds() {
    let habits = [Habit::Agent { requests: 1 }; 40];
    let world = World::run(Fair::new(slots(4), 40, |user| user % 7), &habits, 2 * HOUR);
    // A group of five has one seventh of four slots, and a request takes 71 s at most.
    let round = Duration::from_secs(71 * 5 * 7 / 4);
    let longest = world
        .served
        .iter()
        .flat_map(|user| &user.waits)
        .max()
        .unwrap();
    assert!(*longest <= 2 * round, "{longest:?}");
}

#[test]
fn idle_time_is_not_saved_up() {
    let mut desk = Desk::new(slots(1));
    desk.ask("ana");
    for _ in 0..360 {
        desk.ask("ana");
        desk.end(10);
    }
    let mut served = 0;
    desk.ask("ana");
    desk.ask("bob");
    desk.ask("bob");
    for _ in 0..20 {
        let next = if desk.running() == ["ana"] {
            "ana"
        } else {
            "bob"
        };
        desk.ask(next);
        served += u32::from(desk.end(10) == "bob");
    }
    assert!((9..=11).contains(&served), "bob had {served} of 20");
}

#[test]
fn who_comes_while_nobody_is_there_stands_where_the_last_one_stood() {
    for (ana, bob) in [("ana", "bob"), ("red/ana", "red/bob")] {
        let mut desk = Desk::new(slots(1));
        for _ in 0..30 {
            desk.ask(ana);
            desk.end(10);
        }
        for _ in 0..7 {
            desk.ask(bob);
            desk.ask(ana);
        }
        let served: Vec<_> = (0..8).map(|_| desk.end(10)).collect();
        let of_ana = served.iter().filter(|name| **name == ana).count();
        assert!((3..=5).contains(&of_ana), "{served:?}");
    }
}

#[test]
fn who_runs_is_charged_while_they_run() {
    let mut desk = Desk::new(slots(1));
    desk.ask("ana");
    desk.pass(60);
    let recent = desk.recent("ana");
    assert!(
        (Duration::from_secs(55)..=Duration::from_mins(1)).contains(&recent),
        "{recent:?}"
    );
}

#[test]
fn who_had_less_comes_first_however_many_requests_the_other_has() {
    let mut desk = Desk::new(slots(1));
    for _ in 0..8 {
        desk.ask("ana");
    }
    desk.end(30);
    let bob = desk.ask("bob");
    assert_eq!(desk.scheduler.position(bob, desk.now).place, 1);
    desk.end(30);
    assert_eq!(desk.running(), ["bob"]);
}

#[test]
fn slot_time_of_a_half_life_ago_counts_half() {
    let mut desk = Desk::new(slots(2));
    let ana = desk.ask("ana");
    desk.pass(60);
    desk.leave(ana);
    desk.ask("ana");
    let before = desk.recent("ana");
    desk.pass(10);
    let first = desk.end(0);
    assert_eq!(first, "ana");
    desk.pass(290);
    desk.ask("ana");
    let after = desk.recent("ana");
    let part = after.as_secs_f64() / before.as_secs_f64();
    // The request that runs is charged with what is expected of it.
    assert!((0.45..0.75).contains(&part), "{before:?} {after:?}");
}

#[test]
fn after_a_month_of_nothing_everybody_begins_anew() {
    let mut desk = Desk::new(slots(1));
    desk.ask("ana");
    desk.end(1_000);
    desk.ask("bob");
    desk.end(10);
    desk.pass(30 * 86_400);
    assert_eq!(desk.recent("ana"), Duration::ZERO);
    for _ in 0..3 {
        desk.ask("ana");
        desk.ask("bob");
    }
    let served: Vec<_> = (0..6).map(|_| desk.end(10)).collect();
    assert_eq!(served.iter().filter(|name| **name == "ana").count(), 3);
    assert!(served.starts_with(&["ana", "ana", "bob"]), "{served:?}");
}

#[test]
fn the_last_of_four_slots_is_for_who_has_none() {
    let mut desk = Desk::new(slots(4));
    for _ in 0..6 {
        desk.ask("ana");
    }
    assert_eq!(desk.running(), ["ana", "ana", "ana"]);
    desk.ask("bob");
    assert_eq!(desk.running(), ["ana", "ana", "ana", "bob"]);
}

#[test]
fn who_has_their_share_comes_after_all_who_have_less() {
    let mut desk = Desk::new(slots(8));
    for _ in 0..9 {
        desk.ask("ana");
    }
    assert_eq!(
        desk.running().len(),
        7,
        "alone, all but the one that is kept"
    );
    for _ in 0..4 {
        desk.ask("bob");
    }
    // Ana's ends early, so less of her time counts than of his; but of eight, two are a share.
    desk.end(1);
    assert_eq!(desk.running()[6..], ["bob", "bob"]);
    desk.end(1);
    assert_eq!(desk.running()[5..], ["bob", "bob", "ana"]);
}

#[test]
fn nobody_has_more_slots_than_the_limit_even_alone() {
    let mut desk = Desk::new(QueueSettings {
        concurrency: NonZeroU32::new(2),
        ..slots(16)
    });
    let tickets: Vec<_> = (0..5).map(|_| desk.ask("ana")).collect();
    assert_eq!(desk.running().len(), 2);
    // Ten seconds is what a request is expected to take before any has ended.
    let last = desk.scheduler.position(tickets[4], desk.now);
    assert_eq!((last.place, last.eta), (3, Duration::from_secs(15)));
}

#[test]
fn a_model_s_limit_is_below_its_slots() {
    let mut desk = Desk::new(QueueSettings {
        model_concurrency: [(ModelName::new("m"), NonZeroU32::new(3).unwrap())].into(),
        ..slots(16)
    });
    for user in ["ana", "bob", "cid", "dan"] {
        desk.ask(user);
    }
    desk.scheduler.set_slots(&ModelName::new("m"), 12);
    assert_eq!(desk.running(), ["ana", "bob", "cid"]);
    assert_eq!(desk.scheduler.status(desk.now).models[0].slots, 3);
}

#[test]
fn with_fewer_slots_nobody_is_cut_and_nobody_starts() {
    let mut desk = Desk::new(slots(3));
    for user in ["ana", "bob", "cid", "dan", "eva"] {
        desk.ask(user);
    }
    desk.scheduler.set_slots(&ModelName::new("m"), 1);
    desk.end(1);
    desk.end(1);
    assert_eq!(desk.running(), ["cid"]);
    desk.end(1);
    assert_eq!(desk.running(), ["dan"]);
    desk.scheduler.set_slots(&ModelName::new("m"), 2);
    desk.ask("fay");
    assert_eq!(desk.running(), ["dan", "eva"]);
}

#[test]
fn who_needs_all_slots_gets_them_while_others_keep_coming() {
    let mut desk = Desk::new(slots(4));
    let small = ["ana", "bob", "cid", "dan", "eva", "fay"];
    for user in small {
        desk.ask(user);
    }
    desk.ask_wide("m", "wim", 4);
    let mut ended = 0;
    while !desk.running().contains(&"wim") {
        let user = desk.end(10);
        desk.ask(user);
        ended += 1;
        assert!(ended < 20, "wim waits for ever");
    }
    assert_eq!(desk.running(), ["wim"]);
    desk.end(10);
    assert_eq!(desk.running().len(), 4);
}

#[test]
fn who_keeps_slots_free_and_leaves_has_paid_for_them() {
    let mut desk = Desk::new(slots(2));
    desk.ask("ana");
    let wim = desk.ask_wide("m", "wim", 2);
    assert_eq!(desk.running(), ["ana"]);
    desk.pass(30);
    desk.leave(wim);
    desk.ask("wim");
    // Twice 30 s of two slots, less what has been forgotten since; and the expected 10 s.
    assert!(
        desk.recent("wim") > Duration::from_mins(1),
        "{:?}",
        desk.recent("wim")
    );
}

#[test]
fn more_slots_than_there_are_will_never_be_given() {
    let mut desk = Desk::new(slots(4));
    let busy = desk.try_ask("m", "ana", 5).unwrap_err();
    assert_eq!((busy.kind, busy.slots), (BusyKind::TooWide, 4));
    desk.ask_wide("m", "ana", 4);
    desk.ask_wide("m", "bob", 4);
    // Three are left of four: it takes all there are.
    desk.scheduler.set_slots(&ModelName::new("m"), 3);
    desk.end(1);
    assert_eq!(desk.running(), ["bob"]);
}

#[test]
fn one_user_s_requests_do_not_fill_the_line() {
    let mut desk = Desk::new(QueueSettings {
        waiting_max: 10,
        ..slots(1)
    });
    for _ in 0..9 {
        desk.ask("ana");
    }
    let busy = desk.try_ask("m", "ana", 1).unwrap_err();
    assert_eq!((busy.kind, busy.waiting), (BusyKind::TooManyOfYours, 8));
    assert_eq!(
        busy.eta,
        Duration::from_secs(10),
        "when the first of them starts"
    );
    desk.ask("bob");
    desk.ask("cid");
    let busy = desk.try_ask("m", "dan", 1).unwrap_err();
    assert_eq!((busy.kind, busy.waiting), (BusyKind::Full, 10));
}

#[test]
fn a_slot_goes_to_the_conversation_that_it_remembers_if_others_lose_little() {
    let mut desk = Desk::new(slots(1));
    desk.ask("ana");
    desk.ask("bob");
    desk.ask("ana");
    // Ana had five seconds more, less than a request is expected to take: her prompt is still there.
    assert_eq!(desk.end(15), "ana");
    assert_eq!(desk.running(), ["ana"]);
    desk.ask("ana");
    assert_eq!(desk.end(15), "ana");
    assert_eq!(desk.running(), ["bob"], "twice is too much");
}

#[test]
fn a_conversation_is_known_by_its_number_and_not_by_its_user() {
    for (number, is_ana) in [(1, true), (2, false)] {
        let mut desk = Desk::new(slots(1));
        let first = desk.talk("ana", 1);
        desk.talk("bob", 7);
        desk.talk("ana", number);
        desk.pass(15);
        desk.leave(first);
        assert_eq!(desk.running() == ["ana"], is_ana);
    }
}

#[test]
fn a_place_says_how_many_are_served_before_and_how_long_that_takes() {
    let mut desk = Desk::new(slots(2));
    for user in ["ana", "bob", "cid", "dan", "eva"] {
        desk.ask(user);
    }
    let fay = desk.ask("fay");
    let position = desk.scheduler.position(fay, desk.now);
    assert_eq!((position.place, position.eta), (4, Duration::from_secs(20)));
    desk.end(2);
    let position = desk.scheduler.position(fay, desk.now);
    assert_eq!(position.place, 3);
    desk.leave(fay);
    assert_eq!(desk.scheduler.position(fay, desk.now).place, 0);
}
