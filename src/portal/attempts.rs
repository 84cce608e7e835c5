//! How often an address has tried codes that nobody has: a fixed window, bounded in memory.

use std::collections::HashMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::domain::network::host_of;

/// Unknown codes from one address in a window before the answer is 429.
const FAILURES_MAX: u32 = 60;

const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// Addresses counted one by one; whoever comes after shares one count.
const ADDRESSES_MAX: usize = 4096;

/// Counts failures only, and never refuses a code that exists: a room full of participants is one
/// address to us, and a neighbour who types nonsense must not lock them out. Guessing needs no
/// lock-out, a code has 144 bits.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    started_at: Timestamp,
    failures: HashMap<Option<IpAddr>, u32>,
}

impl Attempts {
    /// Counts one more unknown code; `Err` when that was one too many.
    pub(super) fn failed(&self, peer: Option<IpAddr>, now: Timestamp) -> Result<(), TooMany> {
        let mut window = self.0.lock();
        if now.duration_since(window.started_at).abs() >= WINDOW {
            window.started_at = now;
            window.failures.clear();
        }
        let mut key = peer.map(host_of);
        if window.failures.len() >= ADDRESSES_MAX && !window.failures.contains_key(&key) {
            key = None;
        }
        let failures = window.failures.entry(key).or_default();
        *failures = failures.saturating_add(1);
        if *failures > FAILURES_MAX {
            return Err(TooMany);
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct TooMany;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_sixty_first_unknown_code_in_a_minute_is_too_many() {
        let attempts = Attempts::default();
        let peer = Some(address("192.0.2.1"));
        for _ in 0..FAILURES_MAX {
            assert!(attempts.failed(peer, at(0)).is_ok());
        }
        assert!(attempts.failed(peer, at(59)).is_err());
        assert!(attempts.failed(Some(address("192.0.2.2")), at(59)).is_ok());
        assert!(attempts.failed(peer, at(60)).is_ok());
    }

    #[test]
    fn a_host_with_many_addresses_counts_once() {
        let attempts = Attempts::default();
        for n in 0..FAILURES_MAX {
            let peer = address(&format!("2001:db8::{n:x}"));
            assert!(attempts.failed(Some(peer), at(0)).is_ok());
        }
        let next = Some(address("2001:db8::ffff:1"));
        assert!(attempts.failed(next, at(0)).is_err());
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let attempts = Attempts::default();
        for n in 0..u32::try_from(ADDRESSES_MAX).unwrap() + 500 {
            drop(attempts.failed(Some(IpAddr::V4(n.into())), at(0)));
        }
        assert!(attempts.0.lock().failures.len() <= ADDRESSES_MAX + 1);
    }
}
