//! `thon invites`: who has a link, and new ones.

use clap::Subcommand;
use jiff::Timestamp;

use super::Context;
use super::failure::Failure;
use super::output;
use super::words::{ago, table};
use crate::api::{CreateInvitesRequest, InviteList, InviteView, NewInviteList, NewInviteView};
use crate::domain::id::{GroupName, InviteId, UserRef};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Who has a link (what happens without an action); links themselves are shown only once
    List,
    /// Links for those who have none
    Create {
        /// Only this group
        #[arg(long)]
        group: Option<GroupName>,
    },
    /// A new link for a participant; the old one and its sessions end
    Rotate {
        #[arg(value_name = "GROUP/USER")]
        participant: UserRef,
    },
    /// Take a link back, with its sessions
    Revoke { id: InviteId },
}

pub(super) async fn perform(context: &Context<'_>, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    match args.action.unwrap_or(Action::List) {
        Action::List => {
            let open = |list: InviteList| (list.invites, list.total);
            let invites = client.every("/api/invites", open).await?;
            let now = Timestamp::now();
            context.output.show(&invites, |invites| words(invites, now))
        }
        Action::Create { group } => {
            let wish = CreateInvitesRequest { group };
            let list: NewInviteList = client.send("/api/invites", &wish).await?;
            if list.invites.is_empty() {
                output::say("no new link: every participant known so far has one");
                context
                    .output
                    .hint("`thon invites rotate GROUP/USER` makes a new one");
            }
            context.output.show(&list.invites, |invites| links(invites))
        }
        Action::Rotate { participant } => {
            let path = format!("/api/invites/{participant}/rotate");
            let new: NewInviteView = client.post(&path).await?;
            output::say("the old link and its sessions have ended");
            context.output.show(&new, |new| new.url.clone())
        }
        Action::Revoke { id } => {
            client.delete(&format!("/api/invites/{id}")).await?;
            output::say("the link and its sessions have ended");
            Ok(())
        }
    }
}

fn words(invites: &[InviteView], now: Timestamp) -> String {
    if invites.is_empty() {
        return "no invites: `thon invites create` makes them".to_owned();
    }
    let rows: Vec<[String; 4]> = invites
        .iter()
        .map(|invite| {
            [
                format!("{}/{}", invite.group, invite.user),
                invite.id.to_string(),
                ago(Some(invite.created_at), now),
                ago(invite.last_used_at, now),
            ]
        })
        .collect();
    table(["participant", "id", "made", "used"], &rows)
}

fn links(invites: &[NewInviteView]) -> String {
    let rows: Vec<[String; 2]> = invites
        .iter()
        .map(|new| [new.owner().to_string(), new.url.clone()])
        .collect();
    if rows.is_empty() {
        String::new()
    } else {
        table(["participant", "link"], &rows)
    }
}
