//! What people are shown of a queue: slots, who runs, who waits where, and how equal it is.

use std::time::Duration;

use super::decay::from_ms;
use super::line::{Line, Room};
use super::scheduler::Scheduler;
use super::settings::Position;
use crate::domain::id::GroupName;
use crate::domain::model::ModelName;

#[derive(Clone, Debug, PartialEq)]
pub struct QueueStatus {
    pub models: Vec<ModelStatus>,
    /// Who runs or waits.
    pub users: Vec<UserStatus>,
    /// Jain's index over the slot time of these: 1 is equal, `1/n` is one who has all.
    pub jain: f64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStatus {
    pub model: ModelName,
    pub slots: u32,
    /// Slots that are taken; for a moment more than there are, after they became fewer.
    pub running: u32,
    pub waiting: u32,
    /// What a request takes, on the average of late.
    pub mean: Duration,
    /// Whether the backend may hold it now.
    pub is_loaded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserStatus {
    pub group: GroupName,
    pub user: String,
    /// Slots.
    pub running: u32,
    /// Of the requests that wait, oldest first.
    pub waiting: Vec<Position>,
    /// Slot time of late: what is older than the half-life counts half, and so on.
    pub recent: Duration,
}

impl Scheduler {
    pub fn status(&mut self, now: Duration) -> QueueStatus {
        self.advance(now);
        self.compute_places(now);
        let users = self.user_status(now);
        let recent: Vec<f64> = users.iter().map(|user| user.recent.as_secs_f64()).collect();
        QueueStatus {
            models: self.models(),
            jain: jain(&recent),
            users,
        }
    }

    pub fn models(&self) -> Vec<ModelStatus> {
        self.lines.values().map(model_status).collect()
    }

    fn user_status(&mut self, now: Duration) -> Vec<UserStatus> {
        let scale = self.decay.scale(now);
        let mut users = Vec::new();
        let mut tickets = Vec::new();
        for user in self.books.users().filter(|user| user.is_active()) {
            users.push(UserStatus {
                group: user.person.group.clone(),
                user: user.person.user.clone(),
                running: user.running,
                waiting: Vec::new(),
                recent: from_ms(user.used / scale),
            });
            let queue = user.queue.iter();
            tickets.push(queue.map(|request| request.ticket).collect::<Vec<_>>());
        }
        for (user, tickets) in users.iter_mut().zip(tickets) {
            let tickets = tickets.into_iter();
            user.waiting = tickets.map(|ticket| self.position(ticket, now)).collect();
        }
        users
    }

    /// Nobody runs, nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.running.is_empty()
            && self.lines.values().all(Line::is_idle)
            && self.books.users().all(|user| !user.is_active())
    }
}

fn model_status(line: &Line) -> ModelStatus {
    ModelStatus {
        model: line.name.clone(),
        slots: line.slots,
        running: line.taken,
        waiting: line.waiting,
        mean: from_ms(line.mean_ms()),
        is_loaded: matches!(line.room, Room::In { .. }),
    }
}

/// Jain, Chiu and Hawe, 1984: `(Σx)² / (n·Σx²)`. Nobody, or nothing for anybody, is equal.
pub fn jain(amounts: &[f64]) -> f64 {
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    for amount in amounts {
        sum += amount;
        squares += amount * amount;
        count += 1.0;
    }
    if squares > 0.0 {
        sum * sum / (count * squares)
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shares_are_one_and_all_for_one_is_a_share_of_one() {
        let near = |amounts: &[f64], index: f64| (jain(amounts) - index).abs() < 1e-9;
        assert!(near(&[], 1.0) && near(&[0.0, 0.0], 1.0) && near(&[3.0, 3.0, 3.0], 1.0));
        assert!(near(&[4.0, 0.0, 0.0, 0.0], 0.25));
        assert!(near(&[1.0, 3.0], 0.8));
    }
}
