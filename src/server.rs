//! The composition root: `Config` to running services.

// Stub: only the signatures that the command line calls.

use std::path::{Path, PathBuf};

use crate::config::Config;

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

    /// The appliance answers on its control socket. Called once, from a thread that may block; what
    /// it returns as an error ends `up` with it, but not an appliance in the background.
    fn ready(&mut self, control_socket: &Path) -> anyhow::Result<()>;
}

/// With `detach` returns after `ready`; otherwise when the appliance ends.
pub fn up(up: &Up, report: &mut dyn Report) -> anyhow::Result<()> {
    report.step("starting");
    anyhow::bail!("`up` is not there yet ({up:?})")
}

/// The appliance, until it is told to end.
pub fn run(config: &Config) -> anyhow::Result<()> {
    anyhow::bail!(
        "`run` is not there yet (state in {})",
        config.state_dir.display()
    )
}
