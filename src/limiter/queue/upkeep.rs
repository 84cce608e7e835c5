//! Time passes: who runs is charged, what is old is forgotten.

use std::time::Duration;

use super::decay::Decay;
use super::scheduler::Scheduler;

/// How often those are charged who run for longer than was expected.
const ACCRUE_EVERY: Duration = Duration::from_millis(50);

impl Scheduler {
    /// Brings everything up to now.
    pub(super) fn advance(&mut self, now: Duration) {
        self.clean(now);
        self.accrue(now);
    }

    /// Who runs for longer than was charged is charged for it before they end.
    fn accrue(&mut self, now: Duration) {
        if now.saturating_sub(self.accrued) < ACCRUE_EVERY {
            return;
        }
        self.accrued = now;
        for running in self.running.values_mut() {
            let cost = self.decay.spent(running.since, now) * f64::from(running.width);
            if cost > running.charged {
                self.books.charge(&running.person, cost - running.charged);
                running.charged = cost;
            }
        }
    }

    /// Forgets who has been idle for long, and models that nobody asks for.
    fn clean(&mut self, now: Duration) {
        if self.decay.is_due(now) {
            self.rescale(self.settings.half_life, now);
        }
        if now.saturating_sub(self.cleaned) < self.settings.half_life {
            return;
        }
        self.cleaned = now;
        self.books.forget(self.decay.scale(now));
        self.lines
            .retain(|_, line| line.counted.is_some() || !line.is_idle());
        self.names.retain(|_, id| self.lines.contains_key(id));
    }

    pub(super) fn rescale(&mut self, half_life: Duration, now: Duration) {
        let factor = self.decay.scale(now).recip();
        self.books.rescale(factor);
        for running in self.running.values_mut() {
            running.charged *= factor;
        }
        self.decay = Decay::new(half_life, now);
    }
}
