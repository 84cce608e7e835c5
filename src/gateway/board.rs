//! `Board`: who is being answered or waits, for people who look.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use crate::domain::id::GroupName;
use crate::domain::model::ModelName;

#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    /// By the order in which they came.
    entries: BTreeMap<u64, Entry>,
    next: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    model: ModelName,
    group: GroupName,
    user: String,
    is_running: bool,
    /// In the line, or in its slot.
    since: Instant,
}

/// One request at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnBoard {
    pub model: ModelName,
    pub group: GroupName,
    pub user: String,
    pub is_running: bool,
    pub lasts: Duration,
}

/// A request is on the board as long as this lives.
#[derive(Debug)]
pub(super) struct Place {
    board: Board,
    number: u64,
}

impl Board {
    pub(super) fn enter(&self, model: ModelName, group: GroupName, user: String) -> Place {
        let mut entries = self.0.lock();
        let number = entries.next;
        entries.next += 1;
        let entry = Entry {
            model,
            group,
            user,
            is_running: false,
            since: Instant::now(),
        };
        entries.entries.insert(number, entry);
        Place {
            board: self.clone(),
            number,
        }
    }

    /// In the order in which they came.
    pub fn now(&self) -> Vec<OnBoard> {
        let entries = self.0.lock();
        let shown = entries.entries.values().map(|entry| OnBoard {
            model: entry.model.clone(),
            group: entry.group.clone(),
            user: entry.user.clone(),
            is_running: entry.is_running,
            lasts: entry.since.elapsed(),
        });
        shown.collect()
    }
}

impl Place {
    /// It has its slot, or waits for another one.
    pub(super) fn runs(&self, is_running: bool) {
        if let Some(entry) = self.board.0.lock().entries.get_mut(&self.number) {
            entry.is_running = is_running;
            entry.since = Instant::now();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.board.0.lock().entries.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_on_the_board_until_it_is_over() {
        let board = Board::default();
        let enter = |user: &str| {
            let group = "red".parse().unwrap();
            board.enter(ModelName::new("m"), group, user.to_owned())
        };
        let (alice, bob) = (enter("alice"), enter("bob"));
        bob.runs(true);
        let now = board.now();
        assert_eq!((now[0].user.as_str(), now[0].is_running), ("alice", false));
        assert_eq!((now[1].user.as_str(), now[1].is_running), ("bob", true));
        drop(alice);
        assert_eq!(board.now().len(), 1);
        drop(bob);
        assert!(board.now().is_empty());
    }
}
