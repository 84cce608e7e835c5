//! The balances of one account, as far as they are not full.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::model::ModelName;
use crate::limiter::bucket::Bucket;
use crate::limiter::rules::{Rule, Rules};

/// Balances of single models that an account has at the same time; further models share one.
pub const LINES_MAX: usize = 64;

/// A balance that is full need not be written down.
#[derive(Debug, Default)]
pub struct Page {
    lines: BTreeMap<LineKey, Line>,
}

/// The limit, and the model if each has its own.
type LineKey = (Arc<str>, Option<ModelName>);

#[derive(Debug)]
pub struct Line {
    pub members: u32,
    pub bucket: Bucket,
}

impl Page {
    /// The balance, brought to the present and to what the rule allows.
    pub fn line(
        &mut self,
        rule: &Rule,
        model: &ModelName,
        members: u32,
        now_us: u64,
    ) -> &mut Bucket {
        let pace = rule.pace(members);
        let line = self
            .lines
            .entry(self.key(rule, model))
            .or_insert_with(|| Line {
                members,
                bucket: Bucket::full(pace, now_us),
            });
        if line.bucket.pace() == pace {
            line.bucket.fill(now_us);
        } else {
            line.members = members;
            line.bucket.hold(pace, now_us);
        }
        &mut line.bucket
    }

    fn key(&self, rule: &Rule, model: &ModelName) -> LineKey {
        let own = (rule.id.clone(), rule.apart(model).cloned());
        if own.1.is_none() || self.lines.len() < LINES_MAX || self.lines.contains_key(&own) {
            return own;
        }
        (own.0, None)
    }

    /// The balance as it is written.
    pub fn read(&self, rule: &Rule, model: &ModelName) -> Option<&Line> {
        self.lines.get(&self.key(rule, model))
    }

    /// All balances of a rule, with the models that have their own.
    pub fn of<'p>(
        &'p self,
        rule: &Rule,
    ) -> impl Iterator<Item = (Option<&'p ModelName>, &'p Line)> {
        let first = (rule.id.clone(), None);
        let id = rule.id.clone();
        self.lines
            .range(first..)
            .take_while(move |((line, _), _)| *line == id)
            .map(|((_, model), line)| (model.as_ref(), line))
    }

    pub fn all(&self) -> impl Iterator<Item = (&LineKey, &Line)> {
        self.lines.iter()
    }

    pub fn restore(&mut self, limit: &str, model: Option<ModelName>, line: Line) {
        self.lines.insert((limit.into(), model), line);
    }

    pub fn drop_full(&mut self, now_us: u64) {
        self.lines.retain(|_, line| {
            line.bucket.fill(now_us);
            !line.bucket.is_full()
        });
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn apply(&mut self, rules: &Rules, now_us: u64) {
        for ((limit, _), line) in &mut self.lines {
            if let Some(rule) = rules.find(limit) {
                line.bucket.hold(rule.pace(line.members), now_us);
            }
        }
    }
}
