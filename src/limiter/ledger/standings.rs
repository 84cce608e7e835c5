//! How the limits of somebody stand, and what a refusal says of them.

use std::time::Duration;

use crate::domain::model::ModelName;
use crate::domain::quota::{Models, Scope};
use crate::limiter::ask::{Ask, Refusal, Subject};
use crate::limiter::bucket::Bucket;
use crate::limiter::ledger::{Denied, Ledger};
use crate::limiter::page::{Line, Page};
use crate::limiter::rules::{Counts, Rule, Rules, THOUSAND};
use crate::limiter::standing::{Account, Standing};

impl Ledger {
    /// Of one model, or of all that somebody draws on.
    pub fn standings(
        &self,
        rules: &Rules,
        subject: &Subject,
        model: Option<&ModelName>,
        now_us: u64,
    ) -> Vec<Standing> {
        let mut all = Vec::new();
        for rule in &rules.rules {
            match model {
                Some(model) if rule.concerns(model) => {
                    all.push(self.standing(rule, subject, model, now_us));
                }
                Some(_) => {}
                None => self.standings_of(rule, subject, now_us, &mut all),
            }
        }
        all
    }

    pub fn standing(
        &self,
        rule: &Rule,
        subject: &Subject,
        model: &ModelName,
        now_us: u64,
    ) -> Standing {
        let line = self
            .page_of(subject, rule.limit.scope)
            .and_then(|page| page.read(rule, model));
        standing(rule, subject, rule.apart(model), line, now_us)
    }

    fn standings_of(&self, rule: &Rule, subject: &Subject, now_us: u64, all: &mut Vec<Standing>) {
        let page = self.page_of(subject, rule.limit.scope);
        let before = all.len();
        let lines = page.into_iter().flat_map(|page| page.of(rule));
        all.extend(
            lines.map(|line| standing(rule, subject, line.model.as_ref(), Some(line), now_us)),
        );
        if all.len() == before {
            all.push(standing(rule, subject, None, None, now_us));
        }
    }

    fn page_of(&self, subject: &Subject, scope: Scope) -> Option<&Page> {
        match scope {
            Scope::Event => Some(&self.event),
            Scope::Group => self.groups.get(&subject.group).map(|pages| &pages.own),
            Scope::User => self.user(subject).map(|user| &user.page),
        }
    }
}

impl Ledger {
    /// In the words of whoever asked.
    pub fn refusal(&self, rules: &Rules, ask: &Ask, denied: Denied, now_us: u64) -> Refusal {
        let Some(rule) = rules.rules.get(denied.rule) else {
            return Refusal::Unavailable;
        };
        let limit = self.standing(rule, &ask.subject, &ask.model, now_us);
        let limit = Box::new(limit);
        let requested = denied.requested.div_ceil(THOUSAND);
        match (denied.wait_us.map(Duration::from_micros), rule.counts) {
            (None, _) => Refusal::TooLarge { limit, requested },
            (Some(retry_after), Counts::Tokens) => Refusal::Tokens {
                limit,
                requested,
                retry_after,
            },
            (Some(retry_after), Counts::Requests) => Refusal::Requests {
                per_minute: u32::try_from(limit.capacity).unwrap_or(u32::MAX),
                limit,
                retry_after,
            },
        }
    }
}

/// Without a line it is full.
fn standing(
    rule: &Rule,
    subject: &Subject,
    model: Option<&ModelName>,
    line: Option<&Line>,
    now_us: u64,
) -> Standing {
    let pace = rule.pace(subject.members);
    let mut bucket = line.map_or_else(|| Bucket::full(pace, now_us), |line| line.bucket);
    bucket.hold(pace, now_us);
    let unit = i64::try_from(THOUSAND).unwrap_or(1);
    let named = match &rule.limit.models {
        Models::One(name) => Some(name),
        Models::Together | Models::Each => model,
    };
    Standing {
        limit_id: rule.id.clone(),
        counts: rule.counts,
        account: account(subject, rule.limit.scope),
        model: named.cloned(),
        mode: rule.limit.mode,
        capacity: pace.capacity() / THOUSAND,
        remaining: bucket.left().div_euclid(unit),
        full_after: Duration::from_micros(bucket.full_after_us()),
        window: Duration::from_micros(pace.window_us()),
    }
}

fn account(subject: &Subject, scope: Scope) -> Account {
    match (scope, &subject.user) {
        (Scope::Event, _) => Account::Event,
        (Scope::Group, _) => Account::Group(subject.group.clone()),
        (Scope::User, Some(user)) => Account::User(user.clone()),
        (Scope::User, None) => Account::GroupKey(subject.group.clone()),
    }
}
