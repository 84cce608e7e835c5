//! Performs one action on the runtime and writes down what came of it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use crate::control::instances::next_generation;
use crate::control::plan::Action;
use crate::control::reconcile::record::{overtaken, same_generation};
use crate::control::{Control, Error, lease, spec};
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::instance::{
    Container, ContainerState, Desired, Instance, InstanceSpec, Observed, Phase,
};
use crate::domain::workspace::Workspace;
use crate::runtime::RuntimeError;

/// After a failure that could not be written down.
const UNWRITTEN_PAUSE: Duration = Duration::from_secs(2);

impl Control {
    /// Does it and says whether it succeeded; a failure is on the instance's record in words, and
    /// tried again by a later plan.
    pub(super) async fn perform(&self, action: Action) -> bool {
        let instance = action.instance().clone();
        let Err(error) = self.attempt(action).await else {
            return true;
        };
        tracing::warn!(instance = %instance.id, "an action failed: {error}");
        if let Err(error) = self.note_failure(&instance, &error).await {
            tracing::error!(instance = %instance.id, "the failure was not written down: {error}");
            // No record says how long to wait for the next attempt.
            sleep(UNWRITTEN_PAUSE).await;
        }
        false
    }

    async fn attempt(&self, action: Action) -> Result<(), Error> {
        match action {
            Action::Adopt(instance, container) => self.adopt(instance, container).await,
            Action::BringUp(instance) => self.bring_up(instance).await,
            Action::Replace(instance) => self.replace(instance).await,
            Action::Pause(instance, container) => {
                self.runtime.pause(&container).await?;
                self.saw(&instance, Phase::Paused, None).await
            }
            Action::Restart(instance, container) => {
                // Not ready from here on, so that nobody takes the end for a failure.
                self.saw(&instance, Phase::Starting, None).await?;
                self.stop(&container).await?;
                self.bring_up(instance).await
            }
            Action::Stop(instance, container) => {
                self.stop(&container).await?;
                self.saw(&instance, Phase::Stopped, None).await
            }
            Action::Remove(_, container) => match self.runtime.remove(&container).await {
                Ok(()) | Err(RuntimeError::Missing) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Action::Forget(instance) => self.forget(instance).await,
        }
    }

    /// Intent before effect: the next look finds the new generation and asks for its container.
    async fn replace(&self, instance: Instance) -> Result<(), Error> {
        self.blocking(move |store| {
            let now = Timestamp::now();
            let entry =
                AuditEntry::done(now, Actor::Appliance, "instance.replace", &instance.owner);
            store.change(&entry, |tx| {
                let mut current =
                    same_generation(tx, &instance)?.ok_or_else(|| overtaken(&instance))?;
                next_generation(&mut current, now);
                Ok(tx.put(&current.owner.to_string(), &current)?)
            })
        })
        .await
    }

    /// The record is older than the runtime. The container stays as it is: its editor's password
    /// follows from the generation, which the record has from here on.
    async fn adopt(&self, instance: Instance, container: Container) -> Result<(), Error> {
        self.blocking(move |store| {
            let now = Timestamp::now();
            let entry = AuditEntry::done(now, Actor::Appliance, "instance.adopt", &instance.owner);
            store.change(&entry, |tx| {
                let mut current =
                    same_generation(tx, &instance)?.ok_or_else(|| overtaken(&instance))?;
                current.generation = container.generation;
                current.observed = Observed {
                    container: Some(container.id),
                    ..Observed::pending(now)
                };
                Ok(tx.put(&current.owner.to_string(), &current)?)
            })
        })
        .await
    }

    async fn bring_up(&self, instance: Instance) -> Result<(), Error> {
        let spec = self.spec_of(&instance).await?;
        let container = self.created(&instance, &spec).await?;
        match container.state {
            ContainerState::Running => {}
            ContainerState::Paused => self.runtime.unpause(&container.id).await?,
            _ => self.runtime.start(&container.id).await?,
        }
        let Some(ready) = self.until_ready(&instance, &container).await? else {
            return Ok(());
        };
        let seen = Observed {
            phase: Phase::Ready,
            container: Some(ready.id),
            endpoint: ready.endpoint,
            reason: None,
            failures: 0,
            since: Timestamp::now(),
        };
        self.observe(&instance, seen).await
    }

    /// The container, made if it is not there; written down before it is started, so that one which
    /// disappears later is known to have been.
    async fn created(&self, instance: &Instance, spec: &InstanceSpec) -> Result<Container, Error> {
        let container = self.runtime.create(spec).await?;
        let seen = Observed {
            phase: Phase::Starting,
            container: Some(container.id.clone()),
            endpoint: None,
            since: Timestamp::now(),
            ..instance.observed.clone()
        };
        self.observe(instance, seen).await?;
        Ok(container)
    }

    /// A paused container cannot hear that it should stop.
    async fn stop(&self, container: &str) -> Result<(), Error> {
        let paused = self.runtime.inspect(container).await?.state == ContainerState::Paused;
        if paused {
            self.runtime.unpause(container).await?;
        }
        Ok(self.runtime.stop(container).await?)
    }

    async fn spec_of(&self, instance: &Instance) -> Result<InstanceSpec, Error> {
        let key = instance.workspace.to_string();
        let workspace = self
            .reading(move |view| Ok(view.get::<Workspace>(&key)?))
            .await?;
        let workspace = workspace.ok_or_else(|| {
            Error::Internal(format!(
                "the instance of {} has no workspace record",
                instance.owner
            ))
        })?;
        Ok(spec::spec(
            instance,
            &workspace,
            &self.settings,
            &self.editor_cookie(instance),
            &self.container_key(instance),
        ))
    }

    async fn forget(&self, instance: Instance) -> Result<(), Error> {
        self.blocking(move |store| {
            let now = Timestamp::now();
            let entry = AuditEntry::done(now, Actor::Appliance, "instance.forget", &instance.owner);
            store.change(&entry, |tx| {
                // Somebody may have launched it since: then it stays.
                let current = same_generation(tx, &instance)?
                    .filter(|current| current.desired == Desired::Removed)
                    .ok_or_else(|| overtaken(&instance))?;
                tx.remove::<Instance>(&current.owner.to_string())?;
                Ok(lease::release(tx, &current, now)?)
            })
        })
        .await
    }
}
