//! Looking at instances, and wanting something of them.

use jiff::Timestamp;

use crate::control::{Control, Error, lease};
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::id::UserRef;
use crate::domain::instance::{Access, Desired, Instance, Observed, Phase};
use crate::domain::secret::Secret;
use crate::store::Change;

/// An instance with what only memory knows of it.
#[derive(Clone, Debug)]
pub struct InstanceStatus {
    pub instance: Instance,
    pub open_sockets: u32,
    pub last_used_at: Option<Timestamp>,
}

impl Control {
    /// Every instance, by group and user.
    pub async fn instances(&self) -> Result<Vec<InstanceStatus>, Error> {
        let instances = self.reading(|view| Ok(view.all::<Instance>()?)).await?;
        Ok(instances
            .into_iter()
            .map(|(_, instance)| self.with_activity(instance))
            .collect())
    }

    /// One participant's instance.
    pub async fn instance(&self, user: &UserRef) -> Result<InstanceStatus, Error> {
        let key = user.to_string();
        let instance = self
            .reading(move |view| Ok(view.get::<Instance>(&key)?))
            .await?;
        instance
            .map(|instance| self.with_activity(instance))
            .ok_or_else(|| Error::no_instance(user))
    }

    /// Start, stop, pause, resume (`Running`) or remove: what is wanted from now on.
    pub async fn want(
        &self,
        user: &UserRef,
        desired: Desired,
        actor: Actor,
    ) -> Result<InstanceStatus, Error> {
        let action = match desired {
            Desired::Paused => "instance.pause",
            Desired::Removed => "instance.remove",
            Desired::Running => "instance.start",
            Desired::Stopped => "instance.stop",
        };
        self.change_instance(user, actor, action, move |_, instance, _| {
            if desired != Desired::Removed {
                still_wanted(instance)?;
            }
            instance.desired = desired;
            // Whoever stops it and starts it a day later asked for no restart.
            instance.restart &= desired == Desired::Running;
            // Somebody asks: the next attempt is now and not after the pause of the last failure.
            instance.observed.failures = 0;
            Ok(())
        })
        .await
    }

    /// A new container with the same workspace and home, at a new address if the settings say another
    /// range by now.
    pub async fn recreate(&self, user: &UserRef, actor: Actor) -> Result<InstanceStatus, Error> {
        let image = self.settings.image.clone();
        let (access, subnet) = (self.settings.access, self.settings.subnet);
        let strangers = self.strangers.lock().clone();
        let edit = move |tx: &Change, instance: &mut Instance, now| {
            still_wanted(instance)?;
            instance.desired = Desired::Running;
            instance.image = image;
            instance.access = access;
            if !subnet.contains(instance.address.into()) {
                lease::exchange(tx, instance, subnet, strangers, now)?;
            }
            next_generation(instance, now);
            Ok(())
        };
        self.change_instance(user, actor, "instance.recreate", edit)
            .await
    }

    /// Stops the editor and starts it again, in the same container.
    pub async fn restart(&self, user: &UserRef, actor: Actor) -> Result<InstanceStatus, Error> {
        self.change_instance(user, actor, "instance.restart", |_, instance, _| {
            still_wanted(instance)?;
            instance.desired = Desired::Running;
            instance.restart = true;
            instance.observed.failures = 0;
            Ok(())
        })
        .await
    }

    /// The password of an instance's editor, for `access: password`.
    pub async fn editor_password(&self, user: &UserRef, actor: Actor) -> Result<Secret, Error> {
        let instance = self.instance(user).await?.instance;
        if instance.access != Access::Password {
            return Err(Error::Conflict(format!(
                "the instance of {user} has access `{}`: nobody needs a password",
                instance.access
            )));
        }
        let entry = AuditEntry::done(Timestamp::now(), actor, "instance.password.show", user);
        self.blocking(move |store| store.change(&entry, |_| Ok::<_, Error>(())))
            .await?;
        Ok(self.password(&instance))
    }

    /// The last lines that an instance printed.
    pub async fn logs(&self, user: &UserRef, lines: usize) -> Result<Vec<String>, Error> {
        let instance = self.instance(user).await?.instance;
        match instance.observed.container {
            Some(container) => Ok(self.runtime.logs(&container, lines).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Removes every instance; workspaces and home directories stay. Returns whose.
    pub async fn cleanup(&self, actor: Actor) -> Result<Vec<UserRef>, Error> {
        let owners = self
            .blocking(move |store| {
                let now = Timestamp::now();
                let entry = AuditEntry::done(now, actor, "instance.cleanup", "all");
                store.change(&entry, |tx| {
                    let mut owners = Vec::new();
                    for (key, mut instance) in tx.all::<Instance>()? {
                        instance.desired = Desired::Removed;
                        instance.observed.failures = 0;
                        tx.put(&key, &instance)?;
                        owners.push(instance.owner);
                    }
                    Ok::<_, Error>(owners)
                })
            })
            .await;
        self.nudge();
        owners
    }

    async fn change_instance(
        &self,
        user: &UserRef,
        actor: Actor,
        action: &'static str,
        edit: impl FnOnce(&Change, &mut Instance, Timestamp) -> Result<(), Error> + Send + 'static,
    ) -> Result<InstanceStatus, Error> {
        let owner = user.clone();
        let changed = self
            .blocking(move |store| {
                let now = Timestamp::now();
                let entry = AuditEntry::done(now, actor, action, &owner);
                store.change(&entry, |tx| {
                    let key = owner.to_string();
                    let mut instance = tx
                        .get::<Instance>(&key)?
                        .ok_or_else(|| Error::no_instance(&owner))?;
                    edit(tx, &mut instance, now)?;
                    tx.put(&key, &instance)?;
                    Ok::<_, Error>(instance)
                })
            })
            .await;
        // Also after a failure: it may be written down, and only not in force yet.
        self.nudge();
        Ok(self.with_activity(changed?))
    }

    /// Whoever waits for the runtime is told so; the record says nothing of it, since nothing was
    /// seen of the instance itself.
    fn with_activity(&self, mut instance: Instance) -> InstanceStatus {
        if instance.observed.phase == Phase::Pending && instance.observed.reason.is_none() {
            instance.observed.reason = self.runtime_trouble();
        }
        let table = self.table().load();
        let activity = table.route_of(&instance.owner).map(|route| &route.activity);
        InstanceStatus {
            open_sockets: activity.map_or(0, |activity| activity.open_sockets()),
            last_used_at: activity.and_then(|activity| activity.last_used()),
            instance,
        }
    }
}

/// A new generation: a container that was not made yet, at the same address with the same files.
pub(super) fn next_generation(instance: &mut Instance, now: Timestamp) {
    instance.generation = instance.generation.saturating_add(1);
    instance.observed = Observed::pending(now);
}

/// What an organizer removes is not brought back by whoever it belongs to. A launch makes it anew.
fn still_wanted(instance: &Instance) -> Result<(), Error> {
    if instance.desired == Desired::Removed {
        return Err(Error::Conflict(format!(
            "the instance of {} is being removed: an organizer can launch it anew, with the same files",
            instance.owner
        )));
    }
    Ok(())
}
