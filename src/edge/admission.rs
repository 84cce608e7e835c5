//! `Admission`: counts a listener's open connections, in total and per peer address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::domain::network::host_of;

/// A flood must not fill the log as well.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// Why a connection was closed unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Listener,
    Address,
}

#[derive(Debug)]
pub(super) struct Admission {
    open_max: usize,
    per_address_max: usize,
    open: Mutex<Open>,
    told: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One admitted connection, counted for as long as it lives.
#[derive(Debug)]
pub(super) struct Ticket {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
}

impl Admission {
    pub(super) fn new(open_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self {
            open_max,
            per_address_max,
            open: Mutex::default(),
            told: Mutex::default(),
        })
    }

    /// `address` is `None` on a unix socket.
    pub(super) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Ticket, Full> {
        let address = address.map(host_of);
        let mut open = self.open.lock();
        if open.total >= self.open_max {
            return Err(Full::Listener);
        }
        if let Some(address) = address {
            let count = open.by_address.entry(address).or_default();
            if *count >= self.per_address_max {
                return Err(Full::Address);
            }
            *count += 1;
        }
        open.total += 1;
        Ok(Ticket {
            admission: Arc::clone(self),
            address,
        })
    }

    /// Is trouble with accepting worth another line in the log?
    pub(super) fn may_tell(&self) -> bool {
        let mut told = self.told.lock();
        if told.is_some_and(|told| told.elapsed() < TELL_INTERVAL) {
            return false;
        }
        *told = Some(Instant::now());
        true
    }

    pub(super) fn open(&self) -> usize {
        self.open.lock().total
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock();
        open.total -= 1;
        let Some(address) = self.address else { return };
        if let Some(count) = open.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_everything_and_gives_back_what_it_took() {
        let admission = Admission::new(3, 2);
        let here = Some("192.0.2.1".parse().unwrap());
        let there = Some("2001:db8::1".parse().unwrap());
        let neighbour = Some("2001:db8::2".parse().unwrap());
        let first = admission.admit(here).unwrap();
        let _second = admission.admit(here).unwrap();
        assert_eq!(admission.admit(here).unwrap_err(), Full::Address);
        let third = admission.admit(there).unwrap();
        assert_eq!(admission.admit(neighbour).unwrap_err(), Full::Listener);
        drop(third);
        drop(first);
        let _again = admission.admit(here).unwrap();
        assert_eq!(admission.open(), 2);
    }
}
