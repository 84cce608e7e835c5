//! A container's key that is shown from elsewhere: somebody carried it out, and the log says so.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::control::{Control, Error};
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::id::KeyId;

/// One entry for a key in this time, however often it is tried: nobody may push what else happened out
/// of the log.
const QUIET: Duration = Duration::from_mins(10);

/// Keys that are remembered as told. A hundred entries in ten minutes say enough.
const TOLD_MAX: usize = 100;

/// What was told lately.
#[derive(Debug, Default)]
pub(in crate::control) struct Foreign(Mutex<HashMap<KeyId, Instant>>);

impl Foreign {
    /// Is it worth another entry?
    fn is_news(&self, id: &KeyId, now: Instant) -> bool {
        let mut told = self.0.lock();
        told.retain(|_, at| now.saturating_duration_since(*at) < QUIET);
        if told.contains_key(id) || told.len() >= TOLD_MAX {
            return false;
        }
        told.insert(id.clone(), now);
        true
    }
}

impl Control {
    /// Writes down that a container's key was shown from another address than the container's. Only
    /// whoever has the whole key gets as far as this.
    pub async fn note_foreign_key(&self, id: &KeyId, from: Option<IpAddr>) -> Result<(), Error> {
        if !self.foreign.is_news(id, Instant::now()) {
            return Ok(());
        }
        let table = self.table().load_full();
        let owner = table.key(id).map(|live| live.key.owner.to_string());
        let target = match owner {
            Some(owner) => format!("{id} of {owner}"),
            None => id.to_string(),
        };
        let visitor = Actor::Visitor { address: from };
        let entry = AuditEntry::done(Timestamp::now(), visitor, "key.foreign", target);
        self.blocking(move |store| store.change(&entry, |_| Ok::<_, Error>(())))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_once_and_told_again_after_a_while() {
        let (foreign, start) = (Foreign::default(), Instant::now());
        let [one, other] = [1, 2].map(KeyId::from_bits);
        assert!(foreign.is_news(&one, start));
        assert!(!foreign.is_news(&one, start + QUIET / 2));
        assert!(foreign.is_news(&other, start));
        assert!(foreign.is_news(&one, start + QUIET));
    }

    #[test]
    fn however_many_keys_are_shown_the_entries_are_bounded() {
        let (foreign, now) = (Foreign::default(), Instant::now());
        let news = (0..10_000).filter(|bits| foreign.is_news(&KeyId::from_bits(*bits), now));
        assert_eq!(news.count(), TOLD_MAX);
    }
}
