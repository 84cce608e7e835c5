//! `Pace`: is a connection in a request, idle, or dripping the head of one?
//!
//! The stream reports bytes, the server reports requests, and one timer per connection looks at the
//! result: no timer is touched per read.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::limits::Limits;

/// Waiting for the end of a request's head.
const HEAD: u8 = 0;
/// Between two requests, and nothing of the next one has come.
const IDLE: u8 = 1;

/// More bytes than any head of a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadTooLarge;

#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    head_bytes_max: usize,
    in_flight: AtomicU32,
    phase: AtomicU8,
    /// When `phase` began, in milliseconds after `start`.
    since_ms: AtomicU64,
    head_bytes: AtomicUsize,
    /// Request bodies of HTTP/2 that are awaited, and when the last bytes of one came.
    bodies: AtomicU32,
    body_at_ms: AtomicU64,
    /// HTTP/2: bytes between requests are the protocol's own, not a head.
    multiplexed: AtomicBool,
    upgraded: AtomicBool,
}

impl Pace {
    /// A connection begins with a head to wait for.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            start: Instant::now(),
            // The answer 431 is given by whoever serves, who sees the parsed head; twice as much is
            // not even read.
            head_bytes_max: limits.head_bytes_max * 2,
            in_flight: AtomicU32::new(0),
            phase: AtomicU8::new(HEAD),
            since_ms: AtomicU64::new(0),
            head_bytes: AtomicUsize::new(0),
            bodies: AtomicU32::new(0),
            body_at_ms: AtomicU64::new(0),
            multiplexed: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
        }
    }

    /// The stream gave `n` bytes. Says no when the head that they belong to is too large.
    pub(super) fn read(&self, n: usize) -> Result<(), HeadTooLarge> {
        if n == 0 || self.is_busy() || self.multiplexed.load(Ordering::Relaxed) {
            return Ok(());
        }
        if self.phase.load(Ordering::Relaxed) == IDLE {
            self.enter(HEAD);
        }
        let seen = self.head_bytes.fetch_add(n, Ordering::Relaxed) + n;
        if seen > self.head_bytes_max {
            return Err(HeadTooLarge);
        }
        Ok(())
    }

    pub(super) fn request_began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.head_bytes.store(0, Ordering::Relaxed);
    }

    pub(super) fn request_ended(&self) {
        self.enter(IDLE);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Is what is written now an answer to no request of ours? Never with HTTP/2, whose frames are
    /// the protocol's.
    pub(super) fn is_between_requests(&self) -> bool {
        !self.is_busy() && !self.is_multiplexed() && !self.upgraded.load(Ordering::Relaxed)
    }

    pub(super) fn body_began(&self) {
        self.body_progressed();
        self.bodies.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn body_progressed(&self) {
        self.body_at_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    pub(super) fn body_ended(&self) {
        self.bodies.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }

    pub(super) fn multiplex(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
    }

    /// From now on the bytes are not HTTP's.
    pub(super) fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    /// Ends when the connection has been idle, or in a head, for too long.
    pub(super) async fn overdue(&self, limits: &Limits) {
        loop {
            if self.upgraded.load(Ordering::Relaxed) {
                return std::future::pending().await;
            }
            let Some(left) = self.time_left(limits) else {
                return;
            };
            // At least once per `head_timeout`, so that a head which begins in the meantime is
            // judged on time.
            sleep(left.min(limits.head_timeout)).await;
        }
    }

    /// `None`: none is left.
    fn time_left(&self, limits: &Limits) -> Option<Duration> {
        if self.bodies.load(Ordering::Relaxed) > 0 {
            return self.left(&self.body_at_ms, limits.stall_timeout);
        }
        if self.is_busy() {
            return Some(limits.head_timeout);
        }
        let allowed = if self.phase.load(Ordering::Relaxed) == IDLE {
            limits.idle_timeout
        } else {
            limits.head_timeout
        };
        self.left(&self.since_ms, allowed)
    }

    fn left(&self, since_ms: &AtomicU64, allowed: Duration) -> Option<Duration> {
        let since = Duration::from_millis(since_ms.load(Ordering::Relaxed));
        let left = (since + allowed).saturating_sub(self.start.elapsed());
        (left > Duration::ZERO).then_some(left)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    fn enter(&self, phase: u8) {
        self.since_ms.store(self.now_ms(), Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            head_bytes_max: 100,
            ..Limits::default()
        }
    }

    async fn ends_after(pace: &Pace) -> Duration {
        let begin = Instant::now();
        pace.overdue(&limits()).await;
        begin.elapsed()
    }

    fn about(measured: Duration, seconds: u64) {
        let off = measured.abs_diff(Duration::from_secs(seconds));
        assert!(off < Duration::from_millis(50), "{measured:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_head_has_its_time_from_accept_whatever_drips_in() {
        let pace = Pace::new(&limits());
        pace.read(1).unwrap();
        about(ends_after(&pace).await, 15);
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_there_is_more_time_until_the_next_head_begins() {
        let pace = Pace::new(&limits());
        pace.request_began();
        pace.request_ended();
        about(ends_after(&pace).await, 75);

        let pace = Pace::new(&limits());
        pace.request_began();
        pace.request_ended();
        let (waited, ()) = tokio::join!(ends_after(&pace), async {
            sleep(Duration::from_secs(20)).await;
            pace.read(1).unwrap();
        });
        about(waited, 35);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_flight_and_a_websocket_are_left_alone() {
        let pace = Pace::new(&limits());
        pace.request_began();
        let day = Duration::from_hours(24);
        assert!(tokio::time::timeout(day, ends_after(&pace)).await.is_err());
        pace.request_ended();
        pace.upgrade();
        assert!(tokio::time::timeout(day, ends_after(&pace)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_http_2_has_to_make_progress() {
        let pace = Pace::new(&limits());
        pace.multiplex();
        pace.request_began();
        pace.body_began();
        let (waited, ()) = tokio::join!(ends_after(&pace), async {
            sleep(Duration::from_secs(20)).await;
            pace.body_progressed();
        });
        about(waited, 80);
        pace.body_ended();
        let day = Duration::from_hours(24);
        assert!(tokio::time::timeout(day, ends_after(&pace)).await.is_err());
    }

    #[test]
    fn an_answer_without_a_request_is_known_as_one() {
        let pace = Pace::new(&limits());
        assert!(pace.is_between_requests());
        pace.request_began();
        assert!(!pace.is_between_requests());
        pace.request_ended();
        assert!(pace.is_between_requests());
        pace.upgrade();
        assert!(!pace.is_between_requests());
        let pace = Pace::new(&limits());
        pace.multiplex();
        assert!(!pace.is_between_requests());
    }

    #[test]
    fn a_head_is_not_read_without_end() {
        let pace = Pace::new(&limits());
        pace.read(200).unwrap();
        assert!(pace.read(1).is_err());
        pace.request_began();
        pace.read(1 << 30).unwrap();
    }
}
