//! `install`: this program as a service of systemd's. Repeated it changes nothing; by a newer program
//! it is the upgrade.

mod place;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::unistd::{Gid, Uid, User};
use serde::Serialize;

use super::{background, ensure_user, starting_file};
use crate::config::env::Places;
use crate::config::{self, Config, Vars};
use crate::host::{self, HostError, command, service};
use crate::server::{catalogue as code, ground, privileges, process};
use place::PROGRAM;

/// What was done, or found as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub what: String,
    pub is_changed: bool,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Installed {
    pub steps: Vec<Step>,
    /// The service serves.
    pub is_running: bool,
}

/// Whether the service is started when everything is in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Now,
    Later,
}

/// Program, user, settings, directories and unit; then the service, until it serves. Each step is
/// told as soon as it is done.
pub fn install(
    start: Start,
    vars: &dyn Vars,
    told: &mut dyn FnMut(&Step),
) -> anyhow::Result<Installed> {
    let settings = Places::of(vars).config;
    process::workers()?.block_on(async {
        let unit = checked("sudo thon install").await?;
        let config = refused(&settings, &unit, vars).await?;
        let mut steps = Steps {
            done: Vec::new(),
            told,
        };
        put_in_place(&settings, &config, &mut steps).await?;
        let is_running = serve(start, &unit, &mut steps).await?;
        Ok(Installed {
            steps: steps.done,
            is_running,
        })
    })
}

/// The service ends, and program and unit go. Settings, records and participants' files stay.
pub fn uninstall(told: &mut dyn FnMut(&Step)) -> anyhow::Result<Vec<Step>> {
    process::workers()?.block_on(async {
        let unit = checked("sudo thon uninstall").await?;
        let mut steps = Steps {
            done: Vec::new(),
            told,
        };
        if unit.is_installed() {
            service::disable().await?;
            steps.say("the service ends, and starts with the host no more", true);
        }
        for path in [service::UNIT_PATH, PROGRAM] {
            let path = Path::new(path);
            let is_gone = place::remove(path)?;
            steps.say(format!("{} is gone", path.display()), is_gone);
        }
        service::reload().await?;
        Ok(steps.done)
    })
}

struct Steps<'a> {
    done: Vec<Step>,
    told: &'a mut dyn FnMut(&Step),
}

impl Steps<'_> {
    fn say(&mut self, what: impl Into<String>, is_changed: bool) {
        let step = Step {
            what: what.into(),
            is_changed,
        };
        (self.told)(&step);
        self.done.push(step);
    }

    fn any_changed(&self) -> bool {
        self.done.iter().any(|step| step.is_changed)
    }
}

/// Root and systemd: without them there is nothing to do.
async fn checked(command: &str) -> anyhow::Result<service::Unit> {
    if !service::is_managed() {
        return Err(code::UNIT_MISSING
            .says("this host is not run by systemd, so there is no service to install")
            .with_hint("`thon up --detach` runs the appliance in the background; `thon run` is for another service manager")
            .into());
    }
    if !host::is_root() {
        let command = command.to_owned();
        return Err(HostError::NeedsRoot { command }.into());
    }
    Ok(service::unit().await?)
}

/// Everything that it would fail for later, before anything is changed.
async fn refused(settings: &Path, unit: &service::Unit, vars: &dyn Vars) -> anyhow::Result<Config> {
    if unit.load == "masked" {
        return Err(code::UNIT_OFF
            .says("thon.service is masked: somebody decided that it must not run")
            .with_hint("`sudo systemctl unmask thon`, if that was you")
            .into());
    }
    let there = settings.exists().then_some(settings);
    let config = config::load(there.or(Some(Path::new("/dev/null"))), vars)?;
    let socket = config.control_socket();
    if !unit.is_active() && background::is_there(&socket).await {
        let whose = match background::process(&socket).await {
            Some(process) => format!("kill {process}"),
            None => "stop it".to_owned(),
        };
        return Err(code::SECOND
            .says("an appliance runs that is not the service")
            .with_hint(format!(
                "end it first (`{whose}`), then install again; editors go on meanwhile"
            ))
            .into());
    }
    Ok(config)
}

async fn put_in_place(
    settings: &Path,
    config: &Config,
    steps: &mut Steps<'_>,
) -> anyhow::Result<()> {
    let is_new = ensure_user().await?;
    steps.say("the user thon", is_new);
    let joined = join_docker().await?;
    steps.say("it is in the group docker", joined);
    let user = User::from_name(privileges::USER)?.context("the user thon is not there")?;

    let written = starting_file::write_for_service(settings, user.gid)
        .with_context(|| format!("cannot write {}", settings.display()))?;
    steps.say(format!("settings: {}", settings.display()), written);
    let made = state(&config.state_dir, user.uid, user.gid)?;
    steps.say(format!("records: {}", config.state_dir.display()), made);

    let copied = place::program()?;
    steps.say(format!("program: {PROGRAM}"), copied);
    let unit = place::unit()?;
    steps.say(format!("unit: {}", service::UNIT_PATH), unit.is_changed);
    if let Some(kept) = unit.kept {
        let text = format!("the unit before is kept as {}", kept.display());
        steps.say(text, true);
    }
    if unit.is_changed {
        service::reload().await?;
    }
    Ok(())
}

async fn serve(
    start: Start,
    before: &service::Unit,
    steps: &mut Steps<'_>,
) -> anyhow::Result<bool> {
    let unit = service::unit().await?;
    let is_off = unit.enabled != "enabled";
    if is_off {
        service::enable().await?;
    }
    steps.say("it starts with the host", is_off);
    if start == Start::Later {
        return Ok(unit.is_active());
    }
    let must_restart = before.is_active() && steps.any_changed();
    let must_start = !unit.is_active();
    if must_restart {
        service::restart().await?;
    } else if must_start {
        service::start().await?;
    }
    steps.say("it serves", must_restart || must_start);
    Ok(true)
}

/// Debian's package of Docker makes the same group, whichever of us comes first.
async fn join_docker() -> anyhow::Result<bool> {
    if privileges::is_in_docker_group()? {
        return Ok(false);
    }
    let within = std::time::Duration::from_secs(30);
    if nix::unistd::Group::from_name(privileges::DOCKER_GROUP)?.is_none() {
        command::run("groupadd", &["--system", privileges::DOCKER_GROUP], within).await?;
    }
    let arguments = [
        "--append",
        "--groups",
        privileges::DOCKER_GROUP,
        privileges::USER,
    ];
    command::run("usermod", &arguments, within).await?;
    Ok(true)
}

fn state(dir: &Path, uid: Uid, gid: Gid) -> anyhow::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let is_given = || std::fs::metadata(dir).is_ok_and(|meta| meta.uid() == uid.as_raw());
    let was_given = is_given();
    ground::private_dir(dir, "state_dir")?;
    privileges::hand_over(dir, uid, gid)
        .with_context(|| format!("cannot give {} to the user thon", dir.display()))?;
    Ok(!was_given)
}

/// Is this what the service would start?
pub(super) async fn is_service(config: &Config, vars: &dyn Vars) -> bool {
    if !host::is_root() || !service::is_managed() {
        return false;
    }
    let usual: Option<PathBuf> = Some(Places::of(vars).config);
    config.source == usual && service::unit().await.is_ok_and(|unit| unit.is_installed())
}
