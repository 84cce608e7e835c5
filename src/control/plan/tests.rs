//! The table of what is wanted, what is there, and what is done about it.

use super::*;
use crate::domain::instance::Access;

const ID: &str = "00000000000000aa";

fn instance(desired: Desired, phase: Phase) -> Instance {
    let now = Timestamp::UNIX_EPOCH;
    let made = !matches!(phase, Phase::Pending);
    Instance {
        id: ID.parse().unwrap(),
        owner: "red/alice".parse().unwrap(),
        desired,
        restart: false,
        access: Access::Owner,
        image: "image".into(),
        workspace: "00000000000000bb".parse().unwrap(),
        address: "10.0.0.2".parse().unwrap(),
        generation: 2,
        observed: Observed {
            phase,
            container: made.then(|| "c2".to_owned()),
            endpoint: (phase == Phase::Ready).then(endpoint),
            ..Observed::pending(now)
        },
        created_at: now,
    }
}

fn endpoint() -> std::net::SocketAddr {
    "10.0.0.2:8443".parse().unwrap()
}

fn container(state: ContainerState) -> Container {
    let endpoint = (state == ContainerState::Running).then(endpoint);
    Container {
        id: "c2".into(),
        instance: ID.parse().unwrap(),
        generation: 2,
        state,
        endpoint,
    }
}

fn exited(out_of_memory: bool) -> ContainerState {
    ContainerState::Exited {
        code: 137,
        out_of_memory,
    }
}

fn plan_of(desired: &[Instance], containers: &[Container], now: Timestamp) -> Plan {
    plan_busy(desired, containers, &HashSet::new(), now)
}

fn plan_busy(
    desired: &[Instance],
    containers: &[Container],
    busy: &HashSet<InstanceId>,
    now: Timestamp,
) -> Plan {
    let sight = Sight {
        containers,
        busy,
        ended: &HashSet::new(),
        subnet: "10.0.0.0/24".parse().unwrap(),
    };
    plan(desired, sight, now)
}

/// One word per action.
fn actions(instance: &Instance, containers: &[Container]) -> Vec<&'static str> {
    let plan = plan_of(
        std::slice::from_ref(instance),
        containers,
        Timestamp::UNIX_EPOCH,
    );
    plan.actions
        .iter()
        .map(|action| match action {
            Action::Adopt(..) => "adopt",
            Action::BringUp(_) => "bring up",
            Action::Replace(_) => "replace",
            Action::Pause(..) => "pause",
            Action::Restart(..) => "restart",
            Action::Stop(..) => "stop",
            Action::Remove(..) => "remove",
            Action::Forget(_) => "forget",
        })
        .collect()
}

fn seen(instance: &Instance, containers: &[Container]) -> Observed {
    let plan = plan_of(
        std::slice::from_ref(instance),
        containers,
        Timestamp::UNIX_EPOCH,
    );
    plan.seen
        .first()
        .map_or_else(|| instance.observed.clone(), |(_, seen)| seen.clone())
}

#[test]
fn each_pair_of_wanted_and_seen_has_its_next_step() {
    use ContainerState::{Created, Paused, Running};
    let table: &[(Desired, Phase, Option<ContainerState>, &[&str])] = &[
        (Desired::Running, Phase::Pending, None, &["bring up"]),
        (Desired::Running, Phase::Starting, None, &["replace"]),
        (Desired::Running, Phase::Ready, None, &["replace"]),
        (
            Desired::Running,
            Phase::Pending,
            Some(Created),
            &["bring up"],
        ),
        (
            Desired::Running,
            Phase::Starting,
            Some(Running),
            &["bring up"],
        ),
        (Desired::Running, Phase::Ready, Some(Running), &[]),
        (Desired::Running, Phase::Paused, Some(Paused), &["bring up"]),
        (
            Desired::Running,
            Phase::Ready,
            Some(exited(false)),
            &["bring up"],
        ),
        (Desired::Stopped, Phase::Ready, Some(Running), &["stop"]),
        (Desired::Stopped, Phase::Paused, Some(Paused), &["stop"]),
        (Desired::Stopped, Phase::Stopped, Some(exited(false)), &[]),
        (Desired::Stopped, Phase::Pending, None, &[]),
        (
            Desired::Stopped,
            Phase::Starting,
            Some(ContainerState::Other("restarting".to_owned())),
            &["stop"],
        ),
        (Desired::Paused, Phase::Ready, Some(Running), &["pause"]),
        (Desired::Paused, Phase::Paused, Some(Paused), &[]),
        (Desired::Paused, Phase::Stopped, Some(exited(false)), &[]),
        (Desired::Removed, Phase::Ready, Some(Running), &["remove"]),
        (
            Desired::Removed,
            Phase::Stopped,
            Some(exited(false)),
            &["remove"],
        ),
        (Desired::Removed, Phase::Stopped, None, &["forget"]),
    ];
    for (desired, phase, state, expected) in table {
        let containers: Vec<Container> = state.iter().cloned().map(container).collect();
        let found = actions(&instance(*desired, *phase), &containers);
        assert_eq!(&found, expected, "{desired:?} {phase:?} {state:?}");
    }
}

#[test]
fn an_older_generation_goes_before_the_new_one_is_made() {
    let stale = Container {
        id: "c1".into(),
        generation: 1,
        ..container(ContainerState::Running)
    };
    assert_eq!(
        actions(&instance(Desired::Running, Phase::Pending), &[stale]),
        ["remove"]
    );
}

#[test]
fn an_instance_that_is_being_worked_on_is_left_alone() {
    let busy = HashSet::from([ID.parse().unwrap()]);
    let plan = plan_busy(
        &[instance(Desired::Running, Phase::Pending)],
        &[],
        &busy,
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(plan, Plan::default());
}

#[test]
fn a_container_without_a_record_is_reported_and_never_touched() {
    let plan = plan_of(
        &[],
        &[container(ContainerState::Running)],
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(plan.actions, []);
    assert_eq!(plan.unknown, ["c2"]);
}

#[test]
fn a_list_alone_never_makes_anybody_ready() {
    let starting = instance(Desired::Running, Phase::Starting);
    assert_eq!(
        seen(&starting, &[container(ContainerState::Running)]).phase,
        Phase::Starting
    );
}

#[test]
fn a_paused_instance_that_was_resumed_by_hand_is_asked_again_before_it_serves() {
    let paused = instance(Desired::Running, Phase::Paused);
    assert_eq!(
        seen(&paused, &[container(ContainerState::Running)]).phase,
        Phase::Starting
    );
}

#[test]
fn out_of_memory_is_said_in_words() {
    let ready = instance(Desired::Running, Phase::Ready);
    let seen = seen(&ready, &[container(exited(true))]);
    assert_eq!(seen.phase, Phase::Failed);
    assert!(seen.reason.unwrap().contains("out of memory"));
}

#[test]
fn starting_what_was_stopped_is_no_failure() {
    let stopped = instance(Desired::Running, Phase::Stopped);
    assert_eq!(
        seen(&stopped, &[container(exited(false))]).phase,
        Phase::Starting
    );
    let ready = instance(Desired::Running, Phase::Ready);
    assert_eq!(
        seen(&ready, &[container(exited(false))]).phase,
        Phase::Failed
    );
}

#[test]
fn a_restart_ends_a_living_editor_once() {
    let mut ready = instance(Desired::Running, Phase::Ready);
    ready.restart = true;
    assert_eq!(
        actions(&ready, &[container(ContainerState::Running)]),
        ["restart"]
    );
    assert_eq!(
        actions(&ready, &[container(ContainerState::Paused)]),
        ["restart"]
    );
    assert_eq!(actions(&ready, &[container(exited(false))]), ["bring up"]);
}

#[test]
fn attempts_grow_apart_and_the_loop_is_told_when_to_look_again() {
    let mut failed = instance(Desired::Running, Phase::Failed);
    failed.observed.failures = 3;
    let at = |seconds| {
        let now = Timestamp::from_second(seconds).unwrap();
        let plan = plan_of(std::slice::from_ref(&failed), &[], now);
        (plan.actions.len(), plan.retry_in)
    };
    assert_eq!(at(1), (0, Some(Duration::from_secs(3))));
    assert_eq!(at(4), (1, None));
    failed.observed.failures = 40;
    let now = Timestamp::from_second(-3600).unwrap();
    let plan = plan_of(std::slice::from_ref(&failed), &[], now);
    assert_eq!(
        plan.actions.len(),
        1,
        "a clock set back an hour keeps nobody waiting"
    );
}

#[test]
fn whatever_failed_is_not_tried_again_at_once() {
    let running = [container(ContainerState::Running)];
    let stale = [Container {
        generation: 1,
        ..container(ContainerState::Running)
    }];
    for (desired, containers) in [
        (Desired::Stopped, &running[..]),
        (Desired::Paused, &running[..]),
        (Desired::Removed, &running[..]),
        (Desired::Removed, &[]),
        (Desired::Running, &stale[..]),
    ] {
        let mut failed = instance(desired, Phase::Failed);
        assert_eq!(actions(&failed, containers).len(), 1, "{desired:?}");
        failed.observed.failures = 1;
        assert_eq!(actions(&failed, containers).len(), 0, "{desired:?}");
    }
}

#[test]
fn one_that_was_made_and_never_wanted_to_run_is_not_starting() {
    for desired in [Desired::Stopped, Desired::Paused] {
        let made = instance(desired, Phase::Starting);
        let seen = seen(&made, &[container(ContainerState::Created)]);
        assert_eq!(seen.phase, Phase::Stopped, "{desired:?}");
    }
}

#[test]
fn a_plan_for_what_is_as_wanted_is_empty() {
    let ready = instance(Desired::Running, Phase::Ready);
    let plan = plan_of(
        &[ready],
        &[container(ContainerState::Running)],
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(plan, Plan::default());
}

#[test]
fn a_container_of_a_later_generation_is_adopted_and_never_removed() {
    let of = |generation: u64| Container {
        id: format!("c{generation}"),
        generation,
        ..container(ContainerState::Running)
    };
    for desired in [
        Desired::Running,
        Desired::Stopped,
        Desired::Paused,
        Desired::Removed,
    ] {
        let old = instance(desired, Phase::Ready);
        let containers = [of(1), of(2), of(7), of(4)];
        let plan = plan_of(
            std::slice::from_ref(&old),
            &containers,
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(plan.actions, [Action::Adopt(old, of(7))], "{desired:?}");
        assert_eq!(plan.seen, []);
    }
}

#[test]
fn a_container_that_ended_and_runs_again_is_asked_before_it_serves() {
    let ready = instance(Desired::Running, Phase::Ready);
    let ended = HashSet::from(["c2".to_owned()]);
    let sight = Sight {
        containers: &[container(ContainerState::Running)],
        busy: &HashSet::new(),
        ended: &ended,
        subnet: "10.0.0.0/24".parse().unwrap(),
    };
    let plan = plan(std::slice::from_ref(&ready), sight, Timestamp::UNIX_EPOCH);
    assert_eq!(plan.seen[0].1.phase, Phase::Starting);
    assert_eq!(plan.actions, [Action::BringUp(ready)]);
}

#[test]
fn outside_of_the_range_of_today_what_runs_goes_on_and_nothing_is_started() {
    let away = |phase| Instance {
        address: "10.9.0.2".parse().unwrap(),
        ..instance(Desired::Running, phase)
    };
    let running = [container(ContainerState::Running)];
    let words = "thon instances recreate red/alice";
    let ready = away(Phase::Ready);
    let seen_ready = seen(&ready, &running);
    assert_eq!(seen_ready.phase, Phase::Ready);
    assert!(seen_ready.reason.unwrap().contains(words));
    for (phase, containers) in [
        (Phase::Ready, &[container(exited(false))][..]),
        (Phase::Ready, &[]),
        (Phase::Pending, &[]),
        (Phase::Starting, &running[..]),
    ] {
        let away = away(phase);
        assert_eq!(actions(&away, containers), [""; 0], "{phase:?}");
        let seen = seen(&away, containers);
        assert_eq!(seen.phase, Phase::Failed, "{phase:?}");
        assert!(seen.reason.unwrap().contains(words));
    }
    let mut stopping = away(Phase::Ready);
    stopping.desired = Desired::Stopped;
    assert_eq!(actions(&stopping, &running), ["stop"]);
}
