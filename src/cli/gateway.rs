//! `thon gateway`: the models, who waits for them, and the limits.

mod limits;

use clap::Subcommand;
use jiff::Timestamp;

use super::Context;
use super::failure::Failure;
use super::words::{ago, grouped, millis, table};
use crate::api::{BackendState, BalanceList, BalanceView, GatewayView, QueueList, QueuedView};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Backends, models and slots (what happens without an action)
    Status,
    /// Who has a slot, and who waits for one
    Queue,
    /// How much everybody has left of each limit
    Balances,
    /// The limits in force; with an action, other ones
    Limits(limits::Args),
}

pub(super) async fn perform(context: &Context<'_>, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    match args.action.unwrap_or(Action::Status) {
        Action::Status => {
            let view: GatewayView = client.get("/api/gateway").await?;
            let now = Timestamp::now();
            context.output.show(&view, |view| status(view, now))
        }
        Action::Queue => {
            let open = |list: QueueList| (list.queue, list.total);
            let queue = client.every("/api/gateway/queue", open).await?;
            context.output.show(&queue, |queue| waiting(queue))
        }
        Action::Balances => {
            let open = |list: BalanceList| (list.balances, list.total);
            let balances = client.every("/api/gateway/balances", open).await?;
            context.output.show(&balances, |balances| left(balances))
        }
        Action::Limits(args) => limits::perform(context, &client, args).await,
    }
}

fn status(view: &GatewayView, now: Timestamp) -> String {
    if view.backends.is_empty() {
        return "no model is connected".to_owned();
    }
    let backends: Vec<[String; 6]> = view
        .backends
        .iter()
        .map(|backend| {
            let state = match backend.state {
                BackendState::Up => "up",
                BackendState::Loading => "loading",
                BackendState::Down => "down",
            };
            [
                backend.url.clone(),
                state.to_owned(),
                ago(Some(backend.since), now),
                backend.running.to_string(),
                backend.models.join(" "),
                backend.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let models: Vec<[String; 4]> = view
        .models
        .iter()
        .map(|model| {
            [
                model.name.clone(),
                format!("{} of {}", model.slots_busy, model.slots_total),
                model.queued.to_string(),
                millis(model.eta_ms),
            ]
        })
        .collect();
    let heads = ["backend", "state", "for", "running", "models", "reason"];
    let fair = view.jain_index.map(|index| format!("{index:.2}"));
    format!(
        "{}\n{}\nreserved   {} tokens\nfairness   {}",
        table(heads, &backends),
        table(["model", "slots", "queued", "wait"], &models),
        grouped(view.reserved_tokens),
        fair.as_deref().unwrap_or("-"),
    )
}

fn waiting(queue: &[QueuedView]) -> String {
    if queue.is_empty() {
        return "nobody has a slot, nobody waits".to_owned();
    }
    let rows: Vec<[String; 6]> = queue
        .iter()
        .map(|entry| {
            let place = entry.place.map(|place| place.to_string());
            [
                entry.model.clone(),
                place.unwrap_or_else(|| "runs".to_owned()),
                entry.group.to_string(),
                entry.user.clone(),
                millis(Some(entry.for_ms)),
                millis(entry.eta_ms),
            ]
        })
        .collect();
    table(["model", "place", "group", "user", "for", "wait"], &rows)
}

fn left(balances: &[BalanceView]) -> String {
    if balances.is_empty() {
        return "nobody has used anything that a limit counts".to_owned();
    }
    let rows: Vec<[String; 6]> = balances
        .iter()
        .map(|balance| {
            let remaining = grouped(balance.remaining.unsigned_abs());
            let sign = if balance.remaining < 0 { "-" } else { "" };
            [
                balance.limit.clone(),
                balance.who.clone(),
                balance.model.clone().unwrap_or_else(|| "-".to_owned()),
                grouped(balance.tokens),
                format!("{sign}{remaining}"),
                millis(Some(balance.full_in_ms)),
            ]
        })
        .collect();
    let heads = ["limit", "who", "model", "tokens", "left", "full in"];
    table(heads, &rows)
}
