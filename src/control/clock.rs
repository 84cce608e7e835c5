//! Pure: may so many sessions end at once, or is it the clock?
//!
//! While the appliance runs, sessions age by a clock that nobody can set. What happened before it
//! started is known by the host's clock alone; when that one was set forward by a day in between,
//! everybody would be signed out for good.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Fewer may end at once without a question.
const HANDFUL: usize = 5;

/// The clock has to run evenly for so long before many sessions end.
const STEADY: Duration = Duration::from_hours(1);

/// More than slewing moves a clock from one look to the next.
const JUMP: SignedDuration = SignedDuration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They end.
    End,
    /// They stay where they are until this much time has passed without a jump of the clock.
    Hold(Duration),
}

/// What was seen of the clock so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Option<(Timestamp, Instant)>,
    holding_since: Option<Instant>,
}

impl Watch {
    /// `ending` of `all` sessions are too old by now.
    pub(super) fn judge(
        &mut self,
        ending: usize,
        all: usize,
        wall: Timestamp,
        now: Instant,
    ) -> Verdict {
        let has_jumped = self.last.is_some_and(|(before, then)| {
            let passed = now.saturating_duration_since(then);
            let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
            (wall.duration_since(before).saturating_sub(passed)).abs() > JUMP
        });
        self.last = Some((wall, now));
        // More than a fifth.
        if ending <= HANDFUL || ending.saturating_mul(5) <= all {
            self.holding_since = None;
            return Verdict::End;
        }
        let since = match self.holding_since {
            Some(since) if !has_jumped => since,
            _ => *self.holding_since.insert(now),
        };
        match STEADY.checked_sub(now.saturating_duration_since(since)) {
            Some(left) if !left.is_zero() => Verdict::Hold(left),
            _ => Verdict::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// A wall clock and the other one, both a minute on.
    fn after(minutes: u32, start: Instant, jump: SignedDuration) -> (Timestamp, Instant) {
        let passed = MINUTE * minutes;
        let wall = Timestamp::UNIX_EPOCH + SignedDuration::try_from(passed).unwrap() + jump;
        (wall, start + passed)
    }

    fn judge(watch: &mut Watch, minutes: u32, start: Instant, jump_s: i64) -> Verdict {
        let (wall, now) = after(minutes, start, SignedDuration::from_secs(jump_s));
        watch.judge(40, 40, wall, now)
    }

    #[test]
    fn a_few_or_a_small_part_end_without_a_question() {
        let (wall, now) = (Timestamp::UNIX_EPOCH, Instant::now());
        for (ending, all) in [(0, 0), (5, 5), (20, 100), (6, 30)] {
            let verdict = Watch::default().judge(ending, all, wall, now);
            assert_eq!(verdict, Verdict::End, "{ending} of {all}");
        }
        for (ending, all) in [(6, 6), (21, 100), (6, 29)] {
            let verdict = Watch::default().judge(ending, all, wall, now);
            assert_eq!(verdict, Verdict::Hold(STEADY), "{ending} of {all}");
        }
    }

    #[test]
    fn many_end_after_an_hour_in_which_the_clock_ran_evenly() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        for minute in 0..60 {
            let verdict = judge(&mut watch, minute, start, i64::from(minute % 2));
            assert_eq!(verdict, Verdict::Hold(MINUTE * (60 - minute)));
        }
        assert_eq!(judge(&mut watch, 60, start, 0), Verdict::End);
    }

    #[test]
    fn a_jump_of_the_clock_begins_the_hour_anew() {
        let start = Instant::now();
        for (jump_s, verdict) in [
            (-90_000, Verdict::Hold(STEADY)),
            (90_000, Verdict::Hold(STEADY)),
            (0, Verdict::End),
        ] {
            let mut watch = Watch::default();
            judge(&mut watch, 0, start, 0);
            judge(&mut watch, 59, start, 0);
            assert_eq!(judge(&mut watch, 60, start, jump_s), verdict, "{jump_s}");
        }
    }
}
