//! Who may send how much to the language model: token limits that are exact, slots that are shared fairly.

use std::sync::Arc;

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
pub mod parts;
pub mod permit;
pub mod queue;
pub mod redis;
pub mod rules;
pub mod shared;
pub mod standing;

pub use self::redis::{BadPlace, Place, Tls};
pub use ask::{Ask, Refusal, Subject};
pub use balances::{Balance, Balances};
pub use learnt::Habits;
pub use ledger::InFlight;
pub use moment::Moment;
pub use permit::{Estimate, Permit, STEP_TOKENS};
pub use rules::Counts;
pub use shared::{Settler, Shared, Sharing, WhenAway};
pub use standing::{Account, Standing};

use self::redis::{Part, Reply, Verb, Word};
use learnt::Lesson;
use ledger::{Charge, Denied, Ledger};
use permit::Request;
use rules::{Draw, Expected, Held, Rules, THOUSAND};
use shared::Remote;

/// When a refusal whose reason has passed is worth another try.
const SOON_US: u64 = 10_000;

/// Token limits and request rates. One lock guards all balances: it is held for less than a
/// microsecond and never over an await, and splitting it would cost the all-or-nothing.
#[derive(Debug)]
pub struct Limiter {
    begun: Moment,
    books: Mutex<Books>,
    remote: Option<Remote>,
}

#[derive(Debug)]
struct Books {
    rules: Arc<Rules>,
    ledger: Ledger,
}

impl Limiter {
    /// With the balances of before, which refilled since.
    pub fn new(limits: &Limits, saved: Balances, now: Moment) -> Arc<Self> {
        Arc::new(Self::with(limits, saved, now, None))
    }

    /// One whose balances are shared with other appliances. The settler has to be run.
    pub fn sharing(
        limits: &Limits,
        saved: Balances,
        now: Moment,
        sharing: &Sharing,
    ) -> Result<(Arc<Self>, Settler), BadPlace> {
        let (remote, settler) = Remote::new(sharing)?;
        let limiter = Self::with(limits, saved, now, Some(remote));
        Ok((Arc::new(limiter), settler))
    }

    fn with(limits: &Limits, saved: Balances, now: Moment, remote: Option<Remote>) -> Self {
        let age_us = saved.age_us(now.wall);
        let now_us = now.passed_us();
        let rules = Arc::new(Rules::new(limits));
        let mut ledger = Ledger::restore(saved, age_us, now_us);
        ledger.apply(&rules, now_us);
        Self {
            begun: now,
            books: Mutex::new(Books { rules, ledger }),
            remote,
        }
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

    /// Takes of every balance that the request draws on, or of none. Waits only for balances that are
    /// shared, and for those not long.
    pub async fn admit(self: &Arc<Self>, ask: Ask) -> Result<Permit, Refusal> {
        match &self.remote {
            None => self.admit_here(ask, None),
            Some(remote) => self.admit_shared(remote, ask).await,
        }
    }

    fn admit_here(self: &Arc<Self>, ask: Ask, mark: Option<String>) -> Result<Permit, Refusal> {
        let now_us = self.now_us();
        let mut books = self.books.lock();
        let Books { rules, ledger } = &mut *books;
        let expected = ledger.expected(&ask);
        let draws = rules.draws(&ask, expected);
        let held = ledger.reserve(rules, &ask, &draws, now_us);
        let holds = held.map_err(|denied| ledger.refusal(rules, &ask, denied, now_us))?;
        let request = Request {
            rules: books.rules.clone(),
            ask,
            holds,
            mark,
        };
        Ok(Permit::new(self.clone(), request, expected))
    }

    async fn admit_shared(self: &Arc<Self>, remote: &Remote, ask: Ask) -> Result<Permit, Refusal> {
        let (rules, expected) = self.asked(&ask);
        let draws = rules.draws(&ask, expected);
        let mark = remote.mark();
        let parts = parts::wanted(remote.prefix(), &rules, &ask, &draws);
        if let Some(never) = ledger::never(&draws) {
            let (books, now_us) = (self.books.lock(), self.now_us());
            return Err(books.ledger.refusal(&rules, &ask, never, now_us));
        }
        match remote.reserve(&mark, parts).await {
            Ok(reply) if reply.word == Word::Done => {
                let taken = (draws.as_slice(), reply.used.as_slice());
                let now_us = self.now_us();
                let mut books = self.books.lock();
                let holds = books.ledger.reserved_elsewhere(&rules, &ask, taken, now_us);
                drop(books);
                let request = Request {
                    rules,
                    ask,
                    holds,
                    mark: Some(mark),
                };
                Ok(Permit::new(self.clone(), request, expected))
            }
            Ok(reply) if reply.word == Word::Refused => {
                Err(self.refused_elsewhere((&rules, &draws), &ask, &reply))
            }
            Ok(_) | Err(_) => match remote.when_away() {
                WhenAway::Refuse => Err(Refusal::Unavailable),
                WhenAway::GoOn => self.admit_here(ask, Some(remote.mark())),
            },
        }
    }

    fn asked(&self, ask: &Ask) -> (Arc<Rules>, Expected) {
        let books = self.books.lock();
        (books.rules.clone(), books.ledger.expected(ask))
    }

    fn refused_elsewhere(
        &self,
        (rules, draws): (&Rules, &[Draw]),
        ask: &Ask,
        reply: &Reply,
    ) -> Refusal {
        let now_us = self.now_us();
        let mut books = self.books.lock();
        let seen = (draws, reply.used.as_slice());
        let denied = books.ledger.denied_elsewhere(rules, ask, seen, now_us);
        // By then there may be room, or the clocks differ by a tick: it is worth another try.
        let denied = denied.unwrap_or(Denied {
            rule: draws.first().map_or(0, |draw| draw.rule),
            requested: THOUSAND,
            wait_us: Some(SOON_US),
        });
        books.ledger.refusal(rules, ask, denied, now_us)
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

    /// How the limits of somebody stand, those of a model or all. Where balances are shared: as this
    /// appliance saw them last.
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

    pub fn shared_state(&self) -> Shared {
        self.remote.as_ref().map_or(Shared::Off, Remote::state)
    }

    /// Requests whose cost the other appliances will never know.
    pub fn lost(&self) -> u64 {
        self.remote.as_ref().map_or(0, Remote::lost)
    }

    fn extend(&self, request: &mut Request, more: &[u64]) {
        let now_us = self.now_us();
        let mut books = self.books.lock();
        let Books { rules, ledger } = &mut *books;
        let (admitted, now) = (&*request.rules, &**rules);
        let held = Held { admitted, now };
        ledger.extend(held, &request.ask, (&mut request.holds, more), now_us);
        self.tell(Verb::Extend, request, |prefix| {
            parts::held(prefix, held, &request.ask, &request.holds)
        });
    }

    fn close(&self, request: &Request, charge: Charge) {
        let now_us = self.now_us();
        let mut books = self.books.lock();
        let Books { rules, ledger } = &mut *books;
        let (admitted, now) = (&*request.rules, &**rules);
        let held = Held { admitted, now };
        let ended = (request.holds.as_slice(), charge);
        ledger.close(held, &request.ask, ended, now_us);
        self.tell(Verb::Close, request, |prefix| {
            parts::charged(prefix, held, &request.ask, ended)
        });
    }

    fn tell(&self, verb: Verb, request: &Request, parts: impl FnOnce(&str) -> Vec<Part>) {
        if let (Some(remote), Some(mark)) = (&self.remote, &request.mark) {
            remote.tell(verb, mark, parts(remote.prefix()));
        }
    }

    fn learn(&self, ask: &Ask, lesson: Lesson) {
        let now_us = self.now_us();
        self.books.lock().ledger.learn(ask, lesson, now_us);
    }
}
