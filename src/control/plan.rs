//! Pure: what is wanted and what is there, to what to do next.
//!
//! One step at a time: whatever is done, the next round looks again. So a crash, a reboot, a
//! container removed by hand and a click are one path.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::id::InstanceId;
use crate::domain::instance::{Container, ContainerState, Desired, Instance, Observed, Phase};

/// The next step for one instance. Each can be repeated without harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
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
            Self::BringUp(instance)
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
    /// When to look again although nothing happened, because somebody waits for another attempt.
    pub retry_in: Option<Duration>,
}

/// What to do next. Instances in `busy` are being worked on and are left alone.
pub fn plan(
    desired: &[Instance],
    observed: &[Container],
    busy: &HashSet<InstanceId>,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    for instance in desired
        .iter()
        .filter(|instance| !busy.contains(&instance.id))
    {
        let containers: Vec<&Container> = observed
            .iter()
            .filter(|container| container.instance == instance.id)
            .collect();
        step(&mut plan, instance, &containers, now);
    }
    plan.unknown = observed
        .iter()
        .filter(|container| {
            !desired
                .iter()
                .any(|instance| instance.id == container.instance)
        })
        .filter(|container| !busy.contains(&container.instance))
        .map(|container| container.id.clone())
        .collect();
    plan
}

fn step(plan: &mut Plan, instance: &Instance, containers: &[&Container], now: Timestamp) {
    let stale = containers
        .iter()
        .find(|container| container.generation != instance.generation);
    let action = if let Some(stale) = stale {
        // An older generation holds the address: it goes before anything else happens.
        Some(Action::Remove(instance.clone(), stale.id.clone()))
    } else {
        let current = containers.first().copied();
        let seen = seen(instance, current, now);
        if seen != instance.observed {
            plan.seen.push((instance.clone(), seen));
        }
        next(instance, current)
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

/// What there is to do, or nothing when all is as wanted.
fn next(instance: &Instance, current: Option<&Container>) -> Option<Action> {
    match instance.desired {
        Desired::Removed => Some(match current {
            Some(container) => Action::Remove(instance.clone(), container.id.clone()),
            None => Action::Forget(instance.clone()),
        }),
        Desired::Running => run(instance, current),
        Desired::Stopped => current
            .filter(|container| is_alive(container))
            .map(|container| Action::Stop(instance.clone(), container.id.clone())),
        Desired::Paused => current
            .filter(|container| container.state == ContainerState::Running)
            .map(|container| Action::Pause(instance.clone(), container.id.clone())),
    }
}

fn run(instance: &Instance, current: Option<&Container>) -> Option<Action> {
    let is_up = current.is_some_and(|container| {
        container.state == ContainerState::Running
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
fn seen(instance: &Instance, current: Option<&Container>, now: Timestamp) -> Observed {
    let before = &instance.observed;
    let (phase, reason) = match current.map(|container| &container.state) {
        None => absent(instance),
        Some(ContainerState::Running) if before.phase == Phase::Ready => (Phase::Ready, None),
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
    };
    if phase == before.phase && reason == before.reason {
        return before.clone();
    }
    Observed {
        phase,
        reason,
        since: now,
        ..before.clone()
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
