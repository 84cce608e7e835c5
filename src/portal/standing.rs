//! How a participant's instance stands, in words, and what its owner can do about it.

use crate::domain::instance::{Desired, Phase};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) sentence: &'static str,
    pub(super) offer: Offer,
    /// Something is about to change: the page asks again.
    pub(super) moving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Nothing,
    Open,
    Start,
}

impl Standing {
    pub(super) fn of(desired: Desired, phase: Phase) -> Self {
        let (sentence, offer, moving) = match (desired, phase) {
            (Desired::Running, Phase::Ready) => ("Your editor is ready.", Offer::Open, false),
            (Desired::Running, Phase::Failed) => (
                "Your editor did not start. It is tried again by itself; if it stays like this, tell an organizer.",
                Offer::Nothing,
                true,
            ),
            (Desired::Running, _) => ("Your editor is starting…", Offer::Nothing, true),
            (Desired::Stopped, Phase::Stopped | Phase::Failed) => (
                "Your editor is stopped. Your files are safe.",
                Offer::Start,
                false,
            ),
            (Desired::Stopped, _) => ("Your editor is being stopped.", Offer::Start, true),
            (Desired::Paused, Phase::Paused) => (
                "Your editor is paused. It goes on where it was when you start it.",
                Offer::Start,
                false,
            ),
            (Desired::Paused, _) => ("Your editor is being paused.", Offer::Start, true),
            (Desired::Removed, _) => (
                "Your editor is being removed. Your files stay.",
                Offer::Nothing,
                true,
            ),
        };
        Self {
            sentence,
            offer,
            moving,
        }
    }

    pub(super) fn can_open(&self) -> bool {
        self.offer == Offer::Open
    }

    pub(super) fn can_start(&self) -> bool {
        self.offer == Offer::Start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 6] = [
        Phase::Pending,
        Phase::Starting,
        Phase::Ready,
        Phase::Paused,
        Phase::Stopped,
        Phase::Failed,
    ];

    #[test]
    fn an_editor_is_opened_only_when_it_answers_and_should() {
        for desired in [
            Desired::Running,
            Desired::Stopped,
            Desired::Paused,
            Desired::Removed,
        ] {
            for phase in PHASES {
                let open = Standing::of(desired, phase).can_open();
                assert_eq!(open, desired == Desired::Running && phase == Phase::Ready);
            }
        }
    }

    #[test]
    fn whoever_can_neither_open_nor_start_sees_the_page_move() {
        for phase in PHASES {
            for desired in [Desired::Running, Desired::Stopped, Desired::Paused] {
                let standing = Standing::of(desired, phase);
                assert!(
                    standing.moving || standing.offer != Offer::Nothing,
                    "{desired:?} {phase}"
                );
            }
        }
    }
}
