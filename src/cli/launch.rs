//! `thon launch`: everybody's editor, and the links to get in.

use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::client::Client;
use super::failure::Failure;
use super::output::{self, Output};
use super::progress::Progress;
use super::words::{count, table};
use super::{Context, instances};
use crate::api::{
    CreateInvitesRequest, InstanceView, LaunchRequest, LaunchResponse, NewInviteList,
    NewInviteView, Status,
};
use crate::domain::health::Health;
use crate::domain::id::{GroupName, UserRef};
use crate::domain::instance::{Desired, Phase};

/// How long a runtime may be away before a launch is not waited for any longer.
const AWAY_MAX: Duration = Duration::from_secs(20);

/// How often the instances are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this group
    #[arg(long)]
    group: Option<GroupName>,

    /// With nobody in the settings, make a group to try things with
    #[arg(long)]
    demo: bool,

    /// Do not wait until the editors are ready
    #[arg(long)]
    no_wait: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    No,
    UntilSettled,
}

pub(super) async fn perform(context: &Context<'_>, args: Args) -> Result<(), Failure> {
    let wish = LaunchRequest {
        group: args.group,
        demo: args.demo,
    };
    let wait = if args.no_wait {
        Wait::No
    } else {
        Wait::UntilSettled
    };
    launch(&context.client()?, &context.output, &wish, wait).await
}

/// What came of it.
#[derive(Serialize)]
struct Outcome {
    launched: LaunchResponse,
    instances: Vec<InstanceView>,
    /// Links that did not exist before; they are shown now and never again.
    invites: Vec<NewInviteView>,
}

pub(super) async fn launch(
    client: &Client,
    output: &Output,
    wish: &LaunchRequest,
    wait: Wait,
) -> Result<(), Failure> {
    let launched: LaunchResponse = client.send("/api/launch", wish).await?;
    let whom: Vec<UserRef> = [&launched.started[..], &launched.unchanged[..]].concat();
    output::say(&format!(
        "{} to start, {} running already",
        count(launched.started.len(), "editor"),
        launched.unchanged.len()
    ));
    for left in &launched.left {
        output::say(&format!("{} is not launched: {}", left.user, left.reason));
    }
    let left = launched.left.len();
    // Before the wait: whoever interrupts it must not lose the links.
    let wish = CreateInvitesRequest {
        group: wish.group.clone(),
    };
    let invites: NewInviteList = client.send("/api/invites", &wish).await?;
    let settled = match wait {
        Wait::No => Ok(Tally::default()),
        Wait::UntilSettled => watch(client, &whom).await,
    };
    // The links exist from here on and are never shown again: whatever fails, they are printed.
    let (listed, lost) = match instances::all(client).await {
        Ok(listed) => (listed, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    let outcome = Outcome {
        launched,
        instances: listed
            .into_iter()
            .filter(|view| whom.contains(&view.owner()))
            .collect(),
        invites: invites.invites,
    };
    output.show(&outcome, links)?;
    if outcome.invites.len() < whom.len() {
        output.hint("whoever has no link here was given one before; `thon invites rotate GROUP/USER` makes a new one");
    }
    match lost {
        Some(failure) => Err(failure),
        None => settled?.verdict(),
    }?;
    match left {
        0 => Ok(()),
        left => Err(Failure::new(format!(
            "{} could not be launched; the others were",
            count(left, "participant")
        ))),
    }
}

fn links(outcome: &Outcome) -> String {
    let whom = [
        &outcome.launched.started[..],
        &outcome.launched.unchanged[..],
    ]
    .concat();
    let rows: Vec<[String; 3]> = whom
        .iter()
        .map(|owner| {
            let view = outcome.instances.iter().find(|view| view.owner() == *owner);
            let invite = outcome.invites.iter().find(|new| new.owner() == *owner);
            let state = view.map_or_else(|| "unknown".to_owned(), |view| view.state.to_string());
            let link = invite.map(|new| &new.url).or(view.map(|view| &view.url));
            [owner.to_string(), state, link.cloned().unwrap_or_default()]
        })
        .collect();
    if rows.is_empty() {
        String::new()
    } else {
        table(["participant", "state", "link"], &rows)
    }
}

/// Looks until every instance is ready or has failed. Ctrl-C and SIGTERM end the looking only: the
/// links are still to be printed.
async fn watch(client: &Client, whom: &[UserRef]) -> Result<Tally, Failure> {
    let unwatched = |error| Failure::new(format!("signals cannot be heard: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(unwatched)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unwatched)?;
    tokio::select! {
        tally = settled(client, whom) => return tally,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Err(Failure::new("stopped watching; the editors go on starting").hint("see `thon status`"))
}

async fn settled(client: &Client, whom: &[UserRef]) -> Result<Tally, Failure> {
    let progress = Progress::new(whom.len());
    let mut away_since: Option<Instant> = None;
    loop {
        let status: Status = client.get("/api/status").await?;
        let tally = Tally::of(whom, &status.instances);
        if tally.waiting.is_empty() {
            return Ok(tally);
        }
        progress.set(tally.ready, tally.sentence());
        match runtime_trouble(&status) {
            None => away_since = None,
            Some(trouble) if away_since.get_or_insert_with(Instant::now).elapsed() > AWAY_MAX => {
                return Err(Failure::new(format!("nothing can start: {trouble}")).hint(
                    "the wish is kept: once this is mended the editors start by themselves",
                ));
            }
            Some(_) => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn runtime_trouble(status: &Status) -> Option<&str> {
    status
        .health
        .parts
        .iter()
        .find_map(|part| match &part.health {
            Health::Degraded { code, message }
                if code == "THN-RUNTIME-01" || code == "THN-RUNTIME-02" =>
            {
                Some(message.as_str())
            }
            _ => None,
        })
}

/// How far a launch is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    ready: usize,
    waiting: Vec<UserRef>,
    failed: Vec<(UserRef, String)>,
}

impl Tally {
    fn of(whom: &[UserRef], views: &[InstanceView]) -> Self {
        let mut tally = Self::default();
        for user in whom {
            let view = views.iter().find(|view| view.owner() == *user);
            match view.map(|view| (view.desired, view.state, &view.reason)) {
                None | Some((Desired::Removed, ..)) => tally.fail(user, "it was removed meanwhile"),
                Some((Desired::Stopped | Desired::Paused, ..)) => {
                    tally.fail(user, "somebody stopped it meanwhile");
                }
                Some((Desired::Running, Phase::Ready, _)) => tally.ready += 1,
                Some((Desired::Running, Phase::Failed, reason)) => {
                    tally.fail(user, reason.as_deref().unwrap_or("no reason is known"));
                }
                Some((Desired::Running, ..)) => tally.waiting.push(user.clone()),
            }
        }
        tally
    }

    fn fail(&mut self, user: &UserRef, reason: &str) {
        self.failed.push((user.clone(), reason.to_owned()));
    }

    fn sentence(&self) -> String {
        let next = self.waiting.first().map(ToString::to_string);
        let failed = match self.failed.len() {
            0 => String::new(),
            n => format!(", {n} failed"),
        };
        format!("ready{failed}, waiting for {}", next.unwrap_or_default())
    }

    fn verdict(self) -> Result<(), Failure> {
        for (user, reason) in &self.failed {
            output::say(&format!("{user} failed: {reason}"));
        }
        match self.failed.as_slice() {
            [] => Ok(()),
            [(user, _), ..] => Err(Failure::new(format!(
                "{} did not start; it is tried again by itself",
                count(self.failed.len(), "editor")
            ))
            .hint(format!("see `thon instances logs {user}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(owner: &str, desired: Desired, state: Phase) -> InstanceView {
        let owner: UserRef = owner.parse().unwrap();
        InstanceView {
            id: "0123456789abcdef".parse().unwrap(),
            group: owner.group,
            user: owner.user,
            state,
            desired,
            reason: Some("no such image".to_owned()),
            url: "https://thon.example/w/x/".to_owned(),
            access: crate::domain::instance::Access::Owner,
            image: "image".to_owned(),
            generation: 1,
            open_sockets: 0,
            last_used_at: None,
            since: jiff::Timestamp::UNIX_EPOCH,
            created_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_launch_is_over_when_everybody_is_ready_or_has_failed() {
        let whom: Vec<UserRef> = ["r/a", "r/b", "r/c", "r/d"]
            .map(|name| name.parse().unwrap())
            .into();
        let mut views = vec![
            view("r/a", Desired::Running, Phase::Ready),
            view("r/b", Desired::Running, Phase::Starting),
            view("r/c", Desired::Running, Phase::Failed),
            view("r/x", Desired::Running, Phase::Pending),
        ];
        let tally = Tally::of(&whom, &views);
        assert_eq!(tally.ready, 1);
        assert_eq!(tally.waiting, [whom[1].clone()]);
        let reasons: Vec<&str> = tally.failed.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(reasons, ["no such image", "it was removed meanwhile"]);

        views[1] = view("r/b", Desired::Stopped, Phase::Stopped);
        assert!(Tally::of(&whom, &views).waiting.is_empty());
    }
}
