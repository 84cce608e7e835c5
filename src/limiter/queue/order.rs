//! The line as it stands: who is served in which order, if nobody else came.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::books::{Group, Ticket, User};
use super::decay::ms;
use super::line::LineId;
use super::pick::{lead, rank};

/// A request with the rank that it will have when it is first of its user, and then of its group.
struct Ranked {
    rank: f64,
    ticket: Ticket,
    width: f64,
    since_ms: f64,
    has_none: bool,
}

impl Ranked {
    fn compare(&self, other: &Self) -> Ordering {
        let rank = self.rank.total_cmp(&other.rank);
        rank.then(self.ticket.cmp(&other.ticket))
    }
}

/// What is the same for all of them.
#[derive(Clone, Copy)]
pub(super) struct Present {
    pub(super) now_ms: f64,
    /// Of [`super::decay::Decay::scale`].
    pub(super) scale: f64,
    pub(super) mean_ms: f64,
}

impl Present {
    /// What starting it will charge, to the last bit, so that equal accounts stay equal.
    fn cost(self, width: f64) -> f64 {
        self.mean_ms * self.scale * width
    }

    fn rank(self, vt: f64, request: &Ranked, weight: f64) -> f64 {
        rank(vt / self.scale, request.since_ms) - lead(request.has_none, self.mean_ms) / weight
    }
}

/// Picks one by one, as if each were served at once: but for what running requests will yet take, for
/// limits on one user, and for what slots remember.
pub(super) fn order<'a>(
    groups: impl Iterator<Item = &'a Group>,
    line: LineId,
    present: Present,
) -> Vec<Ticket> {
    let waiting = groups.filter(|group| group.is_waiting());
    let mut queues: Vec<VecDeque<Ranked>> = waiting
        .map(|group| of_group(group, line, present))
        .collect();
    let mut order = Vec::new();
    while let Some(request) = take_first(&mut queues) {
        order.push(request.ticket);
    }
    order
}

fn take_first(queues: &mut [VecDeque<Ranked>]) -> Option<Ranked> {
    let heads = queues.iter().enumerate();
    let heads = heads.filter_map(|(at, queue)| Some((at, queue.front()?)));
    let (at, _) = heads.min_by(|(_, a), (_, b)| a.compare(b))?;
    queues.get_mut(at)?.pop_front()
}

fn of_group(group: &Group, line: LineId, present: Present) -> VecDeque<Ranked> {
    let users = group.users.values();
    let requests = users.flat_map(|user| of_user(user, line, present));
    let mut all: Vec<Ranked> = requests.collect();
    all.sort_by(Ranked::compare);
    let mut oldest = f64::INFINITY;
    for request in all.iter_mut().rev() {
        oldest = oldest.min(request.since_ms);
        request.since_ms = oldest;
    }
    let mut vt = group.share.vt;
    for request in &mut all {
        request.rank = present.rank(vt, request, group.share.weight);
        vt += present.cost(request.width) / group.share.weight;
    }
    all.into()
}

fn of_user(user: &User, line: LineId, present: Present) -> impl Iterator<Item = Ranked> {
    let mut vt = user.vt;
    let mut is_first = true;
    user.waiting_for(line).map(move |request| {
        // The others become the first of their user only as they are served.
        let since_ms = if is_first {
            ms(request.since)
        } else {
            present.now_ms
        };
        let mut ranked = Ranked {
            rank: 0.0,
            ticket: request.ticket,
            width: f64::from(request.width),
            since_ms,
            has_none: is_first && user.running == 0,
        };
        is_first = false;
        ranked.rank = present.rank(vt, &ranked, 1.0);
        vt += present.cost(ranked.width);
        ranked
    })
}
