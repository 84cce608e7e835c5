//! Writes down what was seen of an instance, and what an action came to.

use jiff::Timestamp;

use crate::control::{Control, Error};
use crate::domain::instance::{Instance, Observed, Phase};
use crate::store::{Change, StoreError};

impl Control {
    pub(super) async fn saw(
        &self,
        instance: &Instance,
        phase: Phase,
        reason: Option<String>,
    ) -> Result<(), Error> {
        let seen = Observed {
            phase,
            reason,
            failures: 0,
            since: Timestamp::now(),
            ..instance.observed.clone()
        };
        self.observe(instance, seen).await
    }

    pub(super) async fn note_failure(
        &self,
        instance: &Instance,
        error: &Error,
    ) -> Result<(), Error> {
        let key = instance.owner.to_string();
        let current = self
            .reading(move |view| Ok(view.get::<Instance>(&key)?))
            .await?;
        // That something failed which nobody wants any more is no news.
        let Some(current) = current.filter(|current| current.desired == instance.desired) else {
            return Ok(());
        };
        let before = current.observed;
        // What will not work the next second either has a longer pause from the first failure on.
        let failures = match error {
            Error::Unavailable(_) => before.failures.saturating_add(1),
            _ => before.failures.saturating_add(1).max(3),
        };
        let seen = Observed {
            phase: Phase::Failed,
            reason: Some(error.to_string()),
            failures,
            since: Timestamp::now(),
            ..before
        };
        self.observe(instance, seen).await
    }

    pub(super) async fn observe(&self, instance: &Instance, seen: Observed) -> Result<(), Error> {
        let instance = instance.clone();
        self.note(move |tx| put_observed(tx, &instance, &seen))
            .await
    }
}

/// Writes an observation into the record, unless the record has moved on to another generation.
fn put_observed(tx: &Change, instance: &Instance, seen: &Observed) -> Result<(), StoreError> {
    if let Some(mut current) = same_generation(tx, instance)? {
        current.observed = seen.clone();
        // It answers: what was asked for before this attempt has happened, and nothing later.
        if instance.restart && seen.phase == Phase::Ready {
            current.restart = false;
        }
        tx.put(&current.owner.to_string(), &current)?;
    }
    Ok(())
}

/// Writes what a listing says. Everything else in the record may be newer than the listing.
pub(super) fn put_seen(
    tx: &Change,
    instance: &Instance,
    seen: &Observed,
) -> Result<(), StoreError> {
    if let Some(mut current) = same_generation(tx, instance)? {
        current.observed.phase = seen.phase;
        current.observed.reason.clone_from(&seen.reason);
        current.observed.since = seen.since;
        tx.put(&current.owner.to_string(), &current)?;
    }
    Ok(())
}

pub(super) fn same_generation(
    tx: &Change,
    instance: &Instance,
) -> Result<Option<Instance>, StoreError> {
    let current = tx.get::<Instance>(&instance.owner.to_string())?;
    Ok(current
        .filter(|current| current.id == instance.id && current.generation == instance.generation))
}

pub(super) fn overtaken(instance: &Instance) -> Error {
    Error::Conflict(format!(
        "the instance of {} was changed meanwhile",
        instance.owner
    ))
}
