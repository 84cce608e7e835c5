//! The clock: nothing can be right that lies before what was done already.

use jiff::{SignedDuration, Timestamp};

use crate::config::Config;
use crate::server::catalogue as code;
use crate::server::ground::ca_files;
use crate::server::trouble::Trouble;
use crate::store::Store;
use crate::tls::inspect::inspect;

/// 2026-11-22: this program did not exist before.
const MADE: i64 = 1_795_305_600;

/// What a clock that is kept by others is put back by at most.
const SLACK: SignedDuration = SignedDuration::from_mins(1);

/// A start with a wrong clock serves all the same: whoever sets it right need not start anew. It is
/// said, because sessions and certificates go by it.
pub(super) fn tell(config: &Config, store: &Store, now: Timestamp) {
    let [certificate, _] = ca_files(config);
    let made = std::fs::read(certificate)
        .ok()
        .and_then(|pem| inspect(&pem).ok());
    let newest = store.view().and_then(|view| view.audit(1)).ok();
    let newest = newest.and_then(|entries| entries.first().map(|entry| entry.at));
    let seen = after_the_program(now).map(drop);
    let seen = seen.and_then(|()| match made {
        Some(made) => after("the authority's certificate", made.not_before, now),
        None => Ok(()),
    });
    let seen = seen.and_then(|()| match newest {
        Some(then) => after("the newest record", then, now),
        None => Ok(()),
    });
    if let Err(trouble) = seen {
        tracing::warn!("{trouble}; {}", trouble.hint());
    }
}

pub(super) fn after_the_program(now: Timestamp) -> Result<String, Trouble> {
    if now.as_second() < MADE {
        return Err(code::CLOCK_PAST.says(format!("it is {now:.0} by the clock of this host")));
    }
    Ok(format!("{now:.0}"))
}

/// `what` was done at `then`, by the clock of this host.
pub(super) fn after(what: &str, then: Timestamp, now: Timestamp) -> Result<(), Trouble> {
    if then <= now + SLACK {
        return Ok(());
    }
    Err(code::CLOCK_BACK.says(format!(
        "it is {now:.0} by the clock of this host, and {what} is of {then:.0}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_the_program_or_its_records_is_found() {
        let found = after_the_program(Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(found.entry.code, "THN-CLOCK-02");
        let made = Timestamp::from_second(MADE).unwrap();
        assert!(made <= Timestamp::now(), "it is of the future");
        assert!(after_the_program(made).is_ok());
        assert!(after("a record", made + SLACK, made).is_ok());
        let found = after("a record", made + SLACK * 2, made).unwrap_err();
        assert_eq!(found.entry.code, "THN-CLOCK-03");
    }
}
