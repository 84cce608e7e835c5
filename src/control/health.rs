//! How each part is, as last seen by whoever uses it.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::control::Control;
use crate::domain::health::Health;

/// The health of each part, by its name.
pub type HealthReport = Vec<(&'static str, Health)>;

/// The stable codes of what can be wrong.
pub(super) mod code {
    pub(in crate::control) const RUNTIME_DOWN: &str = "THN-RUNTIME-01";
    pub(in crate::control) const RUNTIME_REFUSED: &str = "THN-RUNTIME-02";
    pub(in crate::control) const RUNTIME_UNKNOWN_CONTAINER: &str = "THN-RUNTIME-03";
    pub(in crate::control) const STORE_FAILED: &str = "THN-STORE-01";
}

#[derive(Debug, Default)]
pub(super) struct Board(Mutex<BTreeMap<&'static str, Health>>);

impl Board {
    /// Says whether that is news, so that the log has one line per change and not one per look.
    pub(super) fn set(&self, part: &'static str, health: Health) -> bool {
        let before = self.0.lock().insert(part, health.clone());
        before.as_ref() != Some(&health)
    }
}

impl Control {
    /// How the store, the runtime and the listeners are.
    pub fn health(&self) -> HealthReport {
        self.health
            .0
            .lock()
            .iter()
            .map(|(part, health)| (*part, health.clone()))
            .collect()
    }

    /// What keeps the runtime from starting anything, in words.
    pub(super) fn runtime_trouble(&self) -> Option<String> {
        match self.health.0.lock().get("runtime") {
            Some(Health::Degraded { code, message }) if code != code::RUNTIME_UNKNOWN_CONTAINER => {
                Some(message.clone())
            }
            _ => None,
        }
    }

    /// Notes how a part is; a change goes to the log once.
    pub fn report(&self, part: &'static str, health: Health) {
        let words = match &health {
            Health::Ok => None,
            Health::Degraded { code, message } => Some(format!("{code}: {message}")),
        };
        if self.health.set(part, health) {
            match words {
                None => tracing::info!(part, "health is ok"),
                Some(words) => tracing::warn!(part, "health is degraded: {words}"),
            }
        }
    }
}
