//! An appliance that goes on when the terminal is closed.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::fcntl::OFlag;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::server::listeners::private_dir;

/// Longer than any start takes that will succeed.
const START_WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn answers(control_socket: &Path) -> bool {
    UnixStream::connect(control_socket).await.is_ok()
}

/// Starts this program again as `run`, apart from the terminal, and waits until it answers.
pub(super) async fn start(config: &Config, log: &Path) -> anyhow::Result<()> {
    private_dir(&config.state_dir)?;
    let mut child = spawn(config, log)?;
    let deadline = Instant::now() + START_WITHIN;
    while Instant::now() < deadline {
        if answers(&config.control_socket()).await {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            anyhow::bail!(
                "the appliance ended at once ({status}); its log says:\n{}",
                tail(log)
            );
        }
        sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!(
        "the appliance does not answer after 30 seconds; its log says:\n{}",
        tail(log)
    )
}

fn spawn(config: &Config, log: &Path) -> anyhow::Result<Child> {
    let out = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        // The directory belongs to the user that root is given up for, and this is still root.
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(log);
    let out = out.with_context(|| format!("cannot write {}", log.display()))?;
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let mut command = Command::new(program);
    if let Some(source) = &config.source {
        command.arg("--config").arg(std::path::absolute(source)?);
    }
    command
        .arg("run")
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        // Ctrl-C in the terminal is not meant for it.
        .process_group(0)
        .spawn()
        .context("the appliance cannot be started")
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .rev()
        .take(10)
        .rev()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
