//! Launch: everybody who should have an instance gets one.

mod making;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;

use crate::config::ConfiguredGroup;
use crate::control::{Control, Error, lease};
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::id::{GroupName, ParseError, UserRef};
use crate::domain::user::{Group, Source, User};
use crate::domain::workspace::{Owned, WorkspaceMode};
use crate::store::{Change, StoreError};

use making::{Launching, taken_names, volume_name};

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
    /// Who could not be launched, each with the reason. They keep nobody else from it.
    pub left: Vec<Left>,
}

/// Somebody who was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub user: UserRef,
    pub reason: String,
}

/// Questions to the runtime at the same time.
const QUESTIONS_MAX: usize = 8;

/// Names that volumes of the runtime have already.
type Taken = HashSet<String>;

impl Control {
    /// Makes records for whoever has none, wants them running, and returns at once.
    pub async fn launch(&self, launch: &Launch, actor: Actor) -> Result<Launched, Error> {
        let users = self.selected(launch).await?;
        let taken = self.taken_volumes(&users).await?;
        let settings = self.settings.clone();
        let strangers = self.strangers.lock().clone();
        let launched = self.blocking(move |store| {
            let now = Timestamp::now();
            let whom = format!("{} users", users.len());
            let entry = AuditEntry::done(now, actor.clone(), "launch", whom);
            store.change(&entry, |tx| {
                let pool = lease::pool(tx, settings.subnet, strangers, now)?;
                let mut launching = Launching {
                    tx,
                    settings: &settings,
                    taken: taken_names(tx, taken)?,
                    pool,
                    actor: &actor,
                    now,
                };
                launching.all(&users)
            })
        });
        let launched = launched.await;
        // Also after a failure: it may be written down, and only not in force yet.
        self.nudge();
        let launched = launched?;
        for left in &launched.left {
            tracing::warn!(user = %left.user, "not launched: {}", left.reason);
        }
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
        let owners = self.reading(|view| Ok(view.all::<Owned>()?)).await?;
        let owners: HashSet<String> = owners.into_iter().map(|(owner, _)| owner).collect();
        let mut names = Vec::new();
        for user in users {
            if !owners.contains(&user.to_string()) {
                names.extend(["workspace", "home"].map(|kind| volume_name(kind, user)));
            }
        }
        // One that does not answer is not asked again: each question could take its whole deadline.
        let is_away = &AtomicBool::new(false);
        let questions = stream::iter(names).map(|name| async move {
            let is_taken = if is_away.load(Ordering::Relaxed) {
                true
            } else {
                let answer = self.runtime.has_volume(&name).await;
                is_away.fetch_or(answer.is_err(), Ordering::Relaxed);
                answer.unwrap_or(true)
            };
            is_taken.then_some(name)
        });
        let answers = questions.buffer_unordered(QUESTIONS_MAX);
        taken.extend(
            answers
                .filter_map(std::future::ready)
                .collect::<Vec<_>>()
                .await,
        );
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
    if is_missing(tx.get::<Group>(name.as_str()))? {
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

/// One that cannot be read is there.
fn is_missing<T>(found: Result<Option<T>, StoreError>) -> Result<bool, StoreError> {
    match found {
        Err(StoreError::Unreadable { .. }) => Ok(false),
        found => Ok(found?.is_none()),
    }
}

fn ensure_user(
    tx: &Change,
    name: &UserRef,
    email: Option<String>,
    source: Source,
    now: Timestamp,
) -> Result<(), Error> {
    let key = name.to_string();
    if is_missing(tx.get::<User>(&key))? {
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
