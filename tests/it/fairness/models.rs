//! Several models on a backend that cannot hold all of them.

use std::num::NonZeroU32;

use thon::domain::model::ModelName;
use thon::limiter::queue::QueueSettings;

use super::desk::Desk;

fn holding(models: u32) -> QueueSettings {
    QueueSettings {
        slots: 1,
        loaded_max: NonZeroU32::new(models),
        ..QueueSettings::default()
    }
}

#[test]
fn requests_for_one_model_are_served_together() {
    let mut desk = Desk::new(holding(1));
    for name in ["a/one", "b/one", "c/one", "a/two", "b/two", "c/two"] {
        desk.ask_for(&name[..1], name);
    }
    let served: Vec<_> = (0..6).map(|_| desk.end(1)).collect();
    assert_eq!(
        served,
        ["a/one", "a/two", "b/one", "b/two", "c/one", "c/two"]
    );
    assert!(desk.scheduler.is_empty());
}

#[test]
fn a_model_that_always_has_requests_leaves_after_its_turn() {
    let mut desk = Desk::new(holding(1));
    desk.ask_for("a", "a/one");
    desk.pass(1_000);
    desk.ask_for("a", "a/one");
    desk.ask_for("a", "a/one");
    let bob = desk.ask_for("b", "b/one");
    // The turn is counted from when somebody else waits, and nobody is cut.
    let eta = desk.scheduler.position(bob, desk.now).eta;
    assert_eq!(eta.as_secs(), 90 + 10);
    for _ in 0..4 {
        assert_eq!(desk.end(20), "a/one");
        desk.ask_for("a", "a/one");
    }
    assert_eq!(desk.running(), ["a/one"]);
    assert_eq!(desk.end(20), "a/one");
    assert_eq!(desk.running(), ["b/one"]);
    desk.end(5);
    assert_eq!(desk.running(), ["a/one"], "and comes back");
}

#[test]
fn a_model_that_leaves_starts_nothing_more_and_stays_if_the_other_is_given_up() {
    let mut desk = Desk::new(QueueSettings {
        slots: 2,
        ..holding(1)
    });
    desk.ask_for("a", "a/one");
    let bob = desk.ask_for("b", "b/one");
    desk.ask_for("a", "a/two");
    assert_eq!(
        desk.running(),
        ["a/one"],
        "there is a slot, but the model is to leave"
    );
    desk.leave(bob);
    assert_eq!(desk.running(), ["a/one", "a/two"]);
}

#[test]
fn greater_priority_is_loaded_first_until_another_waited_for_four_turns() {
    let mut settings = holding(1);
    settings.priorities = [(ModelName::new("c"), 1)].into();
    let mut desk = Desk::new(settings);
    desk.ask_for("a", "a/one");
    desk.ask_for("b", "b/one");
    desk.ask_for("c", "c/one");
    desk.end(1);
    assert_eq!(desk.running(), ["c/one"]);
    desk.ask_for("a", "a/two");
    desk.pass(360);
    desk.ask_for("c", "c/two");
    desk.end(1);
    assert_eq!(desk.running(), ["b/one"], "before a/two, which came later");
}

#[test]
fn who_was_asked_for_and_given_up_waits_anew() {
    let mut desk = Desk::new(holding(1));
    desk.ask_for("a", "a/one");
    let bob = desk.ask_for("b", "b/one");
    desk.pass(1);
    desk.leave(bob);
    desk.ask_for("c", "c/one");
    desk.pass(1);
    desk.ask_for("b", "b/one");
    desk.end(1);
    assert_eq!(desk.running(), ["c/one"]);
}

#[test]
fn a_model_that_has_no_slots_gives_way() {
    let mut desk = Desk::new(holding(1));
    desk.scheduler.set_slots(&ModelName::new("a"), 1);
    desk.ask_for("a", "a/one");
    desk.ask_for("a", "a/two");
    let three = desk.ask_for("a", "a/three");
    desk.ask_for("b", "b/one");
    desk.scheduler.set_slots(&ModelName::new("a"), 0);
    desk.end(1);
    assert_eq!(desk.running(), ["b/one"]);
    desk.end(1);
    assert!(desk.running().is_empty());
    desk.scheduler.set_slots(&ModelName::new("a"), 1);
    desk.leave(three);
    assert_eq!(desk.running(), ["a/two"]);
}

#[test]
fn two_of_three_models_run_beside_each_other() {
    let mut desk = Desk::new(holding(2));
    for (model, name) in [
        ("a", "a/one"),
        ("b", "b/one"),
        ("c", "c/one"),
        ("b", "b/two"),
    ] {
        desk.ask_for(model, name);
    }
    assert_eq!(desk.running(), ["a/one", "b/one"]);
    desk.end(1);
    assert_eq!(desk.running(), ["b/one", "c/one"]);
    desk.end(1);
    assert_eq!(desk.running(), ["c/one", "b/two"]);
}
