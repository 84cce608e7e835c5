//! Questions about usage: which sums are read, and how they are put together.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;

use crate::control::Error;
use crate::control::usage::Period;
use crate::domain::id::{GroupName, UserRef};
use crate::domain::model::ModelName;
use crate::domain::tally::{Kept, Span, Tally};
use crate::domain::usage::UsageEntry;
use crate::store::{Tallied, View};

/// Minutes of one series.
const SERIES_MINUTES_MAX: u32 = 1_441;

/// More rows are no answer that anybody reads.
const ROWS_MAX: usize = 50_000;

const MINUTES_A_DAY: u32 = Span::Day.seconds() / Span::Minute.seconds();

/// Whose sums are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    User,
    Group,
    Model,
}

/// Whose requests count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub user: Option<UserRef>,
    pub group: Option<GroupName>,
    pub model: Option<ModelName>,
}

impl Wanted {
    pub(super) fn has_request(&self, entry: &UsageEntry) -> bool {
        is_or_any(self.user.as_ref(), |user| entry.user.as_ref() == Some(user))
            && is_or_any(self.group.as_ref(), |group| entry.group == *group)
            && is_or_any(self.model.as_ref(), |model| entry.model == *model)
    }

    fn has(&self, row: &Tallied<'_>, user: Option<&str>) -> bool {
        is_or_any(user, |user| row.owner == user)
            && is_or_any(self.group.as_ref(), |group| {
                group_of(row.owner) == group.as_str()
            })
            && is_or_any(self.model.as_ref(), |model| row.model == model.as_str())
    }
}

fn is_or_any<T>(wanted: Option<T>, is: impl FnOnce(T) -> bool) -> bool {
    wanted.is_none_or(is)
}

fn group_of(owner: &str) -> &str {
    owner.split_once('/').map_or(owner, |(group, _)| group)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub period: Period,
    pub by: By,
    /// Sums of each of these, instead of one for the whole period.
    pub every: Option<Span>,
    pub wanted: Wanted,
}

/// Those who used most first, or in the order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was counted: whole minutes, or whole days where minutes are not kept.
    pub period: Period,
    pub rows: Vec<Row>,
    pub sum: Tally,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When the span began, in a series.
    pub at: Option<Timestamp>,
    pub name: String,
    pub tally: Tally,
}

impl Question {
    pub(super) fn answer(&self, view: &View, kept: Kept, now: Timestamp) -> Result<Answer, Error> {
        let parts = self.parts(kept, now)?;
        let user = self.wanted.user.as_ref().map(ToString::to_string);
        let mut rows = BTreeMap::<(Option<u32>, String), Tally>::new();
        let mut sum = Tally::default();
        for (span, numbers) in &parts {
            view.tallies(*span, numbers.clone(), |row| {
                if self.wanted.has(&row, user.as_deref()) && rows.len() <= ROWS_MAX {
                    let at = self.every.map(|_| row.number);
                    let name = self.name(&row).to_owned();
                    rows.entry((at, name)).or_default().add(&row.tally);
                    sum.add(&row.tally);
                }
            })?;
        }
        if rows.len() > ROWS_MAX {
            let words =
                format!("that would be more than {ROWS_MAX} rows: ask for a shorter period");
            return Err(Error::Invalid(words));
        }
        Ok(Answer {
            period: period(&parts),
            rows: self.ordered(rows),
            sum,
        })
    }

    fn name<'a>(&self, row: &Tallied<'a>) -> &'a str {
        match self.by {
            By::User => row.owner,
            By::Group => group_of(row.owner),
            By::Model => row.model,
        }
    }

    fn ordered(&self, rows: BTreeMap<(Option<u32>, String), Tally>) -> Vec<Row> {
        let rows = rows.into_iter().map(|((number, name), tally)| Row {
            at: self
                .every
                .zip(number)
                .map(|(span, number)| span.start(number)),
            name,
            tally,
        });
        let mut rows: Vec<Row> = rows.collect();
        if self.every.is_none() {
            let used = |row: &Row| (row.tally.tokens.total(), row.tally.requests);
            rows.sort_by(|a, b| used(b).cmp(&used(a)).then_with(|| a.name.cmp(&b.name)));
        }
        rows
    }

    /// Which sums make up the period, in the order of time.
    fn parts(&self, kept: Kept, now: Timestamp) -> Result<Vec<(Span, Range<u32>)>, Error> {
        let minutes = outer(Span::Minute, self.period);
        let parts = match self.every {
            Some(Span::Day) => vec![(Span::Day, outer(Span::Day, self.period))],
            Some(Span::Minute) => {
                if minutes.len() > usize::try_from(SERIES_MINUTES_MAX).unwrap_or(usize::MAX) {
                    let words = "by minutes, a period has a day at most".to_owned();
                    return Err(Error::Invalid(words));
                }
                vec![(Span::Minute, minutes)]
            }
            None => {
                let oldest_s = now.as_second() - i64::from(kept.minutes_days) * 86_400;
                let oldest = Timestamp::from_second(oldest_s).unwrap_or(Timestamp::MIN);
                // Of the day that it is in, some minutes are gone already.
                pieces(minutes, Span::Day.number(oldest).saturating_add(1))
            }
        };
        Ok(parts)
    }
}

/// The numbers of all spans that the period touches.
fn outer(span: Span, period: Period) -> Range<u32> {
    let start = span.number(period.from);
    let last = span.number(period.to);
    let is_whole = span.start(last) >= period.to;
    let end = if is_whole {
        last
    } else {
        last.saturating_add(1)
    };
    start..end.max(start)
}

/// Whole days, and minutes before and after them. A day before `oldest_day` has no minutes any more, and
/// counts as a whole.
fn pieces(minutes: Range<u32>, oldest_day: u32) -> Vec<(Span, Range<u32>)> {
    let (first, last) = (minutes.start / MINUTES_A_DAY, minutes.end / MINUTES_A_DAY);
    let cuts_first = !minutes.start.is_multiple_of(MINUTES_A_DAY);
    let cuts_last = !minutes.end.is_multiple_of(MINUTES_A_DAY);
    let from = first.saturating_add(u32::from(cuts_first && first >= oldest_day));
    let to = last.saturating_add(u32::from(cuts_last && last < oldest_day));
    if from >= to {
        return vec![(Span::Minute, minutes)];
    }
    let day = |number: u32| number.saturating_mul(MINUTES_A_DAY);
    let pieces = [
        (Span::Minute, minutes.start..day(from)),
        (Span::Day, from..to),
        (Span::Minute, day(to)..minutes.end),
    ];
    let pieces = pieces.into_iter();
    pieces.filter(|(_, numbers)| !numbers.is_empty()).collect()
}

fn period(parts: &[(Span, Range<u32>)]) -> Period {
    let from = parts
        .first()
        .map(|(span, numbers)| span.start(numbers.start));
    let to = parts.last().map(|(span, numbers)| span.start(numbers.end));
    Period {
        from: from.unwrap_or(Timestamp::MIN),
        to: to.unwrap_or(Timestamp::MIN),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_are_taken_whole_and_the_rest_by_minutes() {
        let day = MINUTES_A_DAY;
        let by_minute = |numbers| (Span::Minute, numbers);
        let by_day = |numbers| (Span::Day, numbers);
        for (minutes, pieces_of_it) in [
            (10..20, vec![by_minute(10..20)]),
            (0..day, vec![by_day(0..1)]),
            (5..day + 5, vec![by_minute(5..day + 5)]),
            (
                5..3 * day + 7,
                vec![
                    by_minute(5..day),
                    by_day(1..3),
                    by_minute(3 * day..3 * day + 7),
                ],
            ),
            (
                day - 1..2 * day,
                vec![by_minute(day - 1..day), by_day(1..2)],
            ),
        ] {
            assert_eq!(pieces(minutes.clone(), 0), pieces_of_it, "{minutes:?}");
        }
        // The minutes of day 0 are gone.
        let since_1 = |minutes| pieces(minutes, 1);
        assert_eq!(since_1(5..20), [by_day(0..1)]);
        assert_eq!(since_1(5..day + 5), [by_day(0..1), by_minute(day..day + 5)]);
    }

    proptest! {
        #[test]
        fn every_minute_counts_once_and_only_old_days_are_rounded(
            start in 0_u32..20_000,
            length in 1_u32..20_000,
            oldest_day in 0_u32..20,
        ) {
            let asked = start..start + length;
            let mut counted = Vec::new();
            for (span, numbers) in pieces(asked.clone(), oldest_day) {
                let each = if span == Span::Day { MINUTES_A_DAY } else { 1 };
                counted.extend(numbers.start * each..numbers.end * each);
            }
            prop_assert!(counted.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            let (first, last) = (counted[0], counted[counted.len() - 1]);
            prop_assert!(first <= asked.start && last + 1 >= asked.end);
            prop_assert!(first == asked.start || asked.start / MINUTES_A_DAY < oldest_day);
            prop_assert!(last + 1 == asked.end || asked.end / MINUTES_A_DAY < oldest_day);
        }
    }
}
