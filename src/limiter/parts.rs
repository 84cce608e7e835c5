//! The balances of a request by the names that all appliances know.

use crate::domain::quota::Scope;
use crate::limiter::ask::Ask;
use crate::limiter::ledger::{Charge, Hold};
use crate::limiter::redis::Part;
use crate::limiter::rules::{Draw, Held, Rule, Rules};

/// What a request wants.
pub fn wanted(prefix: &str, rules: &Rules, ask: &Ask, draws: &[Draw]) -> Vec<Part> {
    let parts = draws.iter().filter_map(|draw| {
        let rule = rules.rules.get(draw.rule)?;
        Some(Part {
            refuses: draw.refuses,
            ..part(prefix, rule, ask, draw.reserve)
        })
    });
    parts.collect()
}

/// What it holds.
pub fn held(prefix: &str, rules: Held<'_>, ask: &Ask, holds: &[Hold]) -> Vec<Part> {
    each(prefix, rules, ask, holds, |_, hold| hold.reserved)
}

/// What it cost.
pub fn charged(
    prefix: &str,
    rules: Held<'_>,
    ask: &Ask,
    (holds, charge): (&[Hold], Charge),
) -> Vec<Part> {
    each(prefix, rules, ask, holds, |rule, _| charge.of(rule))
}

fn each(
    prefix: &str,
    rules: Held<'_>,
    ask: &Ask,
    holds: &[Hold],
    amount: impl Fn(&Rule, &Hold) -> u64,
) -> Vec<Part> {
    let parts = holds.iter().filter_map(|hold| {
        let rule = rules.present(hold.rule)?;
        Some(part(prefix, rule, ask, amount(rule, hold)))
    });
    parts.collect()
}

fn part(prefix: &str, rule: &Rule, ask: &Ask, amount: u64) -> Part {
    let subject = &ask.subject;
    let whose = match (rule.limit.scope, &subject.user) {
        (Scope::Event, _) => "event".to_owned(),
        (Scope::Group, _) => format!("group/{}", subject.group),
        (Scope::User, Some(user)) => format!("user/{user}"),
        (Scope::User, None) => format!("key/{}", subject.group),
    };
    let model = rule.apart(&ask.model).map_or("", |name| name.as_str());
    Part {
        key: format!("{prefix}:balance:{}:{whose}:{model}", rule.id),
        pace: rule.pace(subject.members),
        amount,
        refuses: false,
    }
}
