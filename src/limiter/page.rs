//! The balances of one account, as far as they are not full.

use std::sync::Arc;

use crate::domain::model::ModelName;
use crate::limiter::bucket::Bucket;
use crate::limiter::rules::{Rule, Rules};

/// Balances of single models that an account has at the same time; further models share one.
pub const LINES_MAX: usize = 64;

/// A balance that is full need not be written down. They are few: looking at each is the fastest.
#[derive(Debug, Default)]
pub struct Page {
    lines: Vec<Line>,
}

#[derive(Debug)]
pub struct Line {
    pub limit: Arc<str>,
    /// If each model has its own.
    pub model: Option<ModelName>,
    pub members: u32,
    pub bucket: Bucket,
}

impl Line {
    fn is(&self, rule: &Rule, model: Option<&ModelName>) -> bool {
        (Arc::ptr_eq(&self.limit, &rule.id) || self.limit == rule.id)
            && self.model.as_ref() == model
    }
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
        let found = self.lines.iter().position(|line| line.is(rule, model));
        let at = found.unwrap_or_else(|| {
            self.lines.push(Line {
                limit: rule.id.clone(),
                model: model.cloned(),
                members,
                bucket: Bucket::full(rule.pace(members), now_us),
            });
            self.lines.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "it was found or put there above")]
        let line = &mut self.lines[at];
        line.bucket.fill(now_us);
        line
    }

    /// What tells the rule's balance of a model apart: nothing, if there are too many already.
    pub fn apart<'m>(&self, rule: &Rule, model: &'m ModelName) -> Option<&'m ModelName> {
        let model = rule.apart(model)?;
        let has_room = self.lines.len() < LINES_MAX;
        let is_there = || self.lines.iter().any(|line| line.is(rule, Some(model)));
        (has_room || is_there()).then_some(model)
    }

    /// The balance as it is written.
    pub fn read(&self, rule: &Rule, model: &ModelName) -> Option<&Line> {
        let model = self.apart(rule, model);
        self.lines.iter().find(|line| line.is(rule, model))
    }

    /// All balances of a rule, with the models that have their own.
    pub fn of(&self, rule: &Rule) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.limit == rule.id)
    }

    pub fn all(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    pub fn restore(&mut self, line: Line) {
        self.lines.push(line);
    }

    pub fn drop_full(&mut self, now_us: u64) {
        self.lines.retain_mut(|line| {
            line.bucket.fill(now_us);
            !line.bucket.is_full()
        });
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn apply(&mut self, rules: &Rules, now_us: u64) {
        for line in &mut self.lines {
            if let Some(rule) = rules.find(&line.limit) {
                // The one that everything asked next is compared with first.
                line.limit = rule.id.clone();
                line.bucket.hold(rule.pace(line.members), now_us);
            }
        }
    }
}
