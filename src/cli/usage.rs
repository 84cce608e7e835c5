//! `thon usage`: who used how much of the language model.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Context;
use super::client::Client;
use super::failure::Failure;
use super::output;
use super::words::{ago, grouped, millis, query, table};
use crate::api::{By, Every, RequestList, UsageList, UsageRow, UsageSum};
use crate::domain::id::{GroupName, UserRef};
use crate::domain::usage::UsageEntry;

const EXAMPLES: &str = "\
Examples:
  thon usage                          everybody in the last 24 hours
  thon usage --by group --since today
  thon usage --user red/alice --since 7d --every day
  thon usage --by model --since 30d --csv > usage.csv
  thon usage --requests 20 --user red/alice";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Whose sums are told apart: user, group or model
    #[arg(long, default_value = "user", value_parser = word::<By>)]
    by: By,
    /// 90m, 24h, 7d, or today; 24h unless told
    #[arg(long, conflicts_with = "from")]
    since: Option<String>,
    /// A time with its zone: 2026-11-22T08:00:00Z
    #[arg(long)]
    from: Option<Timestamp>,
    /// Up to this time; now unless told
    #[arg(long)]
    to: Option<Timestamp>,
    /// A sum for each minute or day
    #[arg(long, value_parser = word::<Every>)]
    every: Option<Every>,
    /// Only this participant
    #[arg(long, value_name = "GROUP/USER")]
    user: Option<UserRef>,
    /// Only this group
    #[arg(long)]
    group: Option<GroupName>,
    /// Only this model
    #[arg(long)]
    model: Option<String>,
    /// Only the first lines: those who used most
    #[arg(long, value_name = "COUNT")]
    top: Option<usize>,
    /// Comma-separated values
    #[arg(long, conflicts_with_all = ["json", "top", "requests"])]
    csv: bool,
    /// The newest requests instead of sums
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["since", "from", "to", "every", "top"])]
    requests: Option<usize>,
}

pub(super) async fn perform(context: &Context<'_>, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    if let Some(count) = args.requests {
        return requests(context, &client, &args, count).await;
    }
    let path = path(&args)?;
    if args.csv {
        return output::print(&client.text(&format!("{path}&csv=true")).await?);
    }
    let usage = all(&client, &path, args.top).await?;
    context.output.show(&usage, words)
}

/// A word of the API, as it is written there.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::String(text.to_owned())).map_err(|error| error.to_string())
}

fn path(args: &Args) -> Result<String, Failure> {
    let text = |value: Option<Timestamp>| value.map(|at| at.to_string());
    let by = serde_json::to_value(args.by).map_err(|error| Failure::new(error.to_string()))?;
    let every =
        serde_json::to_value(args.every).map_err(|error| Failure::new(error.to_string()))?;
    let written = |value: Value| value.as_str().map(str::to_owned);
    Ok(query(
        "/api/usage",
        &[
            ("by", written(by)),
            ("every", written(every)),
            ("since", args.since.clone()),
            ("from", text(args.from)),
            ("to", text(args.to)),
            ("user", args.user.as_ref().map(ToString::to_string)),
            ("group", args.group.as_ref().map(ToString::to_string)),
            ("model", args.model.clone()),
        ],
    ))
}

/// Every page, as one.
async fn all(client: &Client, path: &str, top: Option<usize>) -> Result<UsageList, Failure> {
    let top = top.unwrap_or(usize::MAX);
    let mut usage: Option<UsageList> = None;
    for page in 1.. {
        let next: UsageList = client
            .get(&format!("{path}&page={page}&page_size=200"))
            .await?;
        let is_empty = next.usage.is_empty();
        let so_far = match &mut usage {
            None => usage.insert(next),
            Some(so_far) => {
                so_far.usage.extend(next.usage);
                so_far
            }
        };
        let count = so_far.usage.len();
        if is_empty || count >= so_far.total || count >= top {
            break;
        }
    }
    let mut usage = usage.ok_or_else(|| Failure::new("there was no answer"))?;
    usage.usage.truncate(top);
    usage.page_size = usage.usage.len();
    Ok(usage)
}

fn words(usage: &UsageList) -> String {
    let period = format!("{} to {}", usage.from, usage.to);
    if usage.usage.is_empty() {
        return format!("nobody used a model from {period}");
    }
    let is_series = usage.every.is_some();
    let mut rows: Vec<[String; 10]> = usage.usage.iter().map(|row| line(row, is_series)).collect();
    if !is_series {
        rows.push(cells("all together", &usage.sum));
    }
    let name = match usage.by {
        By::User => "user",
        By::Group => "group",
        By::Model => "model",
    };
    let heads = [
        name, "requests", "failed", "refused", "tokens", "input", "cached", "output", "wait",
        "first",
    ];
    format!("{period}\n{}", table(heads, &rows))
}

fn line(row: &UsageRow, is_series: bool) -> [String; 10] {
    match row.at.filter(|_| is_series) {
        Some(at) => cells(&format!("{at} {}", row.name), &row.sum),
        None => cells(&row.name, &row.sum),
    }
}

fn cells(name: &str, sum: &UsageSum) -> [String; 10] {
    [
        name.to_owned(),
        grouped(sum.requests),
        grouped(sum.failed),
        grouped(sum.refused),
        grouped(sum.tokens),
        grouped(sum.input_tokens),
        grouped(sum.cached_tokens),
        grouped(sum.output_tokens),
        millis(Some(sum.queue_ms)),
        millis(sum.first_ms),
    ]
}

async fn requests(
    context: &Context<'_>,
    client: &Client,
    args: &Args,
    count: usize,
) -> Result<(), Failure> {
    let path = query(
        "/api/usage/requests",
        &[
            ("count", Some(count.to_string())),
            ("user", args.user.as_ref().map(ToString::to_string)),
            ("group", args.group.as_ref().map(ToString::to_string)),
            ("model", args.model.clone()),
        ],
    );
    let list: RequestList = client.get(&path).await?;
    let now = Timestamp::now();
    context.output.show(&list.requests, |requests| {
        if requests.is_empty() {
            return "no requests".to_owned();
        }
        let rows: Vec<[String; 9]> = requests.iter().map(|entry| request(entry, now)).collect();
        let heads = [
            "ago", "who", "model", "what", "status", "ended", "tokens", "wait", "took",
        ];
        table(heads, &rows)
    })
}

fn request(entry: &UsageEntry, now: Timestamp) -> [String; 9] {
    let who = entry.user.as_ref().map(ToString::to_string);
    let ended = serde_json::to_value(entry.outcome).unwrap_or_default();
    [
        ago(Some(entry.at), now),
        who.unwrap_or_else(|| entry.group.to_string()),
        entry.model.to_string(),
        entry.operation.clone(),
        entry.status.to_string(),
        ended.as_str().unwrap_or("-").to_owned(),
        grouped(entry.tokens.total()),
        millis(Some(entry.queue_ms)),
        millis(Some(entry.duration_ms)),
    ]
}
