//! `thon instances`: list them, look at one, change what is wanted of it.

use clap::Subcommand;
use jiff::Timestamp;

use super::Context;
use super::client::Client;
use super::failure::Failure;
use super::output;
use super::words::{ago, clean, table};
use crate::api::{InstanceList, InstanceView, LogsView, PasswordView};
use crate::domain::id::UserRef;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Everybody's (what happens without an action)
    List,
    /// One, in full
    Show {
        #[arg(value_name = "GROUP/USER")]
        participant: UserRef,
    },
    /// Start one that is stopped
    Start {
        #[arg(value_name = "GROUP/USER")]
        participant: UserRef,
    },
    /// Stop one; what was installed in it stays
    Stop {
        #[arg(value_name = "GROUP/USER")]
        participant: UserRef,
    },
    /// Freeze one: it keeps its memory and costs no CPU
    Pause {
        #[arg(value_name = "GROUP/USER")]
        participant: UserRef,
    },
    /// Go on with one that is paused
    Resume {
        #[arg(value_name = "GROUP/USER")]
        participant: UserRef,
    },
    /// Stop and start the same container
    Restart {
        #[arg(value_name = "GROUP/USER")]
        participant: UserRef,
    },
    /// A new container from the image; workspace and home directory stay
    Recreate {
        #[arg(value_name = "GROUP/USER")]
        participant: UserRef,
    },
    /// Remove the container and the record; workspace and home directory stay
    Remove {
        #[arg(value_name = "GROUP/USER")]
        participant: UserRef,
    },
    /// What it printed last
    Logs {
        #[arg(value_name = "GROUP/USER")]
        participant: UserRef,
        /// How many lines
        #[arg(long, short = 'n', default_value_t = 100)]
        lines: usize,
    },
    /// The editor's own password, where participants sign in with one
    Password {
        #[arg(value_name = "GROUP/USER")]
        participant: UserRef,
    },
}

pub(super) async fn perform(context: &Context<'_>, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    let change = |user: UserRef, verb| change(context, client.clone(), user, verb);
    match args.action.unwrap_or(Action::List) {
        Action::List => {
            let views = all(&client).await?;
            let now = Timestamp::now();
            context.output.show(&views, |views| words(views, now))
        }
        Action::Show { participant } => {
            let view: InstanceView = client.get(&path(&participant, "")).await?;
            context.output.show(&view, details)
        }
        Action::Start { participant } => change(participant, "start").await,
        Action::Stop { participant } => change(participant, "stop").await,
        Action::Pause { participant } => change(participant, "pause").await,
        Action::Resume { participant } => change(participant, "resume").await,
        Action::Restart { participant } => change(participant, "restart").await,
        Action::Recreate { participant } => change(participant, "recreate").await,
        Action::Remove { participant } => remove(&client, &participant).await,
        Action::Logs { participant, lines } => {
            let logs: LogsView = client
                .get(&path(&participant, &format!("/logs?lines={lines}")))
                .await?;
            context.output.show(&logs, |logs| {
                let lines: Vec<String> = logs.lines.iter().map(|line| clean(line)).collect();
                lines.join("\n")
            })
        }
        Action::Password { participant } => {
            let view: PasswordView = client.post(&path(&participant, "/password")).await?;
            context.output.show(&view, |view| view.password.clone())
        }
    }
}

async fn change(
    context: &Context<'_>,
    client: Client,
    user: UserRef,
    verb: &str,
) -> Result<(), Failure> {
    let view: InstanceView = client.post(&path(&user, &format!("/{verb}"))).await?;
    context.output.show(&view, |view| {
        format!(
            "{user}: {verb} is asked for (was {}); see `thon instances show {user}`",
            view.state
        )
    })
}

async fn remove(client: &Client, user: &UserRef) -> Result<(), Failure> {
    client.delete(&path(user, "")).await?;
    output::say(&format!(
        "{user}: the instance is being removed; workspace and home directory stay"
    ));
    Ok(())
}

/// Names are safe in a path: they were parsed.
fn path(user: &UserRef, rest: &str) -> String {
    format!("/api/instances/{user}{rest}")
}

pub(super) async fn all(client: &Client) -> Result<Vec<InstanceView>, Failure> {
    let open = |list: InstanceList| (list.instances, list.total);
    client.every("/api/instances", open).await
}

pub(super) fn words(views: &[InstanceView], now: Timestamp) -> String {
    if views.is_empty() {
        return "no instances: `thon launch` starts them".to_owned();
    }
    let rows: Vec<[String; 6]> = views
        .iter()
        .map(|view| {
            [
                view.owner().to_string(),
                view.state.to_string(),
                ago(Some(view.since), now),
                ago(view.last_used_at, now),
                view.open_sockets.to_string(),
                view.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(
        ["instance", "state", "for", "used", "sockets", "reason"],
        &rows,
    )
}

fn details(view: &InstanceView) -> String {
    let time = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| at.to_string());
    let facts = [
        ("instance", view.owner().to_string()),
        ("id", view.id.to_string()),
        ("state", format!("{} since {}", view.state, view.since)),
        ("wanted", view.desired.to_string()),
        ("reason", view.reason.clone().unwrap_or("-".to_owned())),
        ("url", view.url.clone()),
        ("access", view.access.to_string()),
        ("image", view.image.clone()),
        ("generation", view.generation.to_string()),
        ("sockets", view.open_sockets.to_string()),
        ("used", time(view.last_used_at)),
        ("created", time(Some(view.created_at))),
    ];
    let lines = facts.map(|(name, value)| format!("{name:<10} {}", clean(&value)));
    lines.join("\n")
}
