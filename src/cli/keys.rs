//! `thon keys`: who may use the language model, and new keys.

use clap::Subcommand;
use jiff::{SignedDuration, Span, Timestamp};

use super::Context;
use super::failure::Failure;
use super::output;
use super::words::{ago, table};
use crate::api::{
    CreateKeyRequest, KeyHolder, KeyList, KeyState, KeyView, NewKeyView, RotateKeyRequest,
};
use crate::domain::id::KeyId;
use crate::domain::key::Owner;

const EXAMPLES: &str = "\
Examples:
  thon keys create red/alice                           a key for a participant, shown once
  thon keys create red/alice --model qwen3 --expires 2d  for one model, for two days
  thon keys create red --note 'the demo on stage'      one for a group, with gateway.mode per-group
  thon keys rotate 0123456789abcdef --grace 10m        another secret; the old one is good for ten minutes
  thon keys disable 0123456789abcdef                   nobody uses it until it is enabled again
  thon --json keys | jq '.[] | select(.state == \"active\")'

The key of a participant's own container is made and changed with the container: it is put there by
itself, and `thon instances recreate GROUP/USER` gives another one. A container that is older than
`gateway.enabled: true` gets it with its next start: `thon instances restart GROUP/USER`.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Who has which key (what happens without an action); keys themselves are shown only once
    List,
    /// A new key, which is shown once
    Create(Wish),
    /// One key
    Show { id: KeyId },
    /// Let nobody use it; its requests end
    Disable { id: KeyId },
    /// Let it be used again
    Enable { id: KeyId },
    /// Another secret for the same key
    Rotate {
        id: KeyId,
        /// How long the secret from before is good: `10m`, `2h`, or 0 to end it and its requests at once
        #[arg(long, default_value = "1h", value_name = "TIME", value_parser = seconds)]
        grace: u32,
    },
    /// Take it away for good; its requests end
    Revoke { id: KeyId },
}

#[derive(Debug, clap::Args)]
struct Wish {
    /// Whose it is
    #[arg(value_name = "GROUP/USER | GROUP")]
    owner: Owner,
    /// Only for this model; can be given several times
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// When it ends: `8h`, `2d`, or a moment such as `2026-12-01T18:00:00Z`
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    expires: Option<Timestamp>,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
}

pub(super) async fn perform(context: &Context<'_>, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    match args.action.unwrap_or(Action::List) {
        Action::List => {
            let open = |list: KeyList| (list.keys, list.total);
            let keys = client.every("/api/keys", open).await?;
            let now = Timestamp::now();
            context.output.show(&keys, |keys| words(keys, now))
        }
        Action::Create(wish) => {
            let new: NewKeyView = client.send("/api/keys", &request(wish)).await?;
            shown_once(context, &new)
        }
        Action::Show { id } => {
            let key: KeyView = client.get(&format!("/api/keys/{id}")).await?;
            let now = Timestamp::now();
            context.output.show(&key, |key| details(key, now))
        }
        Action::Disable { id } => switch(context, &id, "disable").await,
        Action::Enable { id } => switch(context, &id, "enable").await,
        Action::Rotate { id, grace } => {
            let wish = RotateKeyRequest {
                grace_s: Some(grace),
            };
            let path = format!("/api/keys/{id}/rotate");
            let new: NewKeyView = client.send(&path, &wish).await?;
            match new.view.old_secret_until {
                Some(end) => output::say(&format!("the old secret is good until {end:.0}")),
                None => output::say("the old secret and its requests have ended"),
            }
            shown_once(context, &new)
        }
        Action::Revoke { id } => {
            client.delete(&format!("/api/keys/{id}")).await?;
            output::say("the key and its requests have ended");
            Ok(())
        }
    }
}

async fn switch(context: &Context<'_>, id: &KeyId, action: &str) -> Result<(), Failure> {
    let client = context.client()?;
    let key: KeyView = client.post(&format!("/api/keys/{id}/{action}")).await?;
    let now = Timestamp::now();
    context.output.show(&key, |key| details(key, now))
}

fn request(wish: Wish) -> CreateKeyRequest {
    let user = wish.owner.user().map(|user| user.user.clone());
    CreateKeyRequest {
        group: Some(wish.owner.group().clone()),
        user,
        models: wish.models,
        expires_at: wish.expires,
        note: wish.note,
    }
}

fn shown_once(context: &Context<'_>, new: &NewKeyView) -> Result<(), Failure> {
    context
        .output
        .hint("this is the only time that the key is shown");
    context.output.show(new, |new| new.key.clone())
}

fn words(keys: &[KeyView], now: Timestamp) -> String {
    if keys.is_empty() {
        return "no keys: `thon keys create GROUP/USER` makes one".to_owned();
    }
    let rows: Vec<[String; 6]> = keys
        .iter()
        .map(|key| {
            [
                key.owner(),
                key.id.to_string(),
                holder(key),
                state(key.state).to_owned(),
                ago(key.last_used_at, now),
                key.note.clone(),
            ]
        })
        .collect();
    table(["owner", "id", "held by", "state", "used", "note"], &rows)
}

fn details(key: &KeyView, now: Timestamp) -> String {
    let models = if key.models.is_empty() {
        "all".to_owned()
    } else {
        key.models.join(", ")
    };
    let moment = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| format!("{at:.0}"));
    let rows = [
        ["key".to_owned(), key.id.to_string()],
        ["owner".to_owned(), key.owner()],
        ["held by".to_owned(), holder(key)],
        ["state".to_owned(), state(key.state).to_owned()],
        ["models".to_owned(), models],
        ["made".to_owned(), moment(Some(key.created_at))],
        ["ends".to_owned(), moment(key.expires_at)],
        ["used".to_owned(), ago(key.last_used_at, now)],
        ["old secret".to_owned(), moment(key.old_secret_until)],
        ["note".to_owned(), key.note.clone()],
    ];
    let lines = rows.map(|[name, value]| format!("{name:<10}  {}", super::words::clean(&value)));
    lines.join("\n")
}

fn holder(key: &KeyView) -> String {
    match (key.holder, key.address) {
        (KeyHolder::Instance, Some(address)) => format!("container {address}"),
        (KeyHolder::Instance, None) => "container".to_owned(),
        (KeyHolder::Person, _) => "person".to_owned(),
    }
}

fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Disabled => "disabled",
        KeyState::Expired => "expired",
        KeyState::Idle => "idle",
    }
}

/// A length of time; a day has 24 hours.
fn length(text: &str) -> Result<SignedDuration, String> {
    if text == "0" {
        return Ok(SignedDuration::ZERO);
    }
    let span: Span = text
        .parse()
        .map_err(|_| format!("`{text}` is no length of time such as 10m, 8h or 2d"))?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours());
    match length {
        Ok(length) if !length.is_negative() => Ok(length),
        _ => Err(format!(
            "`{text}` is no length of time such as 10m, 8h or 2d"
        )),
    }
}

fn seconds(text: &str) -> Result<u32, String> {
    u32::try_from(length(text)?.as_secs()).map_err(|_| format!("`{text}` is too long"))
}

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let now = Timestamp::now();
    now.checked_add(length(text)?)
        .map_err(|_| format!("`{text}` is too far away"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_written_as_people_write_it() {
        for (text, expected) in [("0", 0), ("10m", 600), ("1h 30m", 5_400), ("2d", 172_800)] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for bad in ["", "x", "-1h", "9999999h", "1", "1mo"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_end_is_a_moment_or_a_length_from_now() {
        let moment_of = |text: &str| moment(text).unwrap();
        let exact = moment_of("2026-12-01T18:00:00Z");
        assert_eq!(exact.to_string(), "2026-12-01T18:00:00Z");
        let ahead = moment_of("2h").duration_since(Timestamp::now());
        assert_eq!(ahead.round(jiff::Unit::Minute).unwrap().as_mins(), 120);
    }
}
