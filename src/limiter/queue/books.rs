//! Who had how much slot time, by group and user, and who waits.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::line::LineId;
use crate::domain::id::GroupName;

/// Slot milliseconds that are not worth keeping an account for.
const FORGOTTEN_MS: f64 = 1_000.0;

/// One request, from entering to leaving. Numbers rise, so the lower one came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// Names to find an account by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) group: GroupName,
    pub(super) user: String,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) ticket: Ticket,
    pub(super) line: LineId,
    /// Slots that it takes.
    pub(super) width: u32,
    pub(super) affinity: u64,
    /// Since when it is the first of its user's, or else since it came.
    pub(super) since: Duration,
}

pub(super) struct User {
    pub(super) person: Arc<Person>,
    /// Virtual time: what decides who is next.
    pub(super) vt: f64,
    /// The same without being lifted: what they really had.
    pub(super) used: f64,
    pub(super) running: u32,
    /// In the order in which they came, for all models.
    pub(super) queue: VecDeque<Request>,
}

impl User {
    fn new(person: &Arc<Person>) -> Self {
        Self {
            person: Arc::clone(person),
            vt: 0.0,
            used: 0.0,
            running: 0,
            queue: VecDeque::new(),
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.running > 0 || !self.queue.is_empty()
    }

    pub(super) fn waiting_for(&self, line: LineId) -> impl Iterator<Item = &Request> {
        let is_for = move |request: &&Request| request.line == line;
        self.queue.iter().filter(is_for)
    }
}

/// What a group's users share.
pub(super) struct Share {
    pub(super) vt: f64,
    pub(super) weight: f64,
    waiting: u32,
    running: u32,
    /// Where the last user stood who had anything to do.
    floor: f64,
}

impl Share {
    fn is_active(&self) -> bool {
        self.waiting > 0 || self.running > 0
    }
}

pub(super) struct Group {
    pub(super) share: Share,
    pub(super) users: BTreeMap<String, User>,
}

impl Group {
    fn new() -> Self {
        let share = Share {
            vt: 0.0,
            weight: 1.0,
            waiting: 0,
            running: 0,
            floor: 0.0,
        };
        Self {
            share,
            users: BTreeMap::new(),
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.share.waiting > 0
    }

    fn start(&self) -> f64 {
        let active = self.users.values().filter(|user| user.is_active());
        least(active.map(|user| user.vt)).unwrap_or(self.share.floor)
    }
}

fn least(amounts: impl Iterator<Item = f64>) -> Option<f64> {
    amounts.min_by(f64::total_cmp)
}

/// Amounts are slot milliseconds, written as [`super::decay::Decay`] says.
#[derive(Default)]
pub(super) struct Books {
    pub(super) groups: BTreeMap<GroupName, Group>,
    floor: f64,
}

impl Books {
    pub(super) fn user(&self, person: &Person) -> Option<&User> {
        self.groups.get(&person.group)?.users.get(&person.user)
    }

    fn account(&mut self, person: &Person) -> Option<(&mut Share, &mut User)> {
        let group = self.groups.get_mut(&person.group)?;
        let user = group.users.get_mut(&person.user)?;
        Some((&mut group.share, user))
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &User> {
        self.groups.values().flat_map(|group| group.users.values())
    }

    /// Idle time is not saved up: who begins stands where the last of the active stand, or further
    /// back; users within their group, groups among groups.
    pub(super) fn arrive(&mut self, person: &Arc<Person>, weight: Option<NonZeroU32>) {
        let active = self.groups.values().filter(|group| group.share.is_active());
        let start = least(active.map(|group| group.share.vt)).unwrap_or(self.floor);
        let group = self.groups.entry(person.group.clone());
        let group = group.or_insert_with(Group::new);
        if !group.share.is_active() {
            group.share.vt = group.share.vt.max(start);
            group.share.weight = f64::from(weight.map_or(1, NonZeroU32::get));
        }
        let start = group.start();
        let user = group.users.entry(person.user.clone());
        let user = user.or_insert_with(|| User::new(person));
        if !user.is_active() {
            user.vt = user.vt.max(start);
        }
    }

    pub(super) fn wait(&mut self, person: &Person, request: Request) {
        if let Some((share, user)) = self.account(person) {
            share.waiting += 1;
            user.queue.push_back(request);
        }
    }

    /// Takes a request out of the line, because it runs or because it left.
    pub(super) fn take(
        &mut self,
        person: &Person,
        ticket: Ticket,
        now: Duration,
    ) -> Option<Request> {
        let (share, user) = self.account(person)?;
        let is_it = |request: &Request| request.ticket == ticket;
        let at = user.queue.iter().position(is_it)?;
        let taken = user.queue.remove(at)?;
        share.waiting = share.waiting.saturating_sub(1);
        // What follows the first was passed by its own until now; from now on, by others.
        let of_line = |request: &&mut Request| request.line == taken.line;
        let next = user.queue.iter_mut().find(of_line);
        if let Some(next) = next.filter(|next| next.ticket > taken.ticket) {
            next.since = next.since.max(now);
        }
        Some(taken)
    }

    pub(super) fn run(&mut self, person: &Person, width: u32) {
        if let Some((share, user)) = self.account(person) {
            share.running = share.running.saturating_add(width);
            user.running = user.running.saturating_add(width);
        }
    }

    pub(super) fn rest(&mut self, person: &Person, width: u32) {
        if let Some((share, user)) = self.account(person) {
            share.running = share.running.saturating_sub(width);
            user.running = user.running.saturating_sub(width);
        }
    }

    /// Below zero gives back.
    pub(super) fn charge(&mut self, person: &Person, amount: f64) {
        if let Some((share, user)) = self.account(person) {
            share.vt += amount / share.weight;
            user.vt += amount;
            user.used += amount;
        }
    }

    /// Remembers where those stood who have nothing more to do.
    pub(super) fn depart(&mut self, person: &Person) {
        let mut floor = self.floor;
        if let Some((share, user)) = self.account(person) {
            if !user.is_active() {
                share.floor = user.vt;
            }
            if !share.is_active() {
                floor = share.vt;
            }
        }
        self.floor = floor;
    }

    /// Writes all amounts on another scale.
    pub(super) fn rescale(&mut self, factor: f64) {
        self.floor *= factor;
        for group in self.groups.values_mut() {
            group.share.vt *= factor;
            group.share.floor *= factor;
            for user in group.users.values_mut() {
                user.vt *= factor;
                user.used *= factor;
            }
        }
    }

    /// Drops accounts of those who are idle and were for so long that nothing is left of them.
    pub(super) fn forget(&mut self, scale: f64) {
        let least = FORGOTTEN_MS * scale;
        for group in self.groups.values_mut() {
            group
                .users
                .retain(|_, user| user.is_active() || user.vt > least);
        }
        let is_kept = |group: &Group| !group.users.is_empty() || group.share.vt > least;
        self.groups.retain(|_, group| is_kept(group));
    }
}
