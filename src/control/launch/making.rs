//! One launch in its transaction: records for whoever has none.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Launched, Left, Taken, ensure_group, ensure_user};
use crate::auth::token;
use crate::control::instances::next_generation;
use crate::control::{Error, Settings, lease};
use crate::domain::address::Pool;
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::id::{InstanceId, UserRef, WorkspaceId};
use crate::domain::instance::{Desired, Instance, Observed};
use crate::domain::user::Source;
use crate::domain::workspace::{Mount, Owned, Workspace, WorkspaceMode};
use crate::store::{Change, StoreError};

pub(super) struct Launching<'a> {
    pub(super) tx: &'a Change,
    pub(super) settings: &'a Settings,
    /// Grows with every workspace that is made.
    pub(super) taken: Taken,
    pub(super) pool: Pool,
    pub(super) actor: &'a Actor,
    pub(super) now: Timestamp,
}

/// What became of one of them.
enum Became {
    Started,
    Unchanged,
}

impl Launching<'_> {
    pub(super) fn all(&mut self, users: &[UserRef]) -> Result<Launched, Error> {
        let mut launched = Launched::default();
        for user in users {
            match self.one(user) {
                Ok(Became::Started) => launched.started.push(user.clone()),
                Ok(Became::Unchanged) => launched.unchanged.push(user.clone()),
                Err(Error::Conflict(reason)) => launched.left.push(Left {
                    user: user.clone(),
                    reason,
                }),
                Err(error) => return Err(error),
            }
        }
        Ok(launched)
    }

    /// A refusal comes before anything is written for this one.
    fn one(&mut self, user: &UserRef) -> Result<Became, Error> {
        match self.tx.get::<Instance>(&user.to_string())? {
            Some(instance) if instance.desired == Desired::Running => return Ok(Became::Unchanged),
            Some(instance) => self.start(instance)?,
            None => self.create(user)?,
        }
        let entry = AuditEntry::done(self.now, self.actor.clone(), "instance.launch", user);
        self.tx.audit(&entry)?;
        Ok(Became::Started)
    }

    fn start(&self, mut instance: Instance) -> Result<(), Error> {
        if instance.desired == Desired::Removed {
            // What was removed does not come back: this one is made anew, with the same files.
            instance.image.clone_from(&self.settings.image);
            instance.restart = false;
            next_generation(&mut instance, self.now);
        }
        instance.desired = Desired::Running;
        instance.observed.failures = 0;
        Ok(self.tx.put(&instance.owner.to_string(), &instance)?)
    }

    fn create(&mut self, user: &UserRef) -> Result<(), Error> {
        let found = self.workspace_of(user)?;
        let address = self.pool.pick();
        let address = address.ok_or_else(|| lease::full(self.settings.subnet))?;
        let workspace = match found {
            Some(workspace) => workspace,
            None => self.make_workspace(user)?,
        };
        ensure_user(self.tx, user, None, Source::Command, self.now)?;
        ensure_group(self.tx, &user.group, None, self.now)?;
        let instance = Instance {
            id: InstanceId::from_bits(token::id_bits()),
            owner: user.clone(),
            desired: Desired::Running,
            restart: false,
            access: self.settings.access,
            image: self.settings.image.clone(),
            workspace,
            address,
            generation: 1,
            observed: Observed::pending(self.now),
            created_at: self.now,
        };
        lease::hold(self.tx, &instance)?;
        Ok(self.tx.put(&user.to_string(), &instance)?)
    }

    /// The workspace that the participant has already, whatever became of its instance. One that
    /// cannot be read is refused: an empty one in its place would look like lost work.
    fn workspace_of(&self, user: &UserRef) -> Result<Option<WorkspaceId>, Error> {
        let Some(Owned { workspace }) = self.tx.get::<Owned>(&user.to_string())? else {
            return Ok(None);
        };
        match self.tx.get::<Workspace>(workspace.as_str())? {
            Some(_) => Ok(Some(workspace)),
            None => Ok(None),
        }
    }

    fn make_workspace(&mut self, user: &UserRef) -> Result<WorkspaceId, Error> {
        let id = WorkspaceId::from_bits(token::id_bits());
        let workspace = Workspace {
            files: mount("workspace", user, &id, self.settings, &self.taken),
            home: mount("home", user, &id, self.settings, &self.taken),
            owner: user.clone(),
            created_at: self.now,
            id: id.clone(),
        };
        self.tx.put(id.as_str(), &workspace)?;
        let owned = Owned {
            workspace: id.clone(),
        };
        self.tx.put(&user.to_string(), &owned)?;
        let mounts = [&workspace.files, &workspace.home];
        self.taken
            .extend(mounts.into_iter().filter_map(volume).cloned());
        Ok(id)
    }
}

/// Also those of workspaces that exist.
pub(super) fn taken_names(tx: &Change, mut taken: Taken) -> Result<Taken, StoreError> {
    let workspaces = tx.all::<Workspace>()?;
    let mounts = workspaces
        .iter()
        .flat_map(|(_, workspace)| [&workspace.files, &workspace.home]);
    taken.extend(mounts.filter_map(volume).cloned());
    Ok(taken)
}

fn volume(mount: &Mount) -> Option<&String> {
    match mount {
        Mount::Volume { name, .. } => Some(name),
        Mount::Bind { .. } | Mount::Ephemeral => None,
    }
}

fn mount(
    kind: &str,
    user: &UserRef,
    id: &WorkspaceId,
    settings: &Settings,
    taken: &Taken,
) -> Mount {
    match (settings.workspace_mode, &settings.workspace_dir) {
        (WorkspaceMode::Ephemeral, _) => Mount::Ephemeral,
        // The home directory needs what the image has in it, which a bind mount would hide.
        (WorkspaceMode::Bind, Some(dir)) if kind == "workspace" => Mount::Bind {
            path: bind_path(dir, user),
        },
        _ => {
            let plain = volume_name(kind, user);
            let name = if taken.contains(&plain) {
                format!("{plain}-{id}")
            } else {
                plain
            };
            Mount::Volume {
                name,
                workspace: id.clone(),
            }
        }
    }
}

fn bind_path(dir: &Path, user: &UserRef) -> PathBuf {
    dir.join(user.group.as_str()).join(user.user.as_str())
}

pub(super) fn volume_name(kind: &str, user: &UserRef) -> String {
    format!("thon-{kind}-{}-{}", user.group, user.user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(mode: WorkspaceMode) -> Settings {
        Settings {
            demo: false,
            groups: Vec::new(),
            image: "image".into(),
            access: crate::domain::instance::Access::Owner,
            sudo: crate::domain::instance::Sudo::Deny,
            resources: crate::domain::instance::Resources::DEFAULT,
            subnet: "10.0.0.0/24".parse().unwrap(),
            workspace_mode: mode,
            workspace_dir: Some("/srv".into()),
            gateway: crate::control::Gateway::default(),
        }
    }

    #[test]
    fn two_people_whose_names_join_alike_never_share_a_volume() {
        let id: WorkspaceId = "00000000000000aa".parse().unwrap();
        let volume = |user: &str, taken: &Taken| match mount(
            "workspace",
            &user.parse().unwrap(),
            &id,
            &settings(WorkspaceMode::Volume),
            taken,
        ) {
            Mount::Volume { name, .. } => name,
            other => panic!("{other:?}"),
        };
        let first = volume("a-b/c", &Taken::new());
        let second = volume("a/b-c", &Taken::from([first.clone()]));
        assert_eq!(first, "thon-workspace-a-b-c");
        assert_eq!(second, "thon-workspace-a-b-c-00000000000000aa");
    }

    #[test]
    fn a_bind_mount_is_for_the_workspace_and_never_hides_the_home() {
        let id: WorkspaceId = "00000000000000aa".parse().unwrap();
        let user = "red/alice".parse().unwrap();
        let settings = settings(WorkspaceMode::Bind);
        let files = mount("workspace", &user, &id, &settings, &Taken::new());
        assert_eq!(
            files,
            Mount::Bind {
                path: "/srv/red/alice".into()
            }
        );
        assert!(matches!(
            mount("home", &user, &id, &settings, &Taken::new()),
            Mount::Volume { .. }
        ));
    }
}
