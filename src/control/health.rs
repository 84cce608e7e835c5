//! How each part is, as last seen by whoever uses it.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::control::Control;
use crate::domain::health::Health;
use crate::store::Unreadable;

/// As long as the longest name of a participant.
const KEY_CHARS_MAX: usize = 65;

/// The health of each part, by its name.
pub type HealthReport = Vec<(&'static str, Health)>;

/// The stable codes of what can be wrong.
pub(super) mod code {
    pub(in crate::control) const RUNTIME_DOWN: &str = "THN-RUNTIME-01";
    pub(in crate::control) const RUNTIME_REFUSED: &str = "THN-RUNTIME-02";
    pub(in crate::control) const RUNTIME_UNKNOWN_CONTAINER: &str = "THN-RUNTIME-03";
    pub(in crate::control) const RUNTIME_OTHER_RANGE: &str = "THN-RUNTIME-04";
    pub(in crate::control) const STORE_FAILED: &str = "THN-STORE-01";
    pub(in crate::control) const STORE_UNREADABLE: &str = "THN-STORE-02";
    pub(in crate::control) const CLOCK_JUMPED: &str = "THN-CLOCK-01";
    pub(in crate::control) const USAGE_LOST: &str = "THN-USAGE-01";
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

/// The first of them, so that somebody can look; the log names all.
fn unreadable(records: &[Unreadable]) -> Health {
    let Some((table, key)) = records.first() else {
        return Health::Ok;
    };
    let key: String = key.chars().take(KEY_CHARS_MAX).collect();
    Health::degraded(
        code::STORE_UNREADABLE,
        format!(
            "{} records cannot be read by this version and are left as they are, the first of them `{key}` of {table}; whoever they belong to waits",
            records.len()
        ),
    )
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
            Some(Health::Degraded { code, message })
                if code == code::RUNTIME_DOWN || code == code::RUNTIME_REFUSED =>
            {
                Some(message.clone())
            }
            _ => None,
        }
    }

    /// How the store is, after whatever was done with it.
    pub(super) fn report_store(&self) {
        let health = match self.store.trouble() {
            Some(words) => Health::degraded(code::STORE_FAILED, words),
            None => unreadable(&self.store.unreadable()),
        };
        self.report("store", health);
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
