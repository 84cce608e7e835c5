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
        model: Option<&ModelName>,
        members: u32,
        now_us: u64,
    ) -> &mut Bucket {
        let pace = rule.pace(members);
        let line = self.entry(rule, model, members, now_us);
        if line.bucket.pace() != pace {
            line.members = members;
            line.bucket.hold(pace, now_us);
        }
        &mut line.bucket
    }

    /// The balance at present. What it holds is not for somebody to say who was admitted long ago.
    pub fn charged(
        &mut self,
        rule: &Rule,
        model: Option<&ModelName>,
        members: u32,
        now_us: u64,
    ) -> &mut Bucket {
        &mut self.entry(rule, model, members, now_us).bucket
    }

    fn entry(
        &mut self,
        rule: &Rule,
        model: Option<&ModelName>,
        members: u32,
        now_us: u64,
    ) -> &mut Line {
        let key = (rule.id.clone(), model.cloned());
        let line = self.lines.entry(key).or_insert_with(|| Line {
            members,
            bucket: Bucket::full(rule.pace(members), now_us),
        });
        line.bucket.fill(now_us);
        line
    }

    /// What tells the rule's balance of a model apart: nothing, if there are too many already.
    pub fn apart<'m>(&self, rule: &Rule, model: &'m ModelName) -> Option<&'m ModelName> {
        let model = rule.apart(model)?;
        let has_room = self.lines.len() < LINES_MAX;
        let is_there = || {
            self.lines
                .contains_key(&(rule.id.clone(), Some(model.clone())))
        };
        (has_room || is_there()).then_some(model)
    }

    /// The balance as it is written.
    pub fn read(&self, rule: &Rule, model: &ModelName) -> Option<&Line> {
        let model = self.apart(rule, model);
        self.lines.get(&(rule.id.clone(), model.cloned()))
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
