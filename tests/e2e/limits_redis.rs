//! Limits that several appliances share, in a real Redis which is killed, comes back and is asked by TLS.

use std::cell::Cell;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use thon::domain::model::ModelName;
use thon::domain::quota::{Limits, Mode, Models, Scope, TokenLimit, Tokens};
use thon::domain::secret::Secret;
use thon::domain::usage::Settled;
use thon::limiter::bucket::{Bucket, Pace};
use thon::limiter::redis::{Part, Redis, Verb, Word};
use thon::limiter::{
    Ask, Balances, Limiter, Moment, Permit, Place, Refusal, Shared, Sharing, Subject, Tls, WhenAway,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const LIMIT: u64 = 100_000;
const DAY: NonZeroU32 = NonZeroU32::new(86_400).unwrap();
const PASSWORD: &str = "a password which nobody reads";
const PATIENCE: Duration = Duration::from_secs(20);

/// A server of our own, which forgets nothing when it is killed.
struct Server {
    dir: TempDir,
    port: u16,
    tls: bool,
    child: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    async fn start(tls: bool) -> Self {
        let mut server = Self {
            dir: TempDir::new().unwrap(),
            port: free_port(),
            tls,
            child: None,
        };
        if tls {
            certificate(server.dir.path());
        }
        server.run().await;
        server
    }

    async fn run(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        command
            .current_dir(self.dir.path())
            .args(["--bind", "127.0.0.1", "--requirepass", PASSWORD])
            .args([
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
            ])
            .stdout(Stdio::null());
        if self.tls {
            command
                .args([
                    "--port",
                    "0",
                    "--tls-port",
                    &port,
                    "--tls-auth-clients",
                    "no",
                ])
                .args([
                    "--tls-cert-file",
                    "server.crt",
                    "--tls-key-file",
                    "server.key",
                ])
                .args(["--tls-ca-cert-file", "server.crt"]);
        } else {
            command.args(["--port", &port]);
        }
        self.child = Some(
            command
                .spawn()
                .expect("redis-server, which tests/setup installs"),
        );
        let asked = Redis::new(&self.place()).unwrap();
        eventually("redis-server answers", async || asked.ping().await.is_ok()).await;
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn place(&self) -> Place {
        let authority = || fs::read(self.dir.path().join("server.crt")).unwrap();
        Place {
            host: "127.0.0.1".into(),
            port: self.port,
            password: Some(Secret::new(PASSWORD)),
            tls: if self.tls {
                Tls::By(authority())
            } else {
                Tls::Off
            },
        }
    }
}

/// Signed by itself, for 127.0.0.1.
fn certificate(dir: &Path) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(dir.join("server.crt"), made.cert.pem()).unwrap();
    fs::write(dir.join("server.key"), made.signing_key.serialize_pem()).unwrap();
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "not yet: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// One of several that share.
struct Appliance {
    limiter: Arc<Limiter>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Appliance {
    fn start(name: &str, place: Place, when_away: WhenAway, mode: Mode) -> Self {
        let sharing = Sharing {
            place,
            event: "summer".into(),
            appliance: name.into(),
            when_away,
        };
        let now = Moment::now();
        let (limiter, settler) =
            Limiter::sharing(&limits(mode), Balances::default(), now, &sharing).unwrap();
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(settler.run(stop.clone()));
        tasks.close();
        Self {
            limiter,
            tasks,
            stop,
        }
    }

    async fn admit(&self, prompt_tokens: u64, output_cap: u64) -> Result<Permit, Refusal> {
        self.limiter.admit(ask(prompt_tokens, output_cap)).await
    }

    /// A machine that is busy may be late once: that is an absence, from which it comes back.
    async fn answer(&self, prompt_tokens: u64, output_cap: u64) -> Result<Permit, Refusal> {
        let begun = Instant::now();
        loop {
            match self.admit(prompt_tokens, output_cap).await {
                Err(Refusal::Unavailable) if begun.elapsed() < PATIENCE => {
                    sleep(Duration::from_millis(20)).await;
                }
                answer => return answer,
            }
        }
    }

    async fn spend(&self, tokens: u64) {
        let mut permit = self.answer(tokens, 0).await.unwrap();
        permit.sent();
        permit.settle(spent(tokens, 0), Settled::Exact);
    }

    /// What is left by the shared balance, as a request finds it.
    async fn left(&self) -> Option<i64> {
        match self.admit(1, 0).await {
            Ok(permit) => {
                let left = self.remaining() + 1;
                permit.refund();
                Some(left)
            }
            Err(Refusal::Tokens { limit, .. }) => Some(limit.remaining),
            Err(_) => None,
        }
    }

    fn remaining(&self) -> i64 {
        let model = ModelName::new("qwen3");
        self.limiter.standings(&subject(), Some(&model))[0].remaining
    }

    /// Refilling during the test is a token a second.
    async fn comes_to(&self, left: i64) {
        let what = format!("{left} left");
        eventually(&what, async || {
            self.left()
                .await
                .is_some_and(|it| (left..left + 60).contains(&it))
        })
        .await;
    }

    async fn comes_back(&self) {
        eventually("the balances are back", async || {
            self.limiter.shared_state() == Shared::Fine
        })
        .await;
    }

    fn is_away(&self) -> bool {
        matches!(self.limiter.shared_state(), Shared::Away { .. })
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

fn limits(mode: Mode) -> Limits {
    Limits {
        tokens: vec![TokenLimit {
            scope: Scope::Group,
            models: Models::Together,
            tokens: LIMIT,
            window_s: DAY,
            mode,
            per_member: false,
        }],
        ..Limits::default()
    }
}

fn subject() -> Subject {
    Subject {
        user: Some("red/ann".parse().unwrap()),
        group: "red".parse().unwrap(),
        members: 4,
    }
}

fn ask(prompt_tokens: u64, output_cap: u64) -> Ask {
    Ask {
        subject: subject(),
        model: ModelName::new("qwen3"),
        prompt_tokens,
        prompt_bytes: 0,
        images: 0,
        output_cap,
        answers: 1,
    }
}

fn spent(input: u64, output: u64) -> Tokens {
    Tokens {
        input,
        cached: 0,
        output,
    }
}

fn left_of(limit: u64, spent: u64) -> i64 {
    i64::try_from(limit).unwrap() - i64::try_from(spent).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_appliances_share_one_limit() {
    let server = Server::start(false).await;
    let one = Appliance::start("one", server.place(), WhenAway::Refuse, Mode::Balanced);
    let two = Appliance::start("two", server.place(), WhenAway::Refuse, Mode::Balanced);
    let whole = one.answer(LIMIT, 0).await.unwrap();
    let Err(Refusal::Tokens { limit, .. }) = two.answer(50_000, 0).await else {
        panic!("the other one has reserved everything");
    };
    assert!((0..60).contains(&limit.remaining));
    whole.settle(spent(60_000, 0), Settled::Exact);
    two.comes_to(40_000).await;
    two.spend(50_000 - 15_000).await;
    one.comes_to(5_000).await;
    assert!(matches!(
        one.answer(LIMIT + 1, 0).await,
        Err(Refusal::TooLarge { .. })
    ));
    // Debts are shared too, and answers that grow.
    let mut growing = two.answer(100, 50_000).await.unwrap();
    growing.sent();
    growing.seen(20_000);
    eventually("the debt is seen", async || {
        one.left().await.is_some_and(|it| it < -14_000)
    })
    .await;
    drop(growing);
    one.comes_to(5_000 - 20_100).await;
    one.end().await;
    two.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_on_two_appliances_stay_within_the_limit() {
    let server = Server::start(false).await;
    let one = Arc::new(Appliance::start(
        "one",
        server.place(),
        WhenAway::Refuse,
        Mode::Strict,
    ));
    let two = Arc::new(Appliance::start(
        "two",
        server.place(),
        WhenAway::Refuse,
        Mode::Strict,
    ));
    let mut racing = JoinSet::new();
    for number in 0..50_u64 {
        let appliance = if number.is_multiple_of(2) {
            one.clone()
        } else {
            two.clone()
        };
        racing.spawn(async move {
            let mut permit = appliance.answer(1_000, 4_000).await.ok()?;
            permit.sent();
            for seen in (0..=4_000).step_by(500) {
                permit.seen(seen);
                tokio::task::yield_now().await;
            }
            let output = 4_000 - number;
            permit.settle(spent(1_000, output), Settled::Exact);
            Some(1_000 + output)
        });
    }
    let charged: Vec<u64> = racing.join_all().await.into_iter().flatten().collect();
    let sum: u64 = charged.iter().sum();
    assert!((20..50).contains(&charged.len()), "{}", charged.len());
    assert!(sum <= LIMIT + 60, "{sum}");
    let reader = Appliance::start("three", server.place(), WhenAway::Refuse, Mode::Strict);
    reader.comes_to(left_of(LIMIT, sum)).await;
    reader.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_everything_is_refused_if_that_is_wanted_and_served_when_it_is_back() {
    let mut server = Server::start(false).await;
    let one = Appliance::start("one", server.place(), WhenAway::Refuse, Mode::Balanced);
    one.spend(30_000).await;
    let open = one.answer(10_000, 0).await.unwrap();
    one.comes_to(60_000).await;
    server.kill();
    assert_eq!(one.admit(1, 0).await.unwrap_err(), Refusal::Unavailable);
    assert!(one.is_away());
    // What ends meanwhile is told later.
    open.settle(spent(4_000, 0), Settled::Exact);
    server.run().await;
    one.comes_back().await;
    one.comes_to(66_000).await;
    assert_eq!(one.limiter.lost(), 0);
    one.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_an_appliance_goes_on_by_itself_and_tells_what_it_spent_later() {
    let mut server = Server::start(false).await;
    let one = Appliance::start("one", server.place(), WhenAway::GoOn, Mode::Balanced);
    let two = Appliance::start("two", server.place(), WhenAway::GoOn, Mode::Balanced);
    two.spend(30_000).await;
    one.comes_to(70_000).await;
    server.kill();
    one.spend(50_000).await;
    assert!(one.is_away());
    assert!((20_000..20_060).contains(&one.remaining()));
    assert!(matches!(
        one.admit(30_000, 0).await,
        Err(Refusal::Tokens { .. })
    ));
    server.run().await;
    one.comes_back().await;
    two.comes_to(20_000).await;
    one.end().await;
    two.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_nobody_waits_for_is_taken_back() {
    let server = Server::start(false).await;
    let one = Appliance::start("one", server.place(), WhenAway::Refuse, Mode::Balanced);
    one.comes_to(left_of(LIMIT, 0)).await;
    for turns in 0..200 {
        let mut admit = std::pin::pin!(one.admit(400, 0));
        for _ in 0..turns % 20 {
            let once = std::future::poll_fn(|context| {
                std::task::Poll::Ready(admit.as_mut().poll(context).is_ready())
            });
            if once.await {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    one.comes_to(left_of(LIMIT, 0)).await;
    assert_eq!(one.limiter.in_flight().requests, 0);
    one.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_settled_last_is_told_before_the_end() {
    let server = Server::start(false).await;
    let one = Appliance::start("one", server.place(), WhenAway::Refuse, Mode::Balanced);
    for _ in 0..100 {
        one.spend(500).await;
    }
    one.end().await;
    let two = Appliance::start("two", server.place(), WhenAway::Refuse, Mode::Balanced);
    let left = two.left().await.unwrap();
    assert!((50_000..50_060).contains(&left), "{left}");
    two.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_asked_by_tls_and_a_stranger_s_certificate_is_refused() {
    let server = Server::start(true).await;
    let one = Appliance::start("one", server.place(), WhenAway::Refuse, Mode::Balanced);
    one.spend(30_000).await;
    one.comes_to(70_000).await;
    let strangers = Place {
        tls: Tls::On,
        ..server.place()
    };
    let two = Appliance::start("two", strangers, WhenAway::Refuse, Mode::Balanced);
    assert_eq!(two.admit(1, 0).await.unwrap_err(), Refusal::Unavailable);
    one.end().await;
    two.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_an_absence_and_is_never_told() {
    let server = Server::start(false).await;
    let place = Place {
        password: Some(Secret::new("another one")),
        ..server.place()
    };
    let error = Redis::new(&place).unwrap().ping().await.unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("another one"),
        "{error:?}"
    );
    let one = Appliance::start("one", place, WhenAway::Refuse, Mode::Balanced);
    assert_eq!(one.admit(1, 0).await.unwrap_err(), Refusal::Unavailable);
    assert!(one.is_away());
    one.end().await;
}

/// What a request of the simulation does.
#[derive(Clone, Debug)]
struct Turn {
    after_ms: u64,
    reserve: u64,
    extend: u64,
    close: u64,
    twice: bool,
}

fn turn() -> impl Strategy<Value = Turn> {
    (
        0..400_000_u64,
        0..9_000_000_u64,
        0..9_000_000_u64,
        0..9_000_000_u64,
        any::<bool>(),
    )
        .prop_map(|(after_ms, reserve, extend, close, twice)| Turn {
            after_ms: after_ms / 8 * 8,
            reserve,
            extend,
            close,
            twice,
        })
}

#[test]
fn the_script_reckons_as_the_bucket_does_and_hears_nothing_twice() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(false));
    let redis = {
        let _inside = runtime.enter();
        Redis::new(&server.place()).unwrap()
    };
    let cases = Cell::new(0);
    proptest!(ProptestConfig::with_cases(40), |(
        capacity in 1..20_000_000_u64, window in prop_oneof![Just(60), Just(3_600), Just(604_800_u32)],
        turns in proptest::collection::vec(turn(), 1..25)
    )| {
        cases.set(cases.get() + 1);
        let pace = Pace::new(capacity, NonZeroU32::new(window).unwrap());
        let both = Both { redis: &redis, case: cases.get(), pace };
        runtime.block_on(both.play(&turns))?;
    });
}

struct Both<'r> {
    redis: &'r Redis,
    case: u32,
    pace: Pace,
}

impl Both<'_> {
    /// Begins far from nothing, as clocks do.
    const EPOCH_MS: u64 = 1_790_000_000_000;

    async fn play(&self, turns: &[Turn]) -> Result<(), TestCaseError> {
        let (mut now_ms, mut bucket) = (Self::EPOCH_MS, Bucket::full(self.pace, 0));
        for (number, turn) in turns.iter().enumerate() {
            now_ms += turn.after_ms;
            bucket.fill((now_ms - Self::EPOCH_MS) * 1_000);
            let mark = format!("{}:{number}", self.case);
            let fits = bucket.has(turn.reserve);
            let word = self.tell(Verb::Reserve, &mark, turn.reserve, now_ms).await;
            prop_assert_eq!(word.0, if fits { Word::Done } else { Word::Refused });
            let mut held = 0;
            if fits {
                bucket.take(turn.reserve);
                held = turn.reserve;
                self.agrees(&word, &bucket)?;
            }
            let word = self.tell(Verb::Extend, &mark, turn.extend, now_ms).await;
            bucket.take(turn.extend.saturating_sub(held));
            held = held.max(turn.extend);
            self.agrees(&word, &bucket)?;
            for _ in 0..=u8::from(turn.twice) {
                let word = self.tell(Verb::Close, &mark, turn.close, now_ms).await;
                bucket.take(turn.close.saturating_sub(held));
                bucket.give(held.saturating_sub(turn.close));
                held = turn.close;
                self.agrees(&word, &bucket)?;
            }
            let late = self.tell(Verb::Reserve, &mark, turn.reserve, now_ms).await;
            prop_assert_eq!(late.0, Word::Stale);
        }
        Ok(())
    }

    async fn tell(&self, verb: Verb, mark: &str, amount: u64, now_ms: u64) -> (Word, i64) {
        let part = Part {
            key: format!("balance:{}", self.case),
            pace: self.pace,
            amount,
            refuses: true,
        };
        let mark = format!("mark:{mark}");
        let reply = self
            .redis
            .tell(verb, &mark, &[part], Some(now_ms))
            .await
            .unwrap();
        (reply.word, reply.used[0])
    }

    fn agrees(&self, (_, used): &(Word, i64), bucket: &Bucket) -> Result<(), TestCaseError> {
        let capacity = i64::try_from(self.pace.capacity()).unwrap();
        prop_assert_eq!(capacity - used, bucket.left());
        Ok(())
    }
}
