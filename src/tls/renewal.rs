//! When a certificate is valid, and when a leaf is due for renewal. All of it is pure.

use jiff::{SignedDuration, Timestamp};
use x509_parser::certificate::X509Certificate;

use crate::tls::names::Names;

/// The time that a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// How a moment stands to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    NotYet,
    Valid,
    /// Valid, and somebody should see to it.
    EndsSoon,
    Ended,
}

impl Validity {
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Result<Self, String> {
        let at = |seconds| Timestamp::from_second(seconds).map_err(|error| error.to_string());
        let validity = certificate.validity();
        Ok(Self {
            from: at(validity.not_before.timestamp())?,
            until: at(validity.not_after.timestamp())?,
        })
    }

    /// `warning` is how long before its end somebody should know.
    pub fn standing(&self, now: Timestamp, warning: SignedDuration) -> Standing {
        if now < self.from {
            Standing::NotYet
        } else if now >= self.until {
            Standing::Ended
        } else if now + warning >= self.until {
            Standing::EndsSoon
        } else {
            Standing::Valid
        }
    }
}

/// What the listeners present at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// Everything that was asked for.
    pub names: Names,
    /// What of it the authority may not sign for.
    pub left_out: Names,
    pub validity: Validity,
}

/// Renewed this long before its end, so that a host that was off for a while comes back in time.
pub const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Is it time? Also when the names changed, or when the clock was set right.
///
/// A clock that says that not even the authority is valid is wrong, or the authority is over: another
/// leaf would help nobody, and could be worse than the present one.
pub fn due(current: &Current, names: &Names, authority: Validity, now: Timestamp) -> bool {
    if current.names != *names {
        return true;
    }
    if now < authority.from || now >= authority.until {
        return false;
    }
    let leaf = current.validity;
    now < leaf.from || (now + RENEW_BEFORE > leaf.until && leaf.until < authority.until)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn days(from: i32, until: i32) -> Validity {
        let at = |days| Timestamp::UNIX_EPOCH + DAY * days;
        Validity {
            from: at(from),
            until: at(until),
        }
    }

    fn current(names: &Names) -> Current {
        Current {
            names: names.clone(),
            left_out: Names::default(),
            validity: days(1_000, 1_090),
        }
    }

    #[test]
    fn a_leaf_is_renewed_before_its_end_and_when_a_name_changes() {
        let names = Names::new(["localhost".to_owned()], []);
        let (current, authority) = (current(&names), days(500, 1_230));
        let due_on = |day| due(&current, &names, authority, days(day, 0).from);
        assert!(!due_on(1_001) && !due_on(1_059));
        assert!(due_on(1_061) && due_on(1_200));
        // Made while the clock was ahead; it has been set right.
        assert!(due_on(999) && due_on(600));
        let more = Names::new(["localhost".to_owned()], ["203.0.113.7".parse().unwrap()]);
        assert!(due(&current, &more, authority, days(1_001, 0).from));
    }

    #[test]
    fn a_clock_outside_the_authority_s_time_changes_nothing() {
        let names = Names::new(["localhost".to_owned()], []);
        let due_on = |day| {
            due(
                &current(&names),
                &names,
                days(500, 1_230),
                days(day, 0).from,
            )
        };
        assert!(!due_on(0) && !due_on(499) && !due_on(1_230) && !due_on(9_000));
    }

    #[test]
    fn a_leaf_that_lasts_as_long_as_its_authority_is_not_made_again_and_again() {
        let names = Names::new(["localhost".to_owned()], []);
        let due_on = |day| {
            due(
                &current(&names),
                &names,
                days(500, 1_090),
                days(day, 0).from,
            )
        };
        assert!(!due_on(1_061) && !due_on(1_089));
    }

    #[test]
    fn an_end_is_told_beforehand() {
        let validity = days(10, 100);
        for (day, standing) in [
            (9, Standing::NotYet),
            (10, Standing::Valid),
            (85, Standing::Valid),
            (86, Standing::EndsSoon),
            (99, Standing::EndsSoon),
            (100, Standing::Ended),
        ] {
            let at = days(day, 0).from;
            assert_eq!(validity.standing(at, DAY * 14), standing, "{day}");
        }
    }
}
