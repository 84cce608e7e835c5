//! The line as it stands: who is served in which order, if nobody else came.

use super::books::{Group, Ticket, User};
use super::decay::ms;
use super::line::{Line, LineId};
use super::pick::rank;

/// A request with the rank that it will have when it is first of its user, or its group.
struct Ranked {
    rank: f64,
    ticket: Ticket,
    width: f64,
    since_ms: f64,
}

#[derive(Clone, Copy)]
pub(super) struct Present {
    pub(super) now_ms: f64,
    /// Of [`super::decay::Decay::scale`].
    pub(super) scale: f64,
}

/// Served are sorted lists: ranks rise within a user, because each request before is charged, and
/// within a group for the same reason. So merging them by rank is what picking one by one would do,
/// but for what running requests will yet take, and for the limits on one user.
pub(super) fn order<'a>(
    groups: impl Iterator<Item = &'a Group>,
    (id, line): (LineId, &Line),
    present: Present,
) -> Vec<Ticket> {
    let mut all: Vec<Ranked> = groups
        .filter(|group| group.is_waiting())
        .flat_map(|group| of_group(group, id, line.mean_ms(), present))
        .collect();
    sort(&mut all);
    all.into_iter().map(|request| request.ticket).collect()
}

fn of_group(group: &Group, id: LineId, mean_ms: f64, present: Present) -> Vec<Ranked> {
    let users = group.users.values();
    let mut all: Vec<Ranked> = users
        .flat_map(|user| of_user(user, id, mean_ms, present))
        .collect();
    sort(&mut all);
    let mut oldest = f64::INFINITY;
    for request in all.iter_mut().rev() {
        oldest = oldest.min(request.since_ms);
        request.since_ms = oldest;
    }
    let mut vt = group.share.vt;
    for request in &mut all {
        request.rank = rank(vt / present.scale, request.since_ms);
        vt += cost(request.width, mean_ms, present) / group.share.weight;
    }
    all
}

fn of_user(
    user: &User,
    id: LineId,
    mean_ms: f64,
    present: Present,
) -> impl Iterator<Item = Ranked> {
    let mut vt = user.vt;
    let mut is_first = true;
    user.waiting_for(id).map(move |request| {
        // The others become the first of their user only as they are served.
        let since_ms = if is_first {
            ms(request.since)
        } else {
            present.now_ms
        };
        is_first = false;
        let width = f64::from(request.width);
        let rank = rank(vt / present.scale, since_ms);
        vt += cost(width, mean_ms, present);
        Ranked {
            rank,
            ticket: request.ticket,
            width,
            since_ms,
        }
    })
}

/// What starting it will charge, to the last bit, so that equal accounts stay equal.
fn cost(width: f64, mean_ms: f64, present: Present) -> f64 {
    mean_ms * present.scale * width
}

fn sort(requests: &mut [Ranked]) {
    requests.sort_by(|a, b| a.rank.total_cmp(&b.rank).then(a.ticket.cmp(&b.ticket)));
}
