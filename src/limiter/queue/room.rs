//! Which models the backend holds, when it cannot hold all: requests for one model are served together,
//! so that it is not loaded anew for each.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::line::{Line, LineId, Room};

/// After so many turns a model that waits comes before one of greater priority.
const PATIENCE: u32 = 4;

pub(super) struct Rooms {
    pub(super) most: Option<NonZeroU32>,
    pub(super) turn: Duration,
}

type Lines = BTreeMap<LineId, Line>;

impl Rooms {
    /// Brings in who may come, and tells to leave who must.
    pub(super) fn turn_over(&self, lines: &mut Lines, now: Duration) {
        empty(lines);
        while let Some(id) = self.next(lines, now) {
            if self.has_space(lines) {
                enter(lines, id, now);
            } else if !self.send_out(lines, id, now) {
                return;
            }
        }
        stay(lines, now);
    }

    fn has_space(&self, lines: &Lines) -> bool {
        let held = lines.values().filter(|line| line.room != Room::Out).count();
        self.most
            .is_none_or(|most| u32::try_from(held).is_ok_and(|held| held < most.get()))
    }

    /// Greater priority first, then who waits longest.
    fn next(&self, lines: &Lines, now: Duration) -> Option<LineId> {
        let wanted = lines.iter().filter_map(|(id, line)| {
            let since = line.wanted.filter(|_| is_wanted(line))?;
            let is_overdue = now.saturating_sub(since) >= self.turn * PATIENCE;
            Some((Reverse((is_overdue, line.priority)), since, *id))
        });
        wanted.min().map(|(_, _, id)| id)
    }

    /// Whether a room has become free.
    fn send_out(&self, lines: &mut Lines, next: LineId, now: Duration) -> bool {
        if lines.values().any(|line| line.room == Room::Leaving) {
            return false;
        }
        let wanted = lines.get(&next).and_then(|line| line.wanted);
        let may_go = lines.iter().filter_map(|(id, line)| {
            let left = self.left(line, wanted?, now)?;
            (left.is_zero()).then_some((line.waiting > 0, line.taken, *id))
        });
        let Some((_, _, id)) = may_go.min() else {
            return false;
        };
        if let Some(line) = lines.get_mut(&id) {
            line.room = Room::Leaving;
            line.gathering = None;
            line.wanted = (line.waiting > 0).then_some(now);
        }
        empty(lines)
    }

    /// How much of its turn a loaded model has left while another is wanted; `None`: it is not loaded.
    fn left(&self, line: &Line, wanted: Duration, now: Duration) -> Option<Duration> {
        let Room::In { since } = line.room else {
            return None;
        };
        if line.waiting == 0 || line.slots == 0 {
            return Some(Duration::ZERO);
        }
        let run = now.saturating_sub(since.max(wanted));
        Some(self.turn.saturating_sub(run))
    }

    /// How long a model waits at least before it is loaded.
    pub(super) fn wait(&self, lines: &Lines, line: &Line, now: Duration) -> Duration {
        let (Room::Out, Some(wanted)) = (line.room, line.wanted) else {
            return Duration::ZERO;
        };
        let left = lines
            .values()
            .filter_map(|line| self.left(line, wanted, now));
        left.min().unwrap_or_default()
    }
}

fn is_wanted(line: &Line) -> bool {
    line.room == Room::Out && line.waiting > 0 && line.slots > 0
}

fn enter(lines: &mut Lines, id: LineId, now: Duration) {
    if let Some(line) = lines.get_mut(&id) {
        line.room = Room::In { since: now };
        line.wanted = None;
    }
}

/// Whether somebody has left whose last request ended.
fn empty(lines: &mut Lines) -> bool {
    let mut has_left = false;
    for line in lines.values_mut() {
        if line.room == Room::Leaving && line.taken == 0 {
            line.room = Room::Out;
            has_left = true;
        }
    }
    has_left
}

/// Nobody leaves for nobody.
fn stay(lines: &mut Lines, now: Duration) {
    for line in lines.values_mut() {
        if line.room == Room::Leaving {
            line.room = Room::In { since: now };
            line.wanted = None;
        }
    }
}
