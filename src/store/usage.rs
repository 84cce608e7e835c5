//! The usage: a ledger of requests, and their sums by minute and by day.

use std::collections::HashMap;
use std::ops::Range;

use jiff::Timestamp;
use redb::{Key, ReadableTable as _, ReadableTableMetadata as _, Table, Value};

use crate::domain::tally::{Kept, OTHERS, Place, Span, Tally};
use crate::domain::usage::UsageEntry;
use crate::store::schema::{self, DAYS, MINUTES, REQUESTS, USAGE};
use crate::store::transaction::decode;
use crate::store::{Change, StoreError, View};

/// Requests in the ledger, some 400 bytes each; the oldest makes room.
const REQUESTS_MAX: u64 = 500_000;

/// Models of one owner that are told apart in a minute or a day. Whoever asks for made-up models must
/// not fill the disk with their sums.
const MODELS_MAX: usize = 32;

const BATCH: &str = "batch";
const BALANCES: &str = "balances";

type Sums = schema::TalliedKey;

/// What is added together: all of it, or nothing.
#[derive(Debug, Default)]
pub struct Batch {
    /// Tells it from any other one, so that it is added once however often that is tried.
    pub id: String,
    pub entries: Vec<UsageEntry>,
    /// Sums of requests that are in no ledger.
    pub tallies: HashMap<Place, Tally>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.tallies.is_empty()
    }

    fn sums(&self) -> HashMap<Place, Tally> {
        let mut sums = self.tallies.clone();
        for entry in &self.entries {
            let sum = sums.entry(Place::of(entry)).or_default();
            sum.add(&Tally::of(entry));
        }
        sums
    }
}

/// A row of the sums.
#[derive(Clone, Copy, Debug)]
pub struct Tallied<'a> {
    /// As its [`Span`] counts.
    pub number: u32,
    /// `group/user`, or the group alone.
    pub owner: &'a str,
    pub model: &'a str,
    pub tally: Tally,
}

fn table(span: Span) -> schema::Tallied {
    match span {
        Span::Minute => MINUTES,
        Span::Day => DAYS,
    }
}

impl View {
    /// Every sum of these spans, in their order.
    pub fn tallies(
        &self,
        span: Span,
        numbers: Range<u32>,
        mut each: impl FnMut(Tallied<'_>),
    ) -> Result<(), StoreError> {
        let failed = |error: redb::Error| self.condition.failed(error);
        let table = self.tx.open_table(table(span));
        let table = table.map_err(|e| failed(e.into()))?;
        let keys = (numbers.start, "", "")..(numbers.end, "", "");
        for row in table.range(keys).map_err(|e| failed(e.into()))? {
            let (key, value) = row.map_err(|e| failed(e.into()))?;
            let (number, owner, model) = key.value();
            let name = || format!("{number} {owner} {model}");
            if let Ok(tally) = decode("usage", &name(), value.value(), &self.condition) {
                each(Tallied {
                    number,
                    owner,
                    model,
                    tally,
                });
            }
        }
        Ok(())
    }

    /// The newest requests that are `wanted`, newest first; at most `looked_at` are read.
    pub fn requests(
        &self,
        count: usize,
        looked_at: usize,
        wanted: impl Fn(&UsageEntry) -> bool,
    ) -> Result<Vec<UsageEntry>, StoreError> {
        let failed = |error: redb::Error| self.condition.failed(error);
        let table = self.tx.open_table(REQUESTS);
        let table = table.map_err(|e| failed(e.into()))?;
        let mut found = Vec::new();
        let newest = table.iter().map_err(|e| failed(e.into()))?.rev();
        for row in newest.take(looked_at) {
            if found.len() >= count {
                break;
            }
            let (key, value) = row.map_err(|e| failed(e.into()))?;
            let name = key.value().to_string();
            let entry = decode("usage_requests", &name, value.value(), &self.condition);
            found.extend(entry.ok().filter(&wanted));
        }
        Ok(found)
    }

    /// What the limiter wrote down last.
    pub fn balances(&self) -> Result<Option<String>, StoreError> {
        let failed = |error: redb::Error| self.condition.failed(error);
        let table = self.tx.open_table(USAGE).map_err(|e| failed(e.into()))?;
        let text = table.get(BALANCES).map_err(|e| failed(e.into()))?;
        Ok(text.map(|text| text.value().to_owned()))
    }
}

impl Change {
    /// Adds a batch to ledger and sums, unless it is there already: after an error nobody knows.
    pub fn add_usage(&self, batch: &Batch, now: Timestamp) -> Result<(), StoreError> {
        let failed = |error: redb::Error| self.condition.failed(error);
        let mut state = self.tx.open_table(USAGE).map_err(|e| failed(e.into()))?;
        let before = state
            .insert(BATCH, batch.id.as_str())
            .map_err(|e| failed(e.into()))?;
        if before.is_some_and(|id| id.value() == batch.id) {
            return Ok(());
        }
        self.add_requests(&batch.entries, now)?;
        let sums = batch.sums();
        self.add_sums(Span::Minute, &sums)?;
        self.add_sums(Span::Day, &sums)
    }

    /// By when they are written down: a clock that is set back does not turn them round.
    fn add_requests(&self, entries: &[UsageEntry], now: Timestamp) -> Result<(), StoreError> {
        let failed = |error: redb::Error| self.condition.failed(error);
        let mut table = self.tx.open_table(REQUESTS).map_err(|e| failed(e.into()))?;
        let last = table.last().map_err(|e| failed(e.into()))?;
        let after_last = last.map_or(0, |(key, _)| key.value().saturating_add(1));
        let first = after_last.max(micros(now));
        for (number, entry) in (first..).zip(entries) {
            let bytes = serde_json::to_vec(entry).map_err(|e| self.condition.failed(e))?;
            table
                .insert(number, bytes.as_slice())
                .map_err(|e| failed(e.into()))?;
        }
        Ok(())
    }

    fn add_sums(&self, span: Span, sums: &HashMap<Place, Tally>) -> Result<(), StoreError> {
        let failed = |error: redb::Error| self.condition.failed(error);
        let mut table = self
            .tx
            .open_table(table(span))
            .map_err(|e| failed(e.into()))?;
        for (place, sum) in sums {
            let number = match span {
                Span::Minute => place.minute,
                Span::Day => place.day(),
            };
            let key = (number, place.owner.as_str(), place.model.as_str());
            let is_new = table.get(key).map_err(|e| failed(e.into()))?.is_none();
            if is_new && is_crowded(&table, number, &place.owner).map_err(failed)? {
                let key = (number, place.owner.as_str(), OTHERS);
                self.add_sum(&mut table, key, sum)?;
            } else {
                self.add_sum(&mut table, key, sum)?;
            }
        }
        Ok(())
    }

    /// One that cannot be read is not written over, and keeps nothing else from being written.
    fn add_sum(
        &self,
        table: &mut Table<'_, Sums, &'static [u8]>,
        key: (u32, &str, &str),
        more: &Tally,
    ) -> Result<(), StoreError> {
        let failed = |error: redb::Error| self.condition.failed(error);
        let mut sum = Tally::default();
        if let Some(before) = table.get(key).map_err(|e| failed(e.into()))? {
            let name = format!("{} {} {}", key.0, key.1, key.2);
            match decode("usage", &name, before.value(), &self.condition) {
                Ok(before) => sum = before,
                Err(_) => return Ok(()),
            }
        }
        sum.add(more);
        let bytes = serde_json::to_vec(&sum).map_err(|e| self.condition.failed(e))?;
        table
            .insert(key, bytes.as_slice())
            .map_err(|e| failed(e.into()))?;
        Ok(())
    }

    /// Removes what is older than it is to be, at most `max` rows of each kind. Says whether there may
    /// be more.
    pub fn prune_usage(&self, kept: Kept, now: Timestamp, max: usize) -> Result<bool, StoreError> {
        let failed = |error: redb::Error| self.condition.failed(error);
        let ago = |days: u32| {
            let seconds = i64::from(days) * i64::from(Span::Day.seconds());
            let second = now.as_second().saturating_sub(seconds);
            Timestamp::from_second(second).unwrap_or(Timestamp::MIN)
        };
        let mut ledger = self.tx.open_table(REQUESTS).map_err(|e| failed(e.into()))?;
        let oldest = micros(ago(kept.requests_days));
        let rows = ledger.len().map_err(|e| failed(e.into()))?;
        let excess = usize::try_from(rows.saturating_sub(REQUESTS_MAX)).unwrap_or(usize::MAX);
        let too_many = pop(&mut ledger, excess.min(max), |_| true).map_err(failed)?;
        let too_old = pop(&mut ledger, max - too_many, |key| key < oldest).map_err(failed)?;
        let mut is_more = too_many + too_old >= max;
        for (span, days) in [
            (Span::Minute, kept.minutes_days),
            (Span::Day, kept.days_days),
        ] {
            let mut sums = self
                .tx
                .open_table(table(span))
                .map_err(|e| failed(e.into()))?;
            let oldest = span.number(ago(days));
            let removed = pop(&mut sums, max, |(number, ..)| number < oldest).map_err(failed)?;
            is_more |= removed >= max;
        }
        Ok(is_more)
    }

    /// The limiter's own text, as it is.
    pub fn keep_balances(&self, text: &str) -> Result<(), StoreError> {
        let failed = |error: redb::Error| self.condition.failed(error);
        let mut table = self.tx.open_table(USAGE).map_err(|e| failed(e.into()))?;
        table.insert(BALANCES, text).map_err(|e| failed(e.into()))?;
        Ok(())
    }
}

fn micros(at: Timestamp) -> u64 {
    u64::try_from(at.as_microsecond()).unwrap_or_default()
}

/// Has this owner as many models as are told apart?
fn is_crowded(
    table: &Table<'_, Sums, &'static [u8]>,
    number: u32,
    owner: &str,
) -> Result<bool, redb::Error> {
    // No name has a character before `!`.
    let next = format!("{owner} ");
    let rows = table.range((number, owner, "")..(number, next.as_str(), ""))?;
    Ok(rows.take(MODELS_MAX).count() >= MODELS_MAX)
}

/// Removes rows from the front for as long as they are `doomed`; says how many.
fn pop<K: Key + 'static, V: Value + 'static>(
    table: &mut Table<'_, K, V>,
    max: usize,
    doomed: impl Fn(K::SelfType<'_>) -> bool,
) -> Result<usize, redb::Error> {
    for removed in 0..max {
        let first = table.first()?;
        if !first.is_some_and(|(key, _)| doomed(key.value())) {
            return Ok(removed);
        }
        table.pop_first()?;
    }
    Ok(max)
}
