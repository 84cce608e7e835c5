//! Launch: everybody who should have an instance gets one.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::auth::token;
use crate::config::ConfiguredGroup;
use crate::control::instances::next_generation;
use crate::control::{Control, Error, Settings};
use crate::domain::address::{self, Released};
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::id::{GroupName, InstanceId, ParseError, UserRef, WorkspaceId};
use crate::domain::instance::{Desired, Instance, Observed};
use crate::domain::user::{Group, Source, User};
use crate::domain::workspace::{Mount, Workspace, WorkspaceMode};
use crate::store::Change;

/// Whom to launch.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// Only this group; everybody otherwise.
    pub group: Option<GroupName>,
    /// With nobody configured, make the group `demo` with `alice` and `bob`.
    pub demo: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launched {
    /// Instances that did not exist or were not meant to run before this call.
    pub started: Vec<UserRef>,
    /// Instances that were meant to run already.
    pub unchanged: Vec<UserRef>,
}

/// Names that volumes of the runtime have already.
type Taken = HashSet<String>;

impl Control {
    /// Makes records for whoever has none, wants them running, and returns at once.
    pub async fn launch(&self, launch: &Launch, actor: Actor) -> Result<Launched, Error> {
        let users = self.selected(launch).await?;
        let taken = self.taken_volumes(&users).await?;
        let settings = self.settings.clone();
        let launched = self
            .blocking(move |store| {
                let now = Timestamp::now();
                let entry = AuditEntry::done(
                    now,
                    actor.clone(),
                    "launch",
                    format!("{} users", users.len()),
                );
                store.change(&entry, |tx| {
                    Launching {
                        tx,
                        settings: &settings,
                        taken: &taken,
                        actor: &actor,
                        now,
                    }
                    .all(&users)
                })
            })
            .await?;
        self.publish()?;
        self.nudge();
        Ok(launched)
    }

    async fn selected(&self, launch: &Launch) -> Result<Vec<UserRef>, Error> {
        let groups = &self.settings.groups;
        let stored = self.reading(|view| Ok(view.all::<User>()?)).await?;
        let mut users: Vec<UserRef> = stored
            .into_iter()
            .map(|(_, user)| user)
            .filter(|user| takes_part(user, groups))
            .map(|user| user.name)
            .collect();
        if users.is_empty() && (launch.demo || self.settings.demo) {
            users = demo_users()?;
        }
        users.retain(|user| {
            launch
                .group
                .as_ref()
                .is_none_or(|group| user.group == *group)
        });
        users.sort();
        match (&launch.group, users.is_empty()) {
            (_, false) => Ok(users),
            (Some(group), true) => Err(Error::Missing {
                what: "group",
                name: group.to_string(),
            }),
            (None, true) => Err(Error::Invalid(
                "nobody to launch: name groups and users in thon.yaml, or use --demo".to_owned(),
            )),
        }
    }

    /// Which of the names that new workspaces would get belong to somebody already. With the
    /// runtime away nobody can tell, and every name counts as taken: it gets a suffix.
    async fn taken_volumes(&self, users: &[UserRef]) -> Result<Taken, Error> {
        let mut taken = Taken::new();
        if self.settings.workspace_mode == WorkspaceMode::Ephemeral {
            return Ok(taken);
        }
        let workspaces = self.reading(|view| Ok(view.all::<Workspace>()?)).await?;
        let owners: HashSet<UserRef> = workspaces
            .into_iter()
            .map(|(_, workspace)| workspace.owner)
            .collect();
        // One that does not answer is asked once: each question could take its whole deadline.
        let mut is_away = false;
        for user in users.iter().filter(|user| !owners.contains(user)) {
            for name in [volume_name("workspace", user), volume_name("home", user)] {
                let is_taken = if is_away {
                    true
                } else {
                    let answer = self.runtime.has_volume(&name).await;
                    is_away = answer.is_err();
                    answer.unwrap_or(true)
                };
                if is_taken {
                    taken.insert(name);
                }
            }
        }
        Ok(taken)
    }
}

fn demo_users() -> Result<Vec<UserRef>, Error> {
    let parsed = ["demo/alice", "demo/bob"]
        .into_iter()
        .map(str::parse)
        .collect::<Result<_, _>>();
    parsed.map_err(|error: ParseError| Error::Internal(error.to_string()))
}

/// Somebody whose name was taken out of the file keeps their files and is not started again.
pub(super) fn takes_part(user: &User, groups: &[ConfiguredGroup]) -> bool {
    let mut named = groups.iter().flat_map(|group| &group.users);
    user.source == Source::Command || named.any(|configured| configured.name == user.name)
}

/// Groups and users of the configuration that the store does not have yet.
pub(super) fn import(tx: &Change, groups: &[ConfiguredGroup], now: Timestamp) -> Result<(), Error> {
    for group in groups {
        ensure_group(tx, &group.name, group.title.clone(), now)?;
        for user in &group.users {
            ensure_user(tx, &user.name, user.email.clone(), Source::File, now)?;
        }
    }
    Ok(())
}

fn ensure_group(
    tx: &Change,
    name: &GroupName,
    title: Option<String>,
    now: Timestamp,
) -> Result<(), Error> {
    if tx.get::<Group>(name.as_str())?.is_none() {
        tx.put(
            name.as_str(),
            &Group {
                name: name.clone(),
                title,
                created_at: now,
            },
        )?;
    }
    Ok(())
}

fn ensure_user(
    tx: &Change,
    name: &UserRef,
    email: Option<String>,
    source: Source,
    now: Timestamp,
) -> Result<(), Error> {
    let key = name.to_string();
    if tx.get::<User>(&key)?.is_none() {
        tx.put(
            &key,
            &User {
                name: name.clone(),
                email,
                source,
                created_at: now,
            },
        )?;
    }
    Ok(())
}

/// One launch in its transaction.
struct Launching<'a> {
    tx: &'a Change,
    settings: &'a Settings,
    taken: &'a Taken,
    actor: &'a Actor,
    now: Timestamp,
}

impl Launching<'_> {
    fn all(&self, users: &[UserRef]) -> Result<Launched, Error> {
        let mut launched = Launched::default();
        for user in users {
            match self.tx.get::<Instance>(&user.to_string())? {
                Some(instance) if instance.desired == Desired::Running => {
                    launched.unchanged.push(user.clone());
                    continue;
                }
                Some(instance) => self.start(instance)?,
                None => self.create(user)?,
            }
            let entry = AuditEntry::done(self.now, self.actor.clone(), "instance.launch", user);
            self.tx.audit(&entry)?;
            launched.started.push(user.clone());
        }
        Ok(launched)
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

    fn create(&self, user: &UserRef) -> Result<(), Error> {
        ensure_user(self.tx, user, None, Source::Command, self.now)?;
        ensure_group(self.tx, &user.group, None, self.now)?;
        let instance = Instance {
            id: fresh_id::<InstanceId>()?,
            owner: user.clone(),
            desired: Desired::Running,
            restart: false,
            access: self.settings.access,
            image: self.settings.image.clone(),
            workspace: self.ensure_workspace(user)?,
            address: self.lease()?,
            generation: 1,
            observed: Observed::pending(self.now),
            created_at: self.now,
        };
        Ok(self.tx.put(&user.to_string(), &instance)?)
    }

    /// The workspace that the participant has already, whatever became of its instance, or a new
    /// one.
    fn ensure_workspace(&self, user: &UserRef) -> Result<WorkspaceId, Error> {
        let all = self.tx.all::<Workspace>()?;
        if let Some((_, workspace)) = all.iter().find(|(_, workspace)| workspace.owner == *user) {
            return Ok(workspace.id.clone());
        }
        let id = fresh_id::<WorkspaceId>()?;
        let mounts = all
            .iter()
            .flat_map(|(_, workspace)| [&workspace.files, &workspace.home]);
        let names = mounts
            .filter_map(volume)
            .chain(self.taken)
            .cloned()
            .collect();
        let workspace = Workspace {
            files: mount("workspace", user, &id, self.settings, &names),
            home: mount("home", user, &id, self.settings, &names),
            owner: user.clone(),
            created_at: self.now,
            id: id.clone(),
        };
        self.tx.put(id.as_str(), &workspace)?;
        Ok(id)
    }

    fn lease(&self) -> Result<Ipv4Addr, Error> {
        let instances = self.tx.all::<Instance>()?;
        let leased = instances
            .into_iter()
            .map(|(_, instance)| instance.address)
            .collect();
        let mut released = Vec::new();
        for (key, entry) in self.tx.all::<Released>()? {
            if address::is_resting(&entry, self.now) {
                released.push(entry);
            } else {
                self.tx.remove::<Released>(&key)?;
            }
        }
        let subnet = self.settings.subnet;
        address::pick(subnet, &leased, &released, self.now).ok_or_else(|| {
            Error::Conflict(format!(
                "the network {subnet} is full: give sandbox.subnet more room"
            ))
        })
    }
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

fn volume_name(kind: &str, user: &UserRef) -> String {
    format!("thon-{kind}-{}-{}", user.group, user.user)
}

fn fresh_id<T: std::str::FromStr>() -> Result<T, Error> {
    token::random_id()
        .parse()
        .map_err(|_| Error::Internal("a fresh id was not one".to_owned()))
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
