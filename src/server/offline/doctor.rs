//! `doctor`: everything that keeps the appliance from working, or soon will, found by looking only.
//!
//! With an appliance running it asks that one for what only it knows; without one it looks itself.

mod capacity;
mod certificates;
mod docker;
mod findings;
mod ports;
mod running;
mod service;
mod state;

use std::path::Path;

use jiff::Timestamp;

use crate::config::{self, Config, Vars};
use crate::server::{catalogue as code, clock, process};
use findings::Findings;
use running::Asked;
use service::Service;

pub use findings::{Diagnosis, Finding};

/// What is found with these settings on this host. It changes nothing.
pub fn doctor(path: Option<&Path>, vars: &dyn Vars) -> anyhow::Result<Diagnosis> {
    let settings = config::load(path, vars);
    let now = Timestamp::now();
    process::workers()?.block_on(async {
        let service = service::look().await;
        let mut findings = Findings::default();
        findings.add("clock", clock::after_the_program(now));
        let config = match settings {
            Ok(config) => config,
            Err(problems) => {
                for problem in problems.to_string().lines() {
                    findings.trouble("settings", code::SETTINGS.says(problem));
                }
                service::judge(&service, Asked::Nobody.answers(), &mut findings);
                return Ok(findings.into_diagnosis(false));
            }
        };
        let asked = running::ask(&config.control_socket()).await;
        let answers = asked.answers();
        look(&config, now, &service, asked, &mut findings).await;
        Ok(findings.into_diagnosis(answers))
    })
}

async fn look(
    config: &Config,
    now: Timestamp,
    service: &Service,
    asked: Asked,
    findings: &mut Findings,
) {
    findings.ok("settings", settings(config));
    service::judge(service, asked.answers(), findings);
    service::is_ours(service, &asked, findings);
    state::judge(config, findings);
    certificates::judge(config, now, findings);
    match &asked {
        Asked::Nobody => {
            state::records(config, now, findings);
            ports::judge(config, service, findings);
        }
        Asked::Answers(status) => running::judge(status, findings),
        Asked::Forbidden | Asked::Mute(_) => {}
    }
    running::reached(&asked, findings);
    docker::judge(config, findings).await;
}

fn settings(config: &Config) -> String {
    let source = config.source.as_ref().map_or_else(
        || "no file: the defaults".to_owned(),
        |path| path.display().to_string(),
    );
    let (groups, users) = (config.groups.len(), config.users().count());
    format!("{source}; groups: {groups}, participants: {users}")
}
