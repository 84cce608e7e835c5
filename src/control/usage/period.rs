//! Periods: from when to when somebody asks, in words or in times.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::control::Error;

/// Longer ago is nothing that is kept.
const DAYS_MAX: u32 = 3_650;

/// Without anything said.
const USUALLY: SignedDuration = SignedDuration::from_hours(24);

/// From a moment up to another, which is not in it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Period {
    /// `since` is `90m`, `24h`, `7d`, or `today`: since midnight in `zone`.
    pub fn of(
        since: Option<&str>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<Self, Error> {
        let to = to.unwrap_or(now);
        let from = match (since, from) {
            (Some(_), Some(_)) => {
                let words = "`since` and `from` both say when it begins: leave one of them out";
                return Err(Error::Invalid(words.to_owned()));
            }
            (Some(words), None) => since_words(words, now, zone).ok_or_else(|| {
                Error::Invalid(format!(
                    "`{words}` is no period: write 90m, 24h, 7d or today"
                ))
            })?,
            (None, Some(from)) => from,
            (None, None) => to.checked_sub(USUALLY).unwrap_or(Timestamp::MIN),
        };
        if from >= to {
            return Err(Error::Invalid(format!(
                "a period ends after it begins: {from} is not before {to}"
            )));
        }
        Ok(Self { from, to })
    }
}

fn since_words(words: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    if words == "today" {
        let today = now.to_zoned(zone.clone()).start_of_day().ok()?;
        return Some(today.timestamp());
    }
    let (count, minutes) = [("m", 1), ("h", 60), ("d", 1_440)]
        .into_iter()
        .find_map(|(unit, minutes)| Some((words.strip_suffix(unit)?, minutes)))?;
    let count: u32 = count.parse().ok().filter(|count| *count > 0)?;
    let minutes = i64::from(count) * minutes;
    if minutes > i64::from(DAYS_MAX) * 1_440 {
        return None;
    }
    now.checked_sub(SignedDuration::from_mins(minutes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T10:30:00Z".parse().unwrap()
    }

    fn from(since: &str) -> Option<String> {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let period = Period::of(Some(since), None, None, now(), &zone).ok()?;
        Some(period.from.to_string())
    }

    #[test]
    fn periods_are_said_in_words_or_in_times() {
        for (words, begins) in [
            ("90m", "2026-11-22T09:00:00Z"),
            ("24h", "2026-11-21T10:30:00Z"),
            ("7d", "2026-11-15T10:30:00Z"),
            ("today", "2026-11-21T23:00:00Z"),
        ] {
            assert_eq!(from(words).as_deref(), Some(begins), "{words}");
        }
        for words in [
            "",
            "h",
            "0h",
            "-1h",
            "1.5h",
            "1w",
            "é",
            "4000d",
            "99999999999d",
            "24",
        ] {
            assert_eq!(from(words), None, "{words}");
        }
    }

    #[test]
    fn a_period_ends_after_it_begins_and_begins_once() {
        let zone = TimeZone::UTC;
        let early = Some(Timestamp::UNIX_EPOCH);
        assert!(Period::of(None, Some(now()), early, now(), &zone).is_err());
        assert!(Period::of(None, Some(now()), None, now(), &zone).is_err());
        assert!(Period::of(Some("1h"), early, None, now(), &zone).is_err());
        let usually = Period::of(None, None, None, now(), &zone).unwrap();
        assert_eq!(usually.from.to_string(), "2026-11-21T10:30:00Z");
        assert!(Period::of(None, early, None, now(), &zone).is_ok());
    }
}
