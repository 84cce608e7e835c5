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
    entered_ms: f64,
}

/// Served are sorted lists: ranks rise within a user, because each request before is charged, and
/// within a group for the same reason. So merging them by rank is what picking one by one would do,
/// but for what running requests will yet take, and for the limits on one user.
pub(super) fn order<'a>(
    groups: impl Iterator<Item = &'a Group>,
    (id, line): (LineId, &Line),
    scale: f64,
) -> Vec<Ticket> {
    let mut all: Vec<Ranked> = groups
        .filter(|group| group.is_waiting())
        .flat_map(|group| of_group(group, id, line.mean_ms(), scale))
        .collect();
    sort(&mut all);
    all.into_iter().map(|request| request.ticket).collect()
}

fn of_group(group: &Group, id: LineId, mean_ms: f64, scale: f64) -> Vec<Ranked> {
    let users = group.users.values();
    let mut all: Vec<Ranked> = users
        .flat_map(|user| of_user(user, id, mean_ms, scale))
        .collect();
    sort(&mut all);
    let mut oldest = f64::INFINITY;
    for request in all.iter_mut().rev() {
        oldest = oldest.min(request.entered_ms);
        request.entered_ms = oldest;
    }
    let mut vt = group.share.vt / scale;
    for request in &mut all {
        request.rank = rank(vt, request.entered_ms);
        vt += request.width * mean_ms / group.share.weight;
    }
    all
}

fn of_user(user: &User, id: LineId, mean_ms: f64, scale: f64) -> impl Iterator<Item = Ranked> {
    let mut vt = user.vt / scale;
    user.waiting_for(id).map(move |request| {
        let (entered_ms, width) = (ms(request.entered), f64::from(request.width));
        let rank = rank(vt, entered_ms);
        vt += width * mean_ms;
        Ranked {
            rank,
            ticket: request.ticket,
            width,
            entered_ms,
        }
    })
}

fn sort(requests: &mut [Ranked]) {
    requests.sort_by(|a, b| a.rank.total_cmp(&b.rank).then(a.ticket.cmp(&b.ticket)));
}
