//! Who may send how much to the language model: token limits that are exact, slots that are shared fairly.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::domain::model::ModelName;
use crate::domain::quota::Limits;

pub mod ask;
pub mod balances;
pub mod bucket;
pub mod learnt;
pub mod ledger;
pub mod moment;
pub mod page;
pub mod permit;
pub mod queue;
pub mod rules;
pub mod standing;

pub use ask::{Ask, Refusal, Subject};
pub use balances::{Balance, Balances};
pub use learnt::Habits;
pub use ledger::InFlight;
pub use moment::Moment;
pub use permit::{Estimate, Permit, STEP_TOKENS};
pub use rules::Counts;
pub use standing::{Account, Standing};

use learnt::Lesson;
use ledger::{Charge, Denied, Hold, Ledger};
use rules::{Held, Rules, THOUSAND};

/// Token limits and request rates. One lock guards all balances: it is held for less than a
/// microsecond and never over an await, and splitting it would cost the all-or-nothing.
#[derive(Debug)]
pub struct Limiter {
    begun: Moment,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    rules: Arc<Rules>,
    ledger: Ledger,
}

impl Limiter {
    /// With the balances of before, which refilled since.
    pub fn new(limits: &Limits, saved: Balances, now: Moment) -> Arc<Self> {
        let age_us = saved.age_us(now.wall);
        let rules = Arc::new(Rules::new(limits));
        let mut ledger = Ledger::restore(saved, age_us, 0);
        ledger.apply(&rules, 0);
        Arc::new(Self {
            begun: now,
            books: Mutex::new(Books { rules, ledger }),
        })
    }

    fn now_us(&self) -> u64 {
        self.begun.passed_us()
    }

    /// New limits. What is left in a balance stays, as far as the new limit has room for it.
    pub fn apply(&self, limits: &Limits) {
        let rules = Arc::new(Rules::new(limits));
        let now_us = self.now_us();
        let mut books = self.books.lock();
        books.ledger.apply(&rules, now_us);
        books.rules = rules;
    }

    /// Takes of every balance that the request draws on, or of none.
    #[expect(
        clippy::unused_async,
        reason = "balances that are shared are waited for"
    )]
    pub async fn admit(self: &Arc<Self>, ask: Ask) -> Result<Permit, Refusal> {
        let now_us = self.now_us();
        let mut books = self.books.lock();
        let books = &mut *books;
        let expected = books.ledger.expected(&ask);
        let draws = books.rules.draws(&ask, expected);
        match books.ledger.reserve(&books.rules, &ask, &draws, now_us) {
            Ok(holds) => {
                let rules = books.rules.clone();
                Ok(Permit::new(self.clone(), rules, ask, (expected, holds)))
            }
            Err(denied) => Err(books.refusal(&ask, denied, now_us)),
        }
    }

    /// Balances that are not full, for the store. Whoever has everything is forgotten.
    pub fn balances(&self) -> Balances {
        let now_us = self.now_us();
        let mut books = self.books.lock();
        let habits = books.ledger.learnt.all();
        let models = habits
            .map(|(name, it)| (name.clone(), it.clone()))
            .collect();
        Balances {
            at: Timestamp::now(),
            balances: books.ledger.balances(now_us),
            models,
        }
    }

    /// How the limits of somebody stand, those of a model or all.
    pub fn standings(&self, subject: &Subject, model: Option<&ModelName>) -> Vec<Standing> {
        let now_us = self.now_us();
        let books = self.books.lock();
        books.ledger.standings(&books.rules, subject, model, now_us)
    }

    /// What a prompt is expected to have.
    pub fn prompt_tokens(&self, model: &ModelName, bytes: u64, images: u32) -> u64 {
        let books = self.books.lock();
        books.ledger.learnt.prompt_tokens(model, bytes, images)
    }

    pub fn in_flight(&self) -> InFlight {
        self.books.lock().ledger.in_flight()
    }

    fn extend(&self, admitted: &Rules, ask: &Ask, holds: &mut [Hold], more: &[u64]) {
        let now_us = self.now_us();
        let mut books = self.books.lock();
        let Books { rules, ledger } = &mut *books;
        let rules = Held {
            admitted,
            now: rules,
        };
        ledger.extend(rules, ask, (holds, more), now_us);
    }

    fn close(&self, admitted: &Rules, ask: &Ask, holds: &[Hold], charge: Charge) {
        let now_us = self.now_us();
        let mut books = self.books.lock();
        let Books { rules, ledger } = &mut *books;
        let rules = Held {
            admitted,
            now: rules,
        };
        ledger.close(rules, ask, (holds, charge), now_us);
    }

    fn learn(&self, ask: &Ask, lesson: Lesson) {
        let now_us = self.now_us();
        self.books.lock().ledger.learn(ask, lesson, now_us);
    }
}

impl Books {
    /// In the words of whoever asked.
    fn refusal(&self, ask: &Ask, denied: Denied, now_us: u64) -> Refusal {
        let Some(rule) = self.rules.rules.get(denied.rule) else {
            return Refusal::Unavailable;
        };
        let limit = self.ledger.standing(rule, &ask.subject, &ask.model, now_us);
        let limit = Box::new(limit);
        let requested = denied.requested.div_ceil(THOUSAND);
        match (denied.wait_us.map(Duration::from_micros), rule.counts) {
            (None, _) => Refusal::TooLarge { limit, requested },
            (Some(retry_after), Counts::Tokens) => Refusal::Tokens {
                limit,
                requested,
                retry_after,
            },
            (Some(retry_after), Counts::Requests) => Refusal::Requests {
                per_minute: u32::try_from(limit.capacity).unwrap_or(u32::MAX),
                limit,
                retry_after,
            },
        }
    }
}
