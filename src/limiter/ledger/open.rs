//! The pages that one request draws on, opened at the same time.

use crate::domain::quota::Scope;
use crate::limiter::ask::Ask;
use crate::limiter::bucket::Bucket;
use crate::limiter::ledger::{Denied, Hold};
use crate::limiter::page::Page;
use crate::limiter::rules::{Draw, Rule, Rules};

/// The pages that a request draws on.
pub(super) struct Open<'l> {
    pub(super) event: &'l mut Page,
    pub(super) group: &'l mut Page,
    pub(super) user: &'l mut Page,
}

impl Open<'_> {
    fn page(&mut self, rule: &Rule) -> &mut Page {
        match rule.limit.scope {
            Scope::Event => self.event,
            Scope::Group => self.group,
            Scope::User => self.user,
        }
    }

    /// The balance that a new request draws on.
    pub(super) fn line(&mut self, rule: &Rule, ask: &Ask, now_us: u64) -> &mut Bucket {
        let page = self.page(rule);
        let model = page.apart(rule, &ask.model);
        page.line(rule, model, ask.subject.members, now_us)
    }

    /// The balance that a request drew on.
    pub(super) fn drawn(
        &mut self,
        (rule, hold): (&Rule, &Hold),
        ask: &Ask,
        now_us: u64,
    ) -> &mut Bucket {
        let model = rule.apart(&ask.model).filter(|_| !hold.is_shared);
        let page = self.page(rule);
        page.charged(rule, model, ask.subject.members, now_us)
    }

    /// Why it does not fit, if it does not.
    pub(super) fn check(
        &mut self,
        rules: &Rules,
        ask: &Ask,
        draws: &[Draw],
        now_us: u64,
    ) -> Option<Denied> {
        let mut denied = None;
        for draw in draws.iter().filter(|draw| draw.refuses) {
            if let Some(rule) = rules.rules.get(draw.rule) {
                let bucket = self.line(rule, ask, now_us);
                denied = later(denied, refusal(draw, bucket));
            }
        }
        denied
    }

    pub(super) fn mirror(
        &mut self,
        rules: &Rules,
        ask: &Ask,
        (draws, used): (&[Draw], &[i64]),
        now_us: u64,
    ) {
        for (draw, used) in draws.iter().zip(used) {
            if let Some(rule) = rules.rules.get(draw.rule) {
                self.line(rule, ask, now_us).use_only(*used);
            }
        }
    }

    pub(super) fn hold(&mut self, rules: &Rules, draw: &Draw, ask: &Ask) -> Hold {
        let rule = rules.rules.get(draw.rule);
        let is_shared = rule.is_some_and(|rule| {
            rule.apart(&ask.model).is_some() && self.page(rule).apart(rule, &ask.model).is_none()
        });
        Hold {
            rule: draw.rule,
            reserved: draw.reserve,
            is_shared,
        }
    }
}

/// Why a request will never fit, whatever is left.
pub fn never(draws: &[Draw]) -> Option<Denied> {
    let mut refusing = draws.iter().filter(|draw| draw.refuses);
    let never = refusing.find(|draw| draw.never_fits())?;
    Some(Denied {
        rule: never.rule,
        requested: never.reserve.max(never.least),
        wait_us: None,
    })
}

/// Why the draw does not fit, if it does not.
fn refusal(draw: &Draw, bucket: &Bucket) -> Option<Denied> {
    let wait_us = if draw.never_fits() {
        None
    } else if bucket.has(draw.reserve) {
        return None;
    } else {
        bucket.wait_us(draw.reserve)
    };
    Some(Denied {
        rule: draw.rule,
        requested: draw.reserve.max(draw.least),
        wait_us,
    })
}

/// The one that lasts longer: for ever, if one does.
fn later(one: Option<Denied>, other: Option<Denied>) -> Option<Denied> {
    match (one, other) {
        (Some(one), Some(other)) => {
            let lasts = |it: &Denied| it.wait_us.unwrap_or(u64::MAX);
            Some(if lasts(&other) > lasts(&one) {
                other
            } else {
                one
            })
        }
        (one, other) => one.or(other),
    }
}
