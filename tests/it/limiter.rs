//! Token limits: exact under concurrency, settled once, kept over changes and restarts.

mod law;
mod race;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use thon::domain::model::ModelName;
use thon::domain::quota::{Limits, Mode, Models, Scope, TokenLimit, Tokens, Weights};
use thon::domain::usage::Settled;
use thon::limiter::{Ask, Balances, Counts, Limiter, Moment, Permit, Refusal, Standing, Subject};

const MINUTE: u32 = 60;
const DAY: u32 = 86_400;

/// A limiter whose time is moved by hand.
struct World {
    limiter: Arc<Limiter>,
    hand: Arc<AtomicU64>,
}

impl World {
    fn new(limits: Limits) -> Self {
        Self::with(limits, Balances::default(), Timestamp::UNIX_EPOCH)
    }

    fn with(limits: Limits, saved: Balances, wall: Timestamp) -> Self {
        let hand = Arc::new(AtomicU64::new(0));
        let limiter = Limiter::new(&limits, saved, Moment::held(wall, hand.clone()));
        Self { limiter, hand }
    }

    fn pass(&self, time: Duration) {
        let passed = u64::try_from(time.as_micros()).unwrap();
        self.hand.fetch_add(passed, Ordering::Relaxed);
    }

    fn admit(&self, ask: Ask) -> Result<Permit, Refusal> {
        // Local balances are never waited for.
        self.limiter.admit(ask).now_or_never().unwrap()
    }

    fn spend(&self, ask: Ask, tokens: Tokens) -> Result<(), Refusal> {
        let mut permit = self.admit(ask)?;
        permit.sent();
        permit.settle(tokens, Settled::Exact);
        Ok(())
    }

    fn standing(&self, user: &str, model: &str) -> Standing {
        self.of(user, model, Counts::Tokens)
    }

    fn of(&self, user: &str, model: &str, counts: Counts) -> Standing {
        let model = ModelName::new(model);
        let all = self.limiter.standings(&subject(user), Some(&model));
        let mut those = all.into_iter().filter(|it| it.counts == counts);
        those.next().unwrap()
    }

    fn left(&self, user: &str) -> i64 {
        self.standing(user, "qwen3").remaining
    }

    fn is_idle(&self) -> bool {
        let in_flight = self.limiter.in_flight();
        in_flight.requests == 0 && in_flight.reserved == 0
    }
}

fn subject(user: &str) -> Subject {
    let user: thon::domain::id::UserRef = user.parse().unwrap();
    Subject {
        group: user.group.clone(),
        user: Some(user),
        members: 4,
    }
}

fn ask(user: &str, prompt_tokens: u64, output_cap: u64) -> Ask {
    Ask {
        subject: subject(user),
        model: ModelName::new("qwen3"),
        prompt_tokens,
        prompt_bytes: prompt_tokens * 3,
        images: 0,
        output_cap,
        answers: 1,
    }
}

fn of_model(model: &str, ask: Ask) -> Ask {
    Ask {
        model: ModelName::new(model),
        ..ask
    }
}

fn limit(scope: Scope, tokens: u64, window_s: u32) -> TokenLimit {
    TokenLimit {
        scope,
        models: Models::Together,
        tokens,
        window_s: NonZeroU32::new(window_s).unwrap(),
        mode: Mode::Balanced,
        per_member: false,
    }
}

fn limits(tokens: impl IntoIterator<Item = TokenLimit>) -> Limits {
    Limits {
        tokens: tokens.into_iter().collect(),
        weights: Weights::default(),
        ..Limits::default()
    }
}

fn spent(input: u64, output: u64) -> Tokens {
    Tokens {
        input,
        cached: 0,
        output,
    }
}

const ANN: &str = "red/ann";
const BOB: &str = "red/bob";
const EVE: &str = "blue/eve";

#[test]
fn a_limit_smaller_than_any_estimate_admits_the_first_request() {
    let world = World::new(limits([limit(Scope::User, 100, MINUTE)]));
    let permit = world.admit(ask(ANN, 10, 8_192)).unwrap();
    assert_eq!(world.left(ANN), 0);
    permit.settle(spent(10, 40), Settled::Exact);
    assert_eq!(world.left(ANN), 50);
}

#[test]
fn a_prompt_that_never_fits_is_told_apart_from_one_that_must_wait() {
    let world = World::new(limits([limit(Scope::User, 100, MINUTE)]));
    let refused = world.admit(ask(ANN, 101, 10)).unwrap_err();
    assert!(
        matches!(refused, Refusal::TooLarge { requested: 101, .. }),
        "{refused:?}"
    );
    let _whole = world.admit(ask(ANN, 100, 10)).unwrap();
    let refused = world.admit(ask(ANN, 100, 10)).unwrap_err();
    assert!(matches!(refused, Refusal::Tokens { .. }), "{refused:?}");
}

#[test]
fn a_limit_of_nothing_admits_nothing() {
    let world = World::new(limits([limit(Scope::User, 0, MINUTE)]));
    let refused = world.admit(ask(ANN, 0, 10)).unwrap_err();
    assert!(matches!(refused, Refusal::TooLarge { .. }), "{refused:?}");
}

#[test]
fn what_is_refused_by_tokens_takes_no_request_and_the_other_way_round() {
    let world = World::new(Limits {
        requests_per_minute: NonZeroU32::new(2),
        ..limits([limit(Scope::Group, 1_000, MINUTE)])
    });
    let requests = |world: &World| world.of(ANN, "qwen3", Counts::Requests).remaining;
    world.spend(ask(ANN, 900, 100), spent(900, 100)).unwrap();
    assert_eq!(requests(&world), 1);
    for _ in 0..5 {
        assert!(matches!(
            world.admit(ask(ANN, 900, 100)),
            Err(Refusal::Tokens { .. })
        ));
    }
    assert_eq!(requests(&world), 1);

    world.pass(Duration::from_secs(29));
    world.spend(ask(ANN, 1, 1), spent(1, 1)).unwrap();
    let left = world.left(ANN);
    for _ in 0..5 {
        let refused = world.admit(ask(ANN, 1, 1)).unwrap_err();
        assert!(
            matches!(refused, Refusal::Requests { per_minute: 2, .. }),
            "{refused:?}"
        );
    }
    assert_eq!(world.left(ANN), left);
    assert!(world.is_idle());
}

#[test]
fn whatever_refuses_after_the_limits_gives_the_request_back() {
    let world = World::new(Limits {
        requests_per_minute: NonZeroU32::new(2),
        ..limits([limit(Scope::User, 1_000, MINUTE)])
    });
    for _ in 0..5 {
        world.admit(ask(ANN, 100, 100)).unwrap().refund();
        drop(world.admit(ask(ANN, 100, 100)).unwrap());
    }
    assert_eq!(world.of(ANN, "qwen3", Counts::Requests).remaining, 2);
    assert_eq!(world.left(ANN), 1_000);
}

#[test]
fn a_permit_that_ends_in_any_way_leaves_nothing_reserved() {
    let world = World::new(limits([limit(Scope::User, 100_000, MINUTE)]));
    let ends: [fn(Permit); 6] = [
        drop,
        Permit::refund,
        |permit| permit.settle(spent(100, 7), Settled::Exact),
        |permit| permit.settle(spent(0, 0), Settled::Nothing),
        |mut permit| {
            permit.sent();
            permit.seen(9_000);
        },
        |mut permit| {
            permit.seen(700);
            permit.settle(spent(100, 701), Settled::Observed);
        },
    ];
    for end in ends {
        let permit = world.admit(ask(ANN, 100, 10_000)).unwrap();
        assert!(!world.is_idle());
        end(permit);
        assert!(world.is_idle());
    }
    // 107 + 0 + 9,100 + 801
    assert_eq!(world.left(ANN), 100_000 - 10_008);
}

#[test]
fn an_answer_that_was_cut_costs_its_prompt_and_what_was_seen() {
    let world = World::new(limits([limit(Scope::User, 10_000, MINUTE)]));
    let mut permit = world.admit(ask(ANN, 20, 4_000)).unwrap();
    assert_eq!(permit.so_far(), (Tokens::default(), Settled::Nothing));
    permit.sent();
    assert_eq!(permit.so_far(), (spent(20, 0), Settled::Estimated));
    for count in 1..=50 {
        permit.seen(count);
    }
    assert_eq!(permit.so_far(), (spent(20, 50), Settled::Observed));
    drop(permit);
    assert_eq!(world.left(ANN), 10_000 - 70);
}

#[test]
fn a_request_that_never_reached_the_model_costs_nothing() {
    let world = World::new(limits([limit(Scope::User, 10_000, MINUTE)]));
    drop(world.admit(ask(ANN, 500, 500)).unwrap());
    assert_eq!(world.left(ANN), 10_000);
}

#[test]
fn a_request_costs_its_tokens_by_their_weights() {
    let world = World::new(limits([limit(Scope::User, 10_000, MINUTE)]));
    let tokens = Tokens {
        input: 100,
        cached: 2_000,
        output: 50,
    };
    world.spend(ask(ANN, 2_100, 4_000), tokens).unwrap();
    assert_eq!(world.left(ANN), 10_000 - 100 - 200 - 50);
}

#[test]
fn a_count_of_nothing_is_a_count() {
    let world = World::new(limits([limit(Scope::User, 10_000, MINUTE)]));
    world.spend(ask(ANN, 500, 500), spent(0, 0)).unwrap();
    assert_eq!(world.left(ANN), 10_000);
}

#[test]
fn an_answer_that_grows_reserves_more_which_others_see_at_once() {
    let world = World::new(limits([limit(Scope::User, 10_000, MINUTE)]));
    let mut permit = world.admit(ask(ANN, 100, 8_000)).unwrap();
    assert_eq!(world.left(ANN), 10_000 - 612);
    permit.seen(512);
    assert_eq!(world.left(ANN), 10_000 - 612);
    permit.seen(513);
    assert_eq!(world.left(ANN), 10_000 - 612 - 256);
    permit.seen(11_000);
    assert!(world.left(ANN) < 0);
    assert!(matches!(
        world.admit(ask(ANN, 1, 1)),
        Err(Refusal::Tokens { .. })
    ));
    permit.settle(spent(100, 513), Settled::Exact);
    assert_eq!(world.left(ANN), 10_000 - 613);
}

#[test]
fn the_rate_over_ten_windows_is_the_limit_to_the_token() {
    let world = World::new(Limits {
        requests_per_minute: NonZeroU32::new(600),
        ..limits([limit(Scope::User, 7_000, MINUTE)])
    });
    let mut charged = 0;
    // Estimates are wrong by much in both directions; a try every 100 ms.
    for step in 0..6_000_u64 {
        if let Ok(mut permit) = world.admit(ask(ANN, 40, 2_000)) {
            permit.sent();
            let output = [0, 1_900, 3, 700][usize::try_from(step % 4).unwrap()];
            charged += 40 + output;
            permit.settle(spent(40, output), Settled::Observed);
        }
        world.pass(Duration::from_millis(100));
    }
    let allowed = 7_000 + 70_000;
    assert_eq!(i64::try_from(charged).unwrap() + world.left(ANN), allowed);
    assert!((70_000..=77_000 + 1_940).contains(&charged), "{charged}");
}

#[test]
fn requests_and_tokens_have_windows_of_their_own() {
    let world = World::new(Limits {
        requests_per_minute: NonZeroU32::new(60),
        ..limits([limit(Scope::User, 86_400, DAY)])
    });
    for _ in 0..60 {
        world.spend(ask(ANN, 10, 10), spent(10, 10)).unwrap();
    }
    let Err(Refusal::Requests { retry_after, .. }) = world.admit(ask(ANN, 10, 10)) else {
        panic!("a minute's requests are used");
    };
    assert_eq!(retry_after, Duration::from_secs(1));
    world.pass(Duration::from_secs(30));
    assert_eq!(world.of(ANN, "qwen3", Counts::Requests).remaining, 30);
    assert_eq!(world.left(ANN), 86_400 - 1_200 + 30);
}

#[test]
fn two_users_have_a_limit_each_and_a_group_has_one() {
    let world = World::new(limits([
        limit(Scope::User, 1_000, MINUTE),
        limit(Scope::Group, 1_500, DAY),
    ]));
    world.spend(ask(ANN, 500, 500), spent(500, 500)).unwrap();
    assert_eq!(world.left(BOB), 1_500 - 1_000);
    assert_eq!(world.standing(EVE, "qwen3").remaining, 1_500);
    assert!(world.admit(ask(ANN, 100, 100)).is_err());
    assert!(world.admit(ask(EVE, 1_000, 0)).is_ok());
    let Err(Refusal::Tokens { limit, .. }) = world.admit(ask(BOB, 600, 0)) else {
        panic!("the group has 500 left");
    };
    assert_eq!(limit.account.to_string(), "group red");
    assert_eq!(
        world.limiter.standings(&subject(BOB), None)[1].remaining,
        1_000
    );
}

#[test]
fn each_model_has_its_own_balance_or_shares_one() {
    let each = TokenLimit {
        models: Models::Each,
        ..limit(Scope::User, 1_000, MINUTE)
    };
    let one = TokenLimit {
        models: Models::One(ModelName::new("big")),
        ..limit(Scope::Event, 300, MINUTE)
    };
    let world = World::new(limits([each, one]));
    world
        .spend(of_model("big", ask(ANN, 200, 0)), spent(200, 0))
        .unwrap();
    assert_eq!(world.standing(ANN, "big").remaining, 100);
    assert_eq!(world.standing(ANN, "small").remaining, 1_000);
    assert_eq!(world.standing(EVE, "big").remaining, 100);
    assert!(world.admit(of_model("big", ask(EVE, 200, 0))).is_err());
    assert!(world.admit(of_model("small", ask(EVE, 900, 0))).is_ok());
}

#[test]
fn made_up_models_are_no_way_to_more_than_a_bound() {
    let each = TokenLimit {
        models: Models::Each,
        ..limit(Scope::User, 1_000, MINUTE)
    };
    let world = World::new(limits([each]));
    let admitted = (0..500).filter(|number| {
        let ask = of_model(&format!("m{number}"), ask(ANN, 1_000, 0));
        world.spend(ask, spent(1_000, 0)).is_ok()
    });
    assert_eq!(admitted.count(), 65);
}

#[test]
fn a_group_s_limit_grows_with_its_members() {
    let by_member = TokenLimit {
        per_member: true,
        ..limit(Scope::Group, 1_000, MINUTE)
    };
    let world = World::new(limits([by_member]));
    world.spend(ask(ANN, 3_000, 0), spent(3_000, 0)).unwrap();
    assert_eq!(world.left(BOB), 1_000);
    let mut more = ask(BOB, 10, 0);
    more.subject.members = 5;
    world.spend(more.clone(), spent(10, 0)).unwrap();
    let standings = world.limiter.standings(&more.subject, None);
    assert_eq!(
        (standings[0].capacity, standings[0].remaining),
        (5_000, 1_990)
    );
}

#[test]
fn a_group_s_own_key_is_no_way_past_the_limits_of_participants() {
    let world = World::new(limits([limit(Scope::User, 1_000, MINUTE)]));
    let mut of_group = ask(ANN, 900, 0);
    of_group.subject.user = None;
    world.spend(of_group.clone(), spent(900, 0)).unwrap();
    assert!(world.admit(of_group).is_err());
    assert_eq!(world.left(ANN), 1_000);
}

#[test]
fn several_answers_are_reserved_for() {
    let world = World::new(limits([limit(Scope::User, 10_000, MINUTE)]));
    let mut three = ask(ANN, 100, 200);
    three.answers = 3;
    let permit = world.admit(three).unwrap();
    assert_eq!(permit.estimate().output_tokens, 600);
    assert_eq!(world.left(ANN), 10_000 - 700);
    drop(permit);
}

#[test]
fn the_strict_reserve_all_that_an_answer_may_have_and_observers_nothing() {
    let in_mode = |mode| TokenLimit {
        mode,
        ..limit(Scope::User, 10_000, MINUTE)
    };
    let strict = World::new(limits([in_mode(Mode::Strict)]));
    let permit = strict.admit(ask(ANN, 100, 4_000)).unwrap();
    assert_eq!(strict.left(ANN), 10_000 - 4_100);
    drop(permit);

    let observing = World::new(limits([in_mode(Mode::Observe)]));
    let mut permit = observing.admit(ask(ANN, 20_000, 4_000)).unwrap();
    permit.sent();
    permit.seen(9_000);
    assert_eq!(observing.left(ANN), 10_000);
    drop(permit);
    assert_eq!(observing.left(ANN), 10_000 - 29_000);
    assert!(observing.admit(ask(ANN, 1, 1)).is_ok());
}

#[test]
fn what_answers_had_of_late_is_what_the_next_one_reserves() {
    let world = World::new(limits([limit(Scope::Event, 1_000_000, MINUTE)]));
    let expected = |user| {
        world
            .admit(ask(user, 100, 4_000))
            .unwrap()
            .estimate()
            .output_tokens
    };
    assert_eq!(expected(ANN), 512);
    for _ in 0..5 {
        world.spend(ask(ANN, 100, 4_000), spent(100, 30)).unwrap();
    }
    assert_eq!(expected(ANN), 30);
    assert_eq!(expected(EVE), 30);
    for _ in 0..5 {
        world
            .spend(ask(EVE, 100, 4_000), spent(100, 3_000))
            .unwrap();
    }
    assert_eq!(expected(EVE), 3_000);
    assert_eq!(expected(ANN), 30);
}

#[test]
fn the_time_to_come_back_is_when_it_fits_and_not_later() {
    let world = World::new(limits([limit(Scope::User, 7_001, MINUTE)]));
    world.spend(ask(ANN, 7_000, 0), spent(7_000, 0)).unwrap();
    for (prompt, cap) in [(1, 900), (3_000, 1), (7_001, 0), (20, 8_000)] {
        let Err(Refusal::Tokens { retry_after, .. }) = world.admit(ask(ANN, prompt, cap)) else {
            panic!("nothing is left");
        };
        let early = retry_after.checked_sub(Duration::from_micros(1)).unwrap();
        world.pass(early);
        assert!(world.admit(ask(ANN, prompt, cap)).is_err());
        world.pass(Duration::from_micros(1));
        world
            .admit(ask(ANN, prompt, cap))
            .unwrap()
            .settle(spent(9_000, 0), Settled::Observed);
    }
}

#[test]
fn a_change_of_limits_resets_nobody() {
    let minute = |tokens| limits([limit(Scope::User, tokens, MINUTE)]);
    let world = World::new(minute(1_000));
    world
        .spend(ask(ANN, 1_000, 400), spent(1_000, 400))
        .unwrap();
    assert_eq!(world.left(ANN), -400);
    world.limiter.apply(&minute(1_000));
    assert_eq!(world.left(ANN), -400);
    world.limiter.apply(&minute(500));
    assert_eq!((world.left(ANN), world.left(BOB)), (-400, 500));
    world.limiter.apply(&minute(3_000));
    assert_eq!((world.left(ANN), world.left(BOB)), (2_100, 3_000));
    // A limit that is taken away and comes back finds its debts.
    world.limiter.apply(&minute(1_000));
    world
        .spend(ask(ANN, 1_000, 900), spent(1_000, 900))
        .unwrap();
    world.limiter.apply(&limits([]));
    assert!(world.limiter.standings(&subject(ANN), None).is_empty());
    world.limiter.apply(&minute(1_000));
    assert_eq!(world.left(ANN), -900);
}

#[test]
fn a_permit_outlives_a_change_of_limits_and_is_charged_once() {
    let minute = |tokens| limits([limit(Scope::User, tokens, MINUTE)]);
    let world = World::new(minute(1_000));
    let permit = world.admit(ask(ANN, 100, 400)).unwrap();
    world.limiter.apply(&minute(600));
    assert_eq!(world.left(ANN), 500);
    permit.settle(spent(100, 100), Settled::Exact);
    assert_eq!(world.left(ANN), 600);

    let permit = world.admit(ask(ANN, 100, 400)).unwrap();
    world.limiter.apply(&limits([]));
    permit.settle(spent(100, 450), Settled::Exact);
    world.limiter.apply(&minute(600));
    assert_eq!(world.left(ANN), 50);
    assert!(world.is_idle());
}

fn noon() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

/// As it comes back from the store, written at noon.
fn kept(world: &World) -> Balances {
    let text = serde_json::to_string(&world.limiter.balances()).unwrap();
    Balances {
        at: noon(),
        ..serde_json::from_str(&text).unwrap()
    }
}

#[test]
fn balances_survive_a_restart_and_what_refilled_meanwhile_counts() {
    let both = || {
        limits([
            limit(Scope::User, 6_000, MINUTE),
            limit(Scope::Group, 86_400, DAY),
        ])
    };
    let before = World::new(both());
    before
        .spend(ask(ANN, 5_000, 4_000), spent(5_000, 4_000))
        .unwrap();
    for (stopped_s, user, group) in [
        (0, -3_000, 77_400),
        (20, -1_000, 77_420),
        (600, 6_000, 78_000),
    ] {
        let now = noon() + SignedDuration::from_secs(stopped_s);
        let after = World::with(both(), kept(&before), now);
        let left = |name| {
            let all = after.limiter.standings(&subject(name), None);
            let of = |id| all.iter().find(|it| &*it.limit_id == id).unwrap().remaining;
            (of("user/60/*"), of("group/86400/*"))
        };
        assert_eq!(left(ANN), (user, group));
        assert_eq!(left(BOB), (6_000, group));
    }
}

#[test]
fn a_clock_that_was_set_back_neither_gives_nor_robs() {
    let minute = || limits([limit(Scope::User, 6_000, MINUTE)]);
    let before = World::new(minute());
    before
        .spend(ask(ANN, 5_000, 4_000), spent(5_000, 4_000))
        .unwrap();
    let after = World::with(
        minute(),
        kept(&before),
        noon() - SignedDuration::from_hours(9),
    );
    assert_eq!(after.left(ANN), -3_000);
    after.pass(Duration::from_secs(30));
    assert_eq!(after.left(ANN), 0);
}

#[test]
fn what_was_learnt_survives_a_restart() {
    let limits = || limits([limit(Scope::User, 6_000, MINUTE)]);
    let before = World::new(limits());
    let model = ModelName::new("qwen3");
    for _ in 0..20 {
        before
            .admit(ask(ANN, 1_000, 10))
            .unwrap()
            .settle(spent(600, 3), Settled::Exact);
        before.pass(Duration::from_mins(1));
    }
    let tokens = before.limiter.prompt_tokens(&model, 3_000, 0);
    assert!((590..700).contains(&tokens), "{tokens}");
    let after = World::with(limits(), kept(&before), noon());
    assert_eq!(after.limiter.prompt_tokens(&model, 3_000, 0), tokens);
    assert_eq!(
        after
            .admit(ask(BOB, 1, 10))
            .unwrap()
            .estimate()
            .output_tokens,
        3
    );
}

#[test]
fn whoever_has_everything_is_forgotten() {
    let world = World::new(limits([
        limit(Scope::User, 6_000, MINUTE),
        limit(Scope::Event, 6_000_000, MINUTE),
    ]));
    for number in 0..1_000 {
        world
            .spend(ask(&format!("red/u{number}"), 100, 10), spent(100, 10))
            .unwrap();
    }
    assert_eq!(world.limiter.balances().balances.len(), 1_001);
    world.pass(Duration::from_mins(1));
    assert!(world.limiter.balances().balances.is_empty());
}
