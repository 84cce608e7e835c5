//! The authority's files, and the certificate that the settings name.

use jiff::Timestamp;

use super::findings::Findings;
use crate::config::Config;
use crate::server::certificates;

pub(super) fn judge(config: &Config, now: Timestamp, findings: &mut Findings) {
    findings.add("authority", certificates::authority(config, now));
    if let Some(seen) = certificates::provided(config, now) {
        findings.add("certificate", seen);
    }
}
