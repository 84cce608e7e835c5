//! When a leaf certificate is due for renewal.

use jiff::{SignedDuration, Timestamp};

use crate::tls::authority::Names;

/// What the listeners present at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    pub names: Names,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// Renewed this long before its end, so that a host that was off for a while comes back in time.
pub const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Is it time? Also when the names changed, or when the clock says that it is not valid yet.
pub fn due(current: &Current, names: &Names, now: Timestamp) -> bool {
    current.names != *names || now < current.not_before || now + RENEW_BEFORE > current.not_after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_renewed_before_its_end_and_when_a_name_changes() {
        let names = Names::new(["localhost".to_owned()], []);
        let start = Timestamp::UNIX_EPOCH;
        let day = SignedDuration::from_hours(24);
        let current = Current {
            names: names.clone(),
            not_before: start,
            not_after: start + day * 90,
        };
        assert!(!due(&current, &names, start + day));
        assert!(!due(&current, &names, start + day * 59));
        assert!(due(&current, &names, start + day * 61));
        assert!(due(&current, &names, start - day));
        let more = Names::new(["localhost".to_owned()], ["203.0.113.7".parse().unwrap()]);
        assert!(due(&current, &more, start + day));
    }
}
