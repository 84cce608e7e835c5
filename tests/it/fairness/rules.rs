//! What holds after every step, whatever is asked of the scheduler.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use thon::domain::model::ModelName;
use thon::limiter::queue::{BusyKind, QueueSettings, Scheduler, Ticket, Who};

use super::chance::Chance;

pub(super) const USERS: u32 = 12;
const MODELS: u32 = 2;

#[derive(Clone, Debug)]
enum Step {
    Enter {
        user: u32,
        model: u32,
        width: u32,
    },
    /// The one at this place of those who are there.
    Leave {
        which: usize,
    },
    Slots {
        model: u32,
        slots: u32,
    },
    Pass {
        ms: u32,
    },
}

struct Entered {
    user: u32,
    model: u32,
    width: u32,
}

/// The scheduler, and what it must have told.
struct Watched {
    scheduler: Scheduler,
    settings: QueueSettings,
    now: Duration,
    slots: BTreeMap<u32, u32>,
    entered: BTreeMap<Ticket, Entered>,
    running: BTreeMap<Ticket, u32>,
    /// Who has the slot of a model that is kept for who has none.
    newcomers: BTreeMap<u32, Ticket>,
    started: Vec<Ticket>,
}

pub(super) fn who(user: u32) -> Who {
    Who {
        group: format!("g{}", user % 4).parse().unwrap(),
        user: format!("u{user}"),
        affinity: None,
    }
}

fn model(model: u32) -> ModelName {
    ModelName::new(&format!("m{model}"))
}

impl Watched {
    fn new(settings: QueueSettings) -> Self {
        Self {
            scheduler: Scheduler::new(settings.clone(), Duration::ZERO),
            slots: (0..MODELS).map(|model| (model, settings.slots)).collect(),
            settings,
            now: Duration::ZERO,
            entered: BTreeMap::new(),
            running: BTreeMap::new(),
            newcomers: BTreeMap::new(),
            started: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Enter { user, model, width } => self.enter(user, model, width),
            Step::Leave { which } => self.leave(which),
            Step::Slots { model: of, slots } => {
                self.slots.insert(of, slots);
                self.scheduler.set_slots(&model(of), slots);
            }
            Step::Pass { ms } => self.now += Duration::from_millis(ms.into()),
        }
        let started = self.scheduler.start(self.now);
        for ticket in &started {
            self.begin(*ticket);
        }
        self.check();
        self.started.extend(started);
    }

    fn enter(&mut self, user: u32, of: u32, width: u32) {
        let own = self.waiting().filter(|(_, it)| it.user == user).count();
        let all = self.waiting().count();
        let entered = self
            .scheduler
            .enter(&model(of), &who(user), width, self.now);
        match entered {
            Ok(ticket) => {
                assert!(width <= self.slots[&of].max(1));
                assert!(own < self.settings.waiting_per_user_max);
                assert!(all < self.settings.waiting_max);
                let model = of;
                self.entered.insert(ticket, Entered { user, model, width });
            }
            Err(busy) => match busy.kind {
                BusyKind::TooWide => assert!(width > self.slots[&of]),
                BusyKind::TooManyOfYours => assert_eq!(own, self.settings.waiting_per_user_max),
                BusyKind::Full => assert_eq!(all, self.settings.waiting_max),
            },
        }
    }

    fn leave(&mut self, which: usize) {
        let count = self.entered.len().max(1);
        let ticket = self.entered.keys().nth(which % count).copied();
        if let Some(ticket) = ticket {
            self.scheduler.leave(ticket, self.now);
            self.entered.remove(&ticket);
            self.running.remove(&ticket);
            self.newcomers.retain(|_, newcomer| *newcomer != ticket);
        }
    }

    fn waiting(&self) -> impl Iterator<Item = (&Ticket, &Entered)> {
        let waits = |(ticket, _): &(&Ticket, &Entered)| !self.running.contains_key(ticket);
        self.entered.iter().filter(waits)
    }

    fn taken(&self, model: u32) -> u32 {
        let of_model = |(ticket, _): &(&Ticket, &u32)| self.entered[*ticket].model == model;
        self.running
            .iter()
            .filter(of_model)
            .map(|(_, width)| width)
            .sum()
    }

    fn running_of(&self, user: u32) -> u32 {
        let of_user = |(ticket, _): &(&Ticket, &u32)| self.entered[*ticket].user == user;
        self.running
            .iter()
            .filter(of_user)
            .map(|(_, width)| width)
            .sum()
    }

    /// What must hold at the moment at which a request starts.
    fn begin(&mut self, ticket: Ticket) {
        let Entered { user, model, width } = self.entered[&ticket];
        let earlier = self
            .waiting()
            .filter(|(other, it)| **other < ticket && it.user == user && it.model == model);
        assert_eq!(earlier.count(), 0, "a user's own come in order");
        let slots = self.slots[&model];
        let width = width.min(slots);
        let own = self.running_of(user);
        self.running.insert(ticket, width);
        assert!(self.taken(model) <= slots, "never more than there are");
        let most = self.settings.concurrency.map_or(u32::MAX, NonZeroU32::get);
        assert!(
            own == 0 || own + width <= most,
            "nobody has more than they may"
        );
        let is_last = self.is_kept(model) && slots == self.taken(model);
        assert!(own == 0 || !is_last, "the last is for who has none");
        if is_last {
            self.newcomers.insert(model, ticket);
        }
        let loaded: BTreeSet<u32> = self
            .running
            .keys()
            .map(|it| self.entered[it].model)
            .collect();
        let most = self.settings.loaded_max.map_or(u32::MAX, NonZeroU32::get);
        assert!(
            u32::try_from(loaded.len()).unwrap() <= most,
            "what is not loaded does not run"
        );
    }

    fn is_kept(&self, model: u32) -> bool {
        self.slots[&model] >= 4 && !self.newcomers.contains_key(&model)
    }

    /// What must hold when all have started who may.
    fn check(&self) {
        let may_run = |(_, it): &(&Ticket, &Entered)| self.slots[&it.model] > 0;
        if self.running.is_empty() {
            assert_eq!(
                self.waiting().filter(may_run).count(),
                0,
                "somebody always runs"
            );
        }
        let is_plain = self.settings.loaded_max.is_none() && self.settings.concurrency.is_none();
        for (model, slots) in self.slots.iter().filter(|_| is_plain) {
            self.check_all_works(*model, *slots);
        }
    }

    /// No slot is idle while somebody waits who takes one, but for the one that is kept.
    fn check_all_works(&self, model: u32, slots: u32) {
        let free = slots.saturating_sub(self.taken(model));
        let waiting: Vec<&Entered> = self.waiting().map(|(_, it)| it).collect();
        let of_model = || waiting.iter().filter(|it| it.model == model);
        if free == 0 || of_model().any(|it| it.width > 1) {
            return;
        }
        let is_last = self.is_kept(model) && free == 1;
        assert!(of_model().all(|it| is_last && self.running_of(it.user) > 0));
    }

    fn leave_all(&mut self) {
        while !self.entered.is_empty() {
            self.step(&Step::Leave { which: 0 });
        }
        assert!(self.scheduler.is_empty());
    }
}

fn step() -> impl Strategy<Value = Step> {
    let (user, model) = (0..USERS, 0..MODELS);
    let width = prop_oneof![6 => Just(1_u32), 1 => 2_u32..6];
    prop_oneof![
        6 => (user, model, width).prop_map(|(user, model, width)| Step::Enter { user, model, width }),
        4 => any::<usize>().prop_map(|which| Step::Leave { which }),
        1 => (0..MODELS, 0_u32..7).prop_map(|(model, slots)| Step::Slots { model, slots }),
        2 => (0_u32..40_000).prop_map(|ms| Step::Pass { ms }),
    ]
}

fn settings() -> impl Strategy<Value = QueueSettings> {
    let some = |most: u32| prop_oneof![Just(None), (1..=most).prop_map(NonZeroU32::new)];
    (1_u32..9, some(4), some(3), some(1), 2_usize..40).prop_map(
        |(slots, concurrency, share, loaded_max, waiting_max)| QueueSettings {
            slots,
            concurrency,
            share,
            loaded_max,
            waiting_max,
            waiting_per_user_max: 3,
            ..QueueSettings::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_happens_slots_order_and_limits_are_kept_and_nothing_is_left(
        settings in settings(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut watched = Watched::new(settings);
        for step in &steps {
            watched.step(step);
        }
        watched.leave_all();
    }

    #[test]
    fn the_same_requests_are_served_in_the_same_order(
        settings in settings(),
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let run = || {
            let mut watched = Watched::new(settings.clone());
            for step in &steps {
                watched.step(step);
            }
            watched.started
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn the_line_is_served_as_it_is_shown(
        asked in prop::collection::vec((0..USERS, 0_u32..20_000), 1..60),
    ) {
        let settings = QueueSettings {
            slots: 1,
            share: NonZeroU32::new(1_000),
            ..QueueSettings::default()
        };
        let mut scheduler = Scheduler::new(settings, Duration::ZERO);
        let mut now = Duration::ZERO;
        let mut running = None;
        for (at, (user, ms)) in asked.into_iter().enumerate() {
            now += Duration::from_millis(ms.into());
            let _full = scheduler.enter(&model(0), &who(user), 1, now);
            // Some end, so that not all accounts are alike.
            if let Some(ticket) = running.filter(|_| at % 3 == 0) {
                scheduler.leave(ticket, now);
            }
            running = scheduler.start(now).first().copied().or(running);
        }
        let shown = scheduler.order(&model(0), now);
        scheduler.set_slots(&model(0), 1_000);
        prop_assert_eq!(scheduler.start(now), shown);
    }
}

#[test]
fn a_hundred_thousand_who_come_and_go_leave_nothing() {
    let settings = QueueSettings {
        slots: 8,
        loaded_max: NonZeroU32::new(1),
        ..QueueSettings::default()
    };
    let mut scheduler = Scheduler::new(settings, Duration::ZERO);
    let mut chance = Chance::new(3);
    let mut now = Duration::ZERO;
    let mut there = Vec::new();
    for _ in 0..100_000 {
        now += Duration::from_millis(chance.below(2_000).into());
        if chance.below(2) == 0 {
            let width = 1 + chance.below(20) / 18;
            let user = who(chance.below(30));
            let entered = scheduler.enter(&model(chance.below(MODELS)), &user, width, now);
            there.extend(entered.ok());
        } else if !there.is_empty() {
            let at = chance.index(there.len());
            scheduler.leave(there.swap_remove(at), now);
        }
        scheduler.start(now);
    }
    for ticket in there {
        scheduler.leave(ticket, now);
        scheduler.leave(ticket, now);
        scheduler.start(now);
    }
    assert!(scheduler.is_empty());
    let status = scheduler.status(now);
    assert!(status.users.is_empty() && status.models.iter().all(|model| model.running == 0));
}
