//! What works with no appliance running: `up`, from nothing to a running one, and a new authority.

mod background;
mod doctor;
mod install;
mod preflight;
mod rotate;
mod starting_file;

use std::path::{Path, PathBuf};

pub use doctor::{Diagnosis, Finding, doctor};
pub use install::{Installed, Start, Step, install, uninstall};

use crate::config::{self, Config, Vars};
use crate::host::{self, Progress, command, daemon, engine, image, packages, service};
use crate::server::{Appliance, catalogue as code, privileges, process, shutdown, telemetry};
use crate::tls;

pub use rotate::{Rotated, rotate_authority};

/// From nothing to a running appliance.
#[derive(Clone, Debug)]
pub struct Up {
    pub config_path: Option<PathBuf>,
    /// Leave the appliance running in the background.
    pub detach: bool,
}

/// What `up` tells whoever asked for it.
pub trait Report: Send {
    /// The next thing that is done, in words.
    fn step(&mut self, text: &str);

    /// Something within a step: how far it is, if that is known.
    fn progress(&mut self, step: Option<(u32, u32)>, text: &str);

    /// The appliance answers on its control socket. Called once, from a thread that may block; what
    /// it returns as an error ends `up` with it, but not an appliance in the background.
    fn ready(&mut self, control_socket: &Path, lives: Lives) -> anyhow::Result<()>;
}

/// How long the appliance runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lives {
    /// In the background, or in another terminal.
    Apart,
    /// As long as this process.
    Here,
}

/// With `detach` returns after `ready`; otherwise when the appliance ends. Repeated, it changes
/// nothing that is as it should be.
pub fn up(up: &Up, vars: &dyn Vars, report: &mut dyn Report) -> anyhow::Result<()> {
    let path = starting_file::ensure(up.config_path.as_deref(), vars, report)?;
    let config = config::load(path.as_deref(), vars)?;
    for warning in &config.warnings {
        report.step(&format!("warning: {warning}"));
    }
    let runtime = process::workers()?;
    let socket = config.control_socket();
    if runtime.block_on(background::is_there(&socket)) {
        report.step("the appliance runs already: nothing to start");
        runtime.block_on(complete(&config, report))?;
        return report.ready(&socket, Lives::Apart);
    }
    runtime.block_on(prepare(&config, report))?;
    if runtime.block_on(install::is_service(&config, vars)) {
        report.step("starting the service thon: `systemctl stop thon` ends it");
        runtime.block_on(service::start())?;
        return report.ready(&socket, Lives::Apart);
    }
    if up.detach {
        report.step("starting the appliance in the background");
        runtime.block_on(background::start(
            &config,
            &config.state_dir.join("thon.log"),
        ))?;
        return report.ready(&socket, Lives::Apart);
    }
    report.step("starting the appliance");
    foreground(&runtime, &config, &socket, report)
}

/// The reporter gets the main thread, outside the runtime: it is a client like any other.
fn foreground(
    runtime: &tokio::runtime::Runtime,
    config: &Config,
    socket: &Path,
    report: &mut dyn Report,
) -> anyhow::Result<()> {
    // The terminal is for the links; `thon run` logs every request.
    let _log = telemetry::start("warn", telemetry::Destination::Stderr);
    let appliance = runtime.block_on(Appliance::start(config))?;
    let signal = runtime.spawn(shutdown::requested());
    let ready = report.ready(socket, Lives::Here);
    // Whoever ended it while it was watched knows that it ends.
    if let Err(error) = ready
        && !signal.is_finished()
    {
        // One editor that fails must not take the doors away from all others.
        report.step(&format!(
            "error: {error:#}\nthe appliance runs on: see `thon status`; Ctrl-C ends it"
        ));
    }
    runtime.block_on(async {
        signal.await??;
        appliance.stop().await;
        Ok(())
    })
}

/// A service that was installed on a bare host runs without Docker and without an image.
async fn complete(config: &Config, report: &mut dyn Report) -> anyhow::Result<()> {
    let socket = config.sandbox.docker_socket.as_path();
    let has_image = engine::has_image(socket, &config.sandbox.image).await;
    if host::is_root() && !has_image.unwrap_or(false) {
        prepare(config, report).await?;
    }
    Ok(())
}

/// Docker, the image and the user: whatever is missing.
async fn prepare(config: &Config, report: &mut dyn Report) -> anyhow::Result<()> {
    tls::install_provider();
    let socket = config.sandbox.docker_socket.as_path();
    preflight::check(config, daemon::is_answering(socket).await)?;
    let mut within = |progress: Progress| report.progress(progress.step, &progress.text);
    if !daemon::is_answering(socket).await {
        packages::install(&packages::missing_for_docker(), &mut within).await?;
        daemon::start(socket, Path::new("/var/log/dockerd.log"), &mut within).await?;
    }
    ensure_image(&config.sandbox.image, socket, report).await?;
    if host::is_root() {
        ensure_user().await?;
    }
    Ok(())
}

/// The image that this program carries the sources of is built; any other is the organizer's own
/// and only has to be there.
async fn ensure_image(image: &str, socket: &Path, report: &mut dyn Report) -> anyhow::Result<()> {
    if image == config::SANDBOX_IMAGE {
        report.step("the sandbox image: building what is missing (minutes, the first time)");
        let mut within = |progress: Progress| report.progress(progress.step, &progress.text);
        let built = image::build_sandbox(socket, image, &mut within).await;
        // An event without internet goes on with the image of the version before.
        let older = engine::image_label(socket, image, image::LABEL_CONTEXT).await;
        return match (built, older) {
            (Err(error), Ok(Some(_))) => {
                report.step(&format!(
                    "not rebuilt, going on with the older image: {error}"
                ));
                Ok(())
            }
            (built, _) => Ok(built.map(|_| ())?),
        };
    }
    if engine::has_image(socket, image).await? {
        return Ok(());
    }
    Err(code::IMAGE_MISSING
        .says(format!("the image {image} is not on this host"))
        .with_hint("load it with `docker load` or build it, or remove `sandbox.image` from the settings to get THON's own")
        .into())
}

/// The appliance gives up root for this user; without one it would keep it. Says whether it is new.
async fn ensure_user() -> anyhow::Result<bool> {
    let is_missing = nix::unistd::User::from_name(privileges::USER)?.is_none();
    if is_missing {
        let arguments = [
            "--system",
            "--user-group",
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
        ];
        let arguments = [&arguments[..], &[privileges::USER]].concat();
        command::run("useradd", &arguments, std::time::Duration::from_secs(30)).await?;
    }
    Ok(is_missing)
}
