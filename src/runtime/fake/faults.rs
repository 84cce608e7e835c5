//! What is to go wrong, and what was done so far.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::runtime::RuntimeError;

/// A method of the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Create,
    HasVolume,
    List,
    Logs,
    Pause,
    Prepare,
    Probe,
    Remove,
    Start,
    Stop,
    Unpause,
}

/// A moment at which a process can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Called, and nothing done.
    Before(Operation),
    /// In `create`: there are volumes and no container.
    VolumesMade,
    /// In `create`: there is a container without its files.
    ContainerMade,
    /// Done, and not yet told to the caller.
    After(Operation),
}

impl Step {
    /// Every moment in the life of an instance that leaves something half done.
    pub const ALL: [Self; 13] = [
        Self::Before(Operation::Create),
        Self::VolumesMade,
        Self::ContainerMade,
        Self::After(Operation::Create),
        Self::Before(Operation::Start),
        Self::After(Operation::Start),
        Self::Before(Operation::Stop),
        Self::After(Operation::Stop),
        Self::Before(Operation::Remove),
        Self::After(Operation::Remove),
        Self::After(Operation::Pause),
        Self::After(Operation::Unpause),
        Self::Before(Operation::Probe),
    ];
}

#[derive(Default)]
pub(super) struct Faults {
    pub(super) down: bool,
    pub(super) kill_at: Option<Step>,
    pub(super) performed: Vec<(Operation, String)>,
    next: HashMap<Operation, VecDeque<RuntimeError>>,
    delays: HashMap<Operation, Duration>,
}

impl Faults {
    pub(super) fn fail_next(&mut self, operation: Operation, error: RuntimeError) {
        self.next.entry(operation).or_default().push_back(error);
    }

    pub(super) fn delay(&mut self, operation: Operation, duration: Duration) {
        self.delays.insert(operation, duration);
    }

    pub(super) fn delay_of(&self, operation: Operation) -> Option<Duration> {
        self.delays.get(&operation).copied()
    }

    pub(super) fn reached(&mut self, step: Step) -> bool {
        let reached = self.kill_at == Some(step);
        if reached {
            self.kill_at = None;
        }
        reached
    }

    pub(super) fn enter(&mut self, operation: Operation, target: &str) -> Result<(), RuntimeError> {
        if self.down {
            return Err(RuntimeError::Unavailable("it is down".to_owned()));
        }
        if let Some(error) = self.next.get_mut(&operation).and_then(VecDeque::pop_front) {
            return Err(error);
        }
        self.performed.push((operation, target.to_owned()));
        Ok(())
    }
}
