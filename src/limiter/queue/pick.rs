//! Whose turn it is: the group that had least, in it the user who had least, in theirs the first.
//!
//! Slot time counts nine tenths, and one tenth how long the user's first request waits, so that who
//! is passed by others comes nearer all the time. All waits grow equally fast, so it is the moment
//! that counts at which they began.

use std::sync::Arc;

use super::books::{Books, Group, Person, Request, Ticket, User};
use super::decay::ms;
use super::line::{Line, LineId};

const SERVICE: f64 = 0.9;
const WAIT: f64 = 0.1;

/// The smaller, the earlier. `vt` in present milliseconds.
pub(super) fn rank(vt: f64, since_ms: f64) -> f64 {
    SERVICE * vt + WAIT * since_ms
}

/// Who runs nothing counts as if they had had one request less.
pub(super) fn lead(has_none: bool, mean_ms: f64) -> f64 {
    if has_none { SERVICE * mean_ms } else { 0.0 }
}

/// Who may be picked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Who has less than their share of the slots.
    Within,
    /// Whoever waits, since nobody else does.
    Beyond,
}

/// What a pick looks at.
pub(super) struct Look<'a> {
    pub(super) books: &'a Books,
    pub(super) line: &'a Line,
    pub(super) id: LineId,
    /// Of [`super::decay::Decay::scale`].
    pub(super) scale: f64,
    pub(super) share: u32,
    pub(super) concurrency: u32,
}

pub(super) struct Choice<'a> {
    pub(super) person: &'a Arc<Person>,
    pub(super) ticket: Ticket,
    /// Otherwise slots are kept until it does.
    pub(super) fits: bool,
    rank: f64,
    since_ms: f64,
    /// The user runs nothing.
    has_none: bool,
    /// A free slot remembers its conversation.
    is_remembered: bool,
}

impl<'a> Look<'a> {
    pub(super) fn pick(&self) -> Option<Choice<'a>> {
        if self.line.free() == 0 {
            return None;
        }
        self.round(Round::Within)
            .or_else(|| self.round(Round::Beyond))
    }

    fn round(&self, round: Round) -> Option<Choice<'a>> {
        let groups = self
            .books
            .groups
            .values()
            .filter(|group| group.is_waiting());
        self.nearest(groups.filter_map(|group| self.of_group(group, round)))
    }

    fn of_group(&self, group: &'a Group, round: Round) -> Option<Choice<'a>> {
        let mut oldest = f64::INFINITY;
        let heads = group.users.values().filter_map(|user| {
            let choice = self.of_user(user, round)?;
            oldest = oldest.min(choice.since_ms);
            Some(choice)
        });
        let mut choice = self.nearest(heads)?;
        let lead = lead(choice.has_none, self.line.mean_ms()) / group.share.weight;
        choice.rank = rank(group.share.vt / self.scale, oldest) - lead;
        choice.since_ms = oldest;
        Some(choice)
    }

    fn of_user(&self, user: &'a User, round: Round) -> Option<Choice<'a>> {
        let head = user.waiting_for(self.id).next()?;
        let fits = self.fits(user, head, round)?;
        let since_ms = ms(head.since);
        let has_none = user.running == 0;
        Some(Choice {
            person: &user.person,
            ticket: head.ticket,
            fits,
            rank: rank(user.vt / self.scale, since_ms) - lead(has_none, self.line.mean_ms()),
            since_ms,
            has_none,
            is_remembered: self.line.remembers(head.affinity),
        })
    }

    /// `None`: it is not their turn, whoever else waits.
    fn fits(&self, user: &User, head: &Request, round: Round) -> Option<bool> {
        let width = head.width.min(self.line.slots);
        let has_none = user.running == 0;
        let with_it = user.running.saturating_add(width);
        let most = match round {
            Round::Within => self.share.min(self.concurrency),
            Round::Beyond => self.concurrency,
        };
        if with_it > most && !has_none {
            return None;
        }
        let kept = if has_none { 0 } else { self.line.kept() };
        let needed = width.saturating_add(kept);
        if needed <= self.line.free() {
            return Some(true);
        }
        let is_gathered_for = width > 1 && needed <= self.line.slots && round == Round::Within;
        is_gathered_for.then_some(false)
    }

    /// The first; or somebody who is hardly later and whose conversation a free slot remembers.
    fn nearest(&self, choices: impl Iterator<Item = Choice<'a>>) -> Option<Choice<'a>> {
        let mut first: Option<Choice<'a>> = None;
        let mut remembered: Option<Choice<'a>> = None;
        for choice in choices {
            let best = if choice.is_remembered {
                &mut remembered
            } else {
                &mut first
            };
            if best.as_ref().is_none_or(|best| choice.is_before(best)) {
                *best = Some(choice);
            }
        }
        match (first, remembered) {
            (Some(first), Some(remembered)) => {
                let late = remembered.rank - first.rank;
                let is_near = late <= SERVICE * self.line.mean_ms();
                Some(if is_near { remembered } else { first })
            }
            (first, remembered) => first.or(remembered),
        }
    }
}

impl Choice<'_> {
    fn is_before(&self, other: &Self) -> bool {
        let rank = self.rank.total_cmp(&other.rank);
        rank.then(self.ticket.cmp(&other.ticket)).is_lt()
    }
}
