//! Pure: what is wanted and what is there, to what to do next.
//!
//! One step at a time: whatever is done, the next round looks again. So a crash, a reboot, a
//! container removed by hand and a click are one path.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::id::InstanceId;
use crate::domain::instance::{Container, ContainerState, Desired, Instance, Observed, Phase};
use crate::domain::network::Subnet;

/// The next step for one instance. Each can be repeated without harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// There is a container of a later generation than the record's, which is older than Docker:
    /// restored from a copy, for example. The record follows.
    Adopt(Instance, Container),
    /// Create if needed, start if needed, wait until the editor answers.
    BringUp(Instance),
    /// The container is gone: a new generation is written down, to be brought up next.
    Replace(Instance),
    Pause(Instance, String),
    /// Stop, and bring up again.
    Restart(Instance, String),
    Stop(Instance, String),
    /// A container that nobody wants any more; its volumes stay.
    Remove(Instance, String),
    /// Nothing is left of an instance that was to be removed: the record goes.
    Forget(Instance),
}

impl Action {
    pub fn instance(&self) -> &Instance {
        match self {
            Self::Adopt(instance, _)
            | Self::BringUp(instance)
            | Self::Replace(instance)
            | Self::Pause(instance, _)
            | Self::Restart(instance, _)
            | Self::Stop(instance, _)
            | Self::Remove(instance, _)
            | Self::Forget(instance) => instance,
        }
    }
}

/// What one look at the world asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// What was seen and is not yet written down.
    pub seen: Vec<(Instance, Observed)>,
    /// Containers with our label and no record: left alone and reported.
    pub unknown: Vec<String>,
    /// Instances whose addresses are outside of today's range.
    pub out_of_range: usize,
    /// When to look again although nothing happened, because somebody waits for another attempt.
    pub retry_in: Option<Duration>,
}

/// What is there, as far as anybody knows.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    pub containers: &'a [Container],
    /// Instances that are being worked on: they are left alone.
    pub busy: &'a HashSet<InstanceId>,
    /// Containers that ended since the last look. One that runs again has a new editor, which has
    /// not answered yet.
    pub ended: &'a HashSet<String>,
    /// Where addresses are to be.
    pub subnet: Subnet,
}

/// What to do next.
pub fn plan(desired: &[impl Borrow<Instance>], sight: Sight<'_>, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut containers: HashMap<&InstanceId, Vec<&Container>> = HashMap::new();
    for container in sight.containers {
        let of_instance = containers.entry(&container.instance).or_default();
        of_instance.push(container);
    }
    for instance in desired.iter().map(Borrow::borrow) {
        let there = containers.remove(&instance.id).unwrap_or_default();
        plan.out_of_range += usize::from(!sight.subnet.contains(instance.address.into()));
        if !sight.busy.contains(&instance.id) {
            step(&mut plan, instance, &there, sight, now);
        }
    }
    let mut unknown: Vec<String> = containers
        .into_iter()
        .filter(|(instance, _)| !sight.busy.contains(instance))
        .flat_map(|(_, containers)| containers)
        .map(|container| container.id.clone())
        .collect();
    unknown.sort();
    plan.unknown = unknown;
    plan
}

fn step(
    plan: &mut Plan,
    instance: &Instance,
    containers: &[&Container],
    sight: Sight<'_>,
    now: Timestamp,
) {
    let newest = containers
        .iter()
        .max_by_key(|container| container.generation);
    let stale = containers
        .iter()
        .find(|container| container.generation < instance.generation);
    let action = match (newest, stale) {
        (Some(newest), _) if newest.generation > instance.generation => {
            Some(Action::Adopt(instance.clone(), (*newest).clone()))
        }
        // An older generation holds the address: it goes before anything else happens.
        (_, Some(stale)) => Some(Action::Remove(instance.clone(), stale.id.clone())),
        _ => {
            let current = containers.first().copied();
            let (seen, action) = current_step(instance, current, sight, now);
            if seen != instance.observed {
                plan.seen.push((instance.clone(), seen));
            }
            action
        }
    };
    let Some(action) = action else {
        return;
    };
    match wait(&instance.observed, now) {
        None => plan.actions.push(action),
        Some(wait) => {
            plan.retry_in = Some(plan.retry_in.map_or(wait, |earlier| earlier.min(wait)));
        }
    }
}

/// What is seen of this generation, and what to do about it.
fn current_step(
    instance: &Instance,
    current: Option<&Container>,
    sight: Sight<'_>,
    now: Timestamp,
) -> (Observed, Option<Action>) {
    let has_ended = current.is_some_and(|container| sight.ended.contains(&container.id));
    let (mut phase, mut reason) = seen(instance, current, has_ended);
    let mut action = next(instance, current, has_ended);
    if !sight.subnet.contains(instance.address.into()) && instance.desired == Desired::Running {
        // One that runs goes on; whatever has to be started cannot be at this address.
        if action.take().is_some() {
            phase = Phase::Failed;
        }
        reason = Some(out_of_range(instance, sight.subnet));
    }
    let before = &instance.observed;
    if phase == before.phase && reason == before.reason {
        return (before.clone(), action);
    }
    let seen = Observed {
        phase,
        reason,
        since: now,
        ..before.clone()
    };
    (seen, action)
}

fn out_of_range(instance: &Instance, subnet: Subnet) -> String {
    format!(
        "its address {} is outside of {subnet}, which is sandbox.subnet now: `thon instances recreate {}` gives it another one, with the same files",
        instance.address, instance.owner
    )
}

/// What there is to do, or nothing when all is as wanted.
fn next(instance: &Instance, current: Option<&Container>, has_ended: bool) -> Option<Action> {
    match instance.desired {
        Desired::Removed => Some(match current {
            Some(container) => Action::Remove(instance.clone(), container.id.clone()),
            None => Action::Forget(instance.clone()),
        }),
        Desired::Running => run(instance, current, has_ended),
        Desired::Stopped => current
            .filter(|container| is_alive(container))
            .map(|container| Action::Stop(instance.clone(), container.id.clone())),
        Desired::Paused => current
            .filter(|container| container.state == ContainerState::Running)
            .map(|container| Action::Pause(instance.clone(), container.id.clone())),
    }
}

fn run(instance: &Instance, current: Option<&Container>, has_ended: bool) -> Option<Action> {
    let is_up = current.is_some_and(|container| {
        !has_ended
            && container.state == ContainerState::Running
            && instance.observed.phase == Phase::Ready
            && instance.observed.container.as_deref() == Some(&container.id)
            && instance.observed.endpoint == container.endpoint
    });
    if is_up && !instance.restart {
        return None;
    }
    Some(match current {
        Some(container) if instance.restart && is_alive(container) => {
            Action::Restart(instance.clone(), container.id.clone())
        }
        None if instance.observed.container.is_some() => Action::Replace(instance.clone()),
        _ => Action::BringUp(instance.clone()),
    })
}

fn is_alive(container: &Container) -> bool {
    match &container.state {
        ContainerState::Running | ContainerState::Paused => true,
        // The runtime starts an editor again that ends at once; only a stop makes an end of it.
        ContainerState::Other(word) => word == "restarting",
        ContainerState::Created | ContainerState::Exited { .. } => false,
    }
}

/// What the list says about an instance, in the words of the record. `Ready` is never concluded
/// from a list: only an answer of the editor is `Ready`.
fn seen(
    instance: &Instance,
    current: Option<&Container>,
    has_ended: bool,
) -> (Phase, Option<String>) {
    let before = &instance.observed;
    match current.map(|container| &container.state) {
        None => absent(instance),
        Some(ContainerState::Running) if before.phase == Phase::Ready && !has_ended => {
            (Phase::Ready, None)
        }
        Some(ContainerState::Paused) => (Phase::Paused, before.reason.clone()),
        Some(ContainerState::Exited {
            code,
            out_of_memory,
        }) => exited(instance, *code, *out_of_memory),
        Some(ContainerState::Created) if instance.desired != Desired::Running => {
            (Phase::Stopped, None)
        }
        // A failed attempt keeps its reason on display until the next one succeeds.
        Some(_) if before.phase == Phase::Failed => (Phase::Failed, before.reason.clone()),
        Some(_) => (Phase::Starting, before.reason.clone()),
    }
}

fn absent(instance: &Instance) -> (Phase, Option<String>) {
    let before = &instance.observed;
    match (instance.desired, before.phase) {
        (Desired::Running, Phase::Failed) => (Phase::Failed, before.reason.clone()),
        (Desired::Running, _) if before.container.is_some() => (
            Phase::Pending,
            Some("its container is gone; a new one gets the same files".to_owned()),
        ),
        (Desired::Running, _) => (Phase::Pending, before.reason.clone()),
        _ => (Phase::Stopped, None),
    }
}

/// An end is worth a word only if nobody asked for it: who starts a stopped instance finds it ended
/// and has it brought up.
fn exited(instance: &Instance, code: i64, out_of_memory: bool) -> (Phase, Option<String>) {
    let before = &instance.observed;
    match (instance.desired, before.phase) {
        (Desired::Running, Phase::Failed) => (Phase::Failed, before.reason.clone()),
        (Desired::Running, _) if out_of_memory => (
            Phase::Failed,
            Some("the editor ran out of memory and is started again".to_owned()),
        ),
        (Desired::Running, Phase::Ready) => (
            Phase::Failed,
            Some(format!(
                "the editor ended with code {code} and is started again"
            )),
        ),
        (Desired::Running, _) => (Phase::Starting, before.reason.clone()),
        _ => (Phase::Stopped, None),
    }
}

/// How long to wait before the next attempt: 1, 2, 4 … 60 seconds after a failure.
fn wait(observed: &Observed, now: Timestamp) -> Option<Duration> {
    let exponent = observed.failures.checked_sub(1)?.min(6);
    let backoff = SignedDuration::from_secs((1_i64 << exponent).min(60));
    // A clock that was set back must not keep anybody waiting for longer than the longest pause.
    let waited = now.duration_since(observed.since).abs();
    Duration::try_from(backoff - waited)
        .ok()
        .filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests;
