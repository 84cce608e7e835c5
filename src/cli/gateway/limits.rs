//! `thon gateway limits`: what is in force, and changing it while the appliance runs.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use clap::Subcommand;

use crate::api::LimitsView;
use crate::cli::Context;
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::usage::word;
use crate::cli::words::{grouped, span, table};
use crate::domain::model::ModelName;
use crate::domain::quota::{Limits, Mode, Models, Scope, TokenLimit};
use crate::domain::set_limits::SetLimits;

const PATH: &str = "/api/gateway/limits";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Change some; the others stay. In force at once, and after a restart
    Set(Set),
    /// As the settings file says again
    Reset,
}

/// What is not named stays as it is.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Set {
    /// Tokens in a window, in place of a limit with the same scope, window and models
    #[arg(long)]
    tokens: Option<u64>,
    /// Length of the window: 60s, 1m, 5h, 1d
    #[arg(long, default_value = "1m", value_parser = window, requires = "tokens")]
    window: NonZeroU32,
    /// Who has a balance: each user, each group, or event for all together
    #[arg(long, default_value = "user", value_parser = word::<Scope>, requires = "tokens")]
    scope: Scope,
    /// all together, each, or one model's name
    #[arg(long, default_value = "all", requires = "tokens")]
    models: String,
    /// strict, balanced or observe
    #[arg(long, default_value = "balanced", value_parser = word::<Mode>, requires = "tokens")]
    mode: Mode,
    /// A group's tokens for each of its participants
    #[arg(long, requires = "tokens")]
    per_member: bool,
    /// Take a token limit away, by the name that the list gives it
    #[arg(long, value_name = "LIMIT")]
    remove: Vec<String>,
    /// Requests of each user; 0 is no limit
    #[arg(long, value_name = "COUNT")]
    requests_per_minute: Option<u32>,
    /// Requests of each user at the same time; 0 is no limit
    #[arg(long, value_name = "COUNT")]
    concurrency: Option<u32>,
    /// Requests to a model at the same time; 0 is no limit
    #[arg(long, value_name = "MODEL=COUNT", value_parser = of_model)]
    model_concurrency: Vec<(ModelName, u32)>,
}

pub(super) async fn perform(
    context: &Context<'_>,
    client: &Client,
    args: Args,
) -> Result<(), Failure> {
    let view: LimitsView = match args.action {
        None => client.get(PATH).await?,
        Some(Action::Set(set)) => {
            let before: LimitsView = client.get(PATH).await?;
            client.put(PATH, &wish(set, &before.in_force)?).await?
        }
        Some(Action::Reset) => {
            client.delete(PATH).await?;
            output::say("the settings file's limits are in force");
            client.get(PATH).await?
        }
    };
    context.output.show(&view, words)
}

fn wish(set: Set, before: &Limits) -> Result<SetLimits, Failure> {
    let mut wish = SetLimits {
        requests_per_minute: set.requests_per_minute,
        concurrency: set.concurrency,
        ..SetLimits::default()
    };
    if set.tokens.is_some() || !set.remove.is_empty() {
        wish.tokens = Some(tokens(&set, before.tokens.clone())?);
    }
    if !set.model_concurrency.is_empty() {
        let counts = before.model_concurrency.iter();
        let mut counts: BTreeMap<ModelName, u32> = counts
            .map(|(model, count)| (model.clone(), count.get()))
            .collect();
        counts.extend(set.model_concurrency);
        wish.model_concurrency = Some(counts);
    }
    Ok(wish)
}

fn tokens(set: &Set, mut limits: Vec<TokenLimit>) -> Result<Vec<TokenLimit>, Failure> {
    for id in &set.remove {
        let before = limits.len();
        limits.retain(|limit| limit.id() != *id);
        if limits.len() == before {
            return Err(Failure::new(format!("there is no limit {id}"))
                .hint("`thon gateway limits` names them"));
        }
    }
    if let Some(tokens) = set.tokens {
        let limit = TokenLimit {
            scope: set.scope,
            models: match set.models.as_str() {
                "all" => Models::Together,
                "each" => Models::Each,
                name => Models::One(ModelName::new(name)),
            },
            tokens,
            window_s: set.window,
            mode: set.mode,
            per_member: set.per_member,
        };
        limits.retain(|other| other.id() != limit.id());
        limits.push(limit);
    }
    Ok(limits)
}

fn window(text: &str) -> Result<NonZeroU32, String> {
    let wrong = || format!("`{text}` is no length: write 60s, 1m, 5h or 1d");
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let mut units = units.into_iter();
    let found = units.find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (count, seconds) = found.unwrap_or((text, 1));
    let count: u32 = count.parse().map_err(|_| wrong())?;
    let seconds = count.checked_mul(seconds).ok_or_else(wrong)?;
    NonZeroU32::new(seconds).ok_or_else(wrong)
}

fn of_model(text: &str) -> Result<(ModelName, u32), String> {
    let (model, count) = text
        .rsplit_once('=')
        .ok_or_else(|| format!("`{text}`: write MODEL=COUNT"))?;
    let count = count
        .parse()
        .map_err(|_| format!("`{count}` is no number"))?;
    Ok((ModelName::new(model), count))
}

fn words(view: &LimitsView) -> String {
    let limits = &view.in_force;
    let count = |count: Option<NonZeroU32>| {
        count.map_or("no limit".to_owned(), |count| grouped(count.get().into()))
    };
    let from = |is_set: bool| if is_set { "command" } else { "settings" }.to_owned();
    let set = &view.set;
    let mut rows: Vec<[String; 4]> = limits
        .tokens
        .iter()
        .map(|limit| {
            let window = span(limit.window_s.get().into());
            let each = if limit.per_member {
                " a participant"
            } else {
                ""
            };
            let tokens = format!("{} tokens{each} in {window}", grouped(limit.tokens));
            let is_set = set.tokens.is_some();
            [limit.id(), tokens, limit.mode.to_string(), from(is_set)]
        })
        .collect();
    rows.push([
        "requests a minute".to_owned(),
        count(limits.requests_per_minute),
        String::new(),
        from(set.requests_per_minute.is_some()),
    ]);
    rows.push([
        "requests at once".to_owned(),
        count(limits.concurrency),
        String::new(),
        from(set.concurrency.is_some()),
    ]);
    rows.extend(limits.model_concurrency.iter().map(|(model, at_once)| {
        let is_set = set.model_concurrency.is_some();
        let name = format!("at once, {model}");
        [name, count(Some(*at_once)), String::new(), from(is_set)]
    }));
    table(["limit", "is", "mode", "from"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_written_as_people_say_them() {
        for (text, seconds) in [
            ("60s", 60),
            ("90", 90),
            ("1m", 60),
            ("5h", 18_000),
            ("1d", 86_400),
        ] {
            assert_eq!(window(text).unwrap().get(), seconds, "{text}");
        }
        for text in ["", "0s", "-1m", "1w", "1.5h", "99999999d", "m"] {
            assert!(window(text).is_err(), "{text}");
        }
        assert_eq!(of_model("a=b=4").unwrap(), (ModelName::new("a=b"), 4));
        assert!(of_model("qwen").is_err() && of_model("qwen=x").is_err());
    }
}
