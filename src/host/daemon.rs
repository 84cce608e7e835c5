//! The Docker daemon: does it answer, and starting it where nothing else does.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::time::Instant;

use crate::host::command::{command, find, run};
use crate::host::{HostError, Report, engine, is_root, say, tail};

const START_DEADLINE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(250);
const LINES_SHOWN: usize = 15;

/// Does a daemon answer on this socket?
pub async fn is_answering(socket: &Path) -> bool {
    match engine::connect(socket) {
        Ok(api) => tokio::time::timeout(Duration::from_secs(5), api.ping())
            .await
            .is_ok_and(|answer| answer.is_ok()),
        Err(_) => false,
    }
}

/// Starts the daemon if it does not answer, and waits until it does. Without systemd it is a
/// process of its own session, which outlives us, with its output in `log`.
pub async fn start(socket: &Path, log: &Path, report: Report<'_>) -> Result<(), HostError> {
    if is_answering(socket).await {
        return Ok(());
    }
    let systemd = Path::new("/run/systemd/system").is_dir();
    if !is_root() {
        let typed = if systemd {
            "sudo systemctl enable --now docker"
        } else {
            "sudo dockerd &"
        };
        return Err(HostError::NeedsRoot {
            command: typed.to_owned(),
        });
    }
    say(report, "starting Docker");
    if systemd {
        run("systemctl", &["enable", "--now", "docker"], START_DEADLINE).await?;
    } else {
        spawn(log).await?;
    }
    let deadline = Instant::now() + START_DEADLINE;
    while !is_answering(socket).await {
        if Instant::now() > deadline {
            return Err(HostError::Failed {
                what: format!(
                    "Docker does not answer after {} s",
                    START_DEADLINE.as_secs()
                ),
                printed: last_words(systemd, log).await,
            });
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// By `setsid`, because a new session of our own child would take unsafe code.
async fn spawn(log: &Path) -> Result<(), HostError> {
    let failed = |error: std::io::Error| {
        HostError::failed(format!(
            "cannot start dockerd with the log {}: {error}",
            log.display()
        ))
    };
    if find("dockerd").is_none() {
        return Err(HostError::failed("Docker is not installed on this host"));
    }
    let output = std::fs::File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(failed)?;
    let errors = output.try_clone().map_err(failed)?;
    let ended = command("setsid", &["--fork", "dockerd"])
        .stdout(Stdio::from(output))
        .stderr(Stdio::from(errors))
        .status()
        .await
        .map_err(failed)?;
    if ended.success() {
        return Ok(());
    }
    Err(HostError::failed(format!(
        "`setsid --fork dockerd` failed with {ended}"
    )))
}

async fn last_words(systemd: bool, log: &Path) -> String {
    let printed = if systemd {
        let arguments = [
            "--unit",
            "docker",
            "--lines",
            "15",
            "--no-pager",
            "--output",
            "cat",
        ];
        run("journalctl", &arguments, POLL * 20)
            .await
            .unwrap_or_default()
    } else {
        std::fs::read_to_string(log).unwrap_or_default()
    };
    tail(&printed, LINES_SHOWN)
}
