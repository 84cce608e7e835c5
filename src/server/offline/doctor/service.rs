//! The service: its unit, its user, and whether it does what it should.

use super::findings::Findings;
use super::running::Asked;
use crate::host::{self, service};
use crate::server::trouble::Trouble;
use crate::server::{catalogue as code, privileges};

/// What was seen of it. Without systemd there is nothing to see.
#[derive(Clone, Debug, Default)]
pub(super) struct Service {
    unit: Option<service::Unit>,
    /// The text of the unit.
    text: Option<String>,
    user: Membership,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Membership {
    #[default]
    NoUser,
    /// Of the group `docker`.
    Member,
    Outside,
}

impl Service {
    pub(super) fn is_installed(&self) -> bool {
        self.unit.as_ref().is_some_and(service::Unit::is_installed)
    }

    fn is_active(&self) -> bool {
        self.unit.as_ref().is_some_and(service::Unit::is_active)
    }
}

pub(super) async fn look() -> Service {
    let unit = if service::is_managed() {
        service::unit().await.ok()
    } else {
        None
    };
    let path = unit.as_ref().and_then(|unit| unit.path.as_ref());
    let text = path.and_then(|path| std::fs::read_to_string(path).ok());
    Service {
        unit,
        text,
        user: membership(),
    }
}

fn membership() -> Membership {
    match (privileges::user_id(), privileges::is_in_docker_group()) {
        (Ok(Some(_)), Ok(true)) => Membership::Member,
        (Ok(Some(_)), _) => Membership::Outside,
        _ => Membership::NoUser,
    }
}

pub(super) fn judge(seen: &Service, is_running: bool, findings: &mut Findings) {
    const PART: &str = "service";
    if host::is_root() && seen.user == Membership::NoUser {
        findings.trouble("user", code::USER_MISSING.says("there is no user `thon`"));
    }
    let Some(unit) = &seen.unit else {
        findings.ok(PART, "this host is not run by systemd");
        return;
    };
    if !unit.is_installed() {
        findings.trouble(
            PART,
            code::UNIT_MISSING.says("thon.service is not installed"),
        );
        return;
    }
    if seen.user == Membership::Outside {
        let text = "the user `thon` is not in the group `docker`";
        findings.trouble("user", code::USER_GROUP.says(text));
    }
    findings.add(PART, installed(unit, seen.text.as_deref()));
    findings.add(PART, state(unit, is_running));
}

fn installed(unit: &service::Unit, text: Option<&str>) -> Result<String, Trouble> {
    if text.is_some_and(|text| text != service::UNIT) {
        return Err(code::UNIT_OTHER.says("thon.service is not the one of this version"));
    }
    if unit.enabled != "enabled" {
        let text = format!("thon.service is {}", unit.enabled);
        return Err(code::UNIT_OFF.says(text));
    }
    Ok("thon.service starts with the host".to_owned())
}

/// An appliance that somebody started by hand does the same work.
fn state(unit: &service::Unit, is_running: bool) -> Result<String, Trouble> {
    if unit.is_active() || (is_running && unit.active != "failed") {
        return Ok(format!("thon.service is {}", unit.active));
    }
    Err(code::UNIT_DOWN.says(format!("thon.service is {}", unit.active)))
}

/// An account that looks at settings of its own learns nothing of the service.
pub(super) fn is_ours(seen: &Service, asked: &Asked, findings: &mut Findings) {
    if seen.is_active() && !host::is_root() && matches!(asked, Asked::Nobody) {
        let text = "the service runs with root's settings, and this account looked at its own";
        findings.trouble("service", code::NOT_ASKED.says(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(load: &str, active: &str, enabled: &str, text: &str) -> Service {
        Service {
            unit: Some(service::Unit {
                load: load.to_owned(),
                active: active.to_owned(),
                enabled: enabled.to_owned(),
                path: None,
            }),
            text: Some(text.to_owned()),
            user: Membership::Member,
        }
    }

    fn codes(seen: &Service) -> Vec<String> {
        let mut findings = Findings::default();
        judge(seen, false, &mut findings);
        findings.codes().into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn every_state_of_the_unit_has_its_code() {
        let ours = service::UNIT;
        let mut outside = seen("loaded", "active", "enabled", ours);
        outside.user = Membership::Outside;
        for (seen, expected) in [
            (seen("loaded", "active", "enabled", ours), &[][..]),
            (seen("not-found", "inactive", "", ""), &["THN-UNIT-01"]),
            (
                seen("loaded", "active", "enabled", "[Unit]"),
                &["THN-UNIT-02"],
            ),
            (seen("loaded", "active", "disabled", ours), &["THN-UNIT-03"]),
            (seen("loaded", "failed", "enabled", ours), &["THN-UNIT-04"]),
            (outside, &["THN-USER-02"]),
        ] {
            assert_eq!(codes(&seen), expected, "{seen:?}");
        }
    }

    #[test]
    fn without_systemd_only_the_user_counts() {
        let expected: &[&str] = if host::is_root() {
            &["THN-USER-01"]
        } else {
            &[]
        };
        assert_eq!(codes(&Service::default()), expected);
    }
}
