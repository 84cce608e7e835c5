//! An appliance that goes on when the terminal is closed.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::fcntl::OFlag;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::config::Config;
use crate::server::ground::private_dir;

/// Longer than any start takes that will succeed.
const START_WITHIN: Duration = Duration::from_secs(30);

/// Is there an appliance at this socket, be it still on its way up?
pub(super) async fn is_there(control_socket: &Path) -> bool {
    UnixStream::connect(control_socket).await.is_ok()
}

/// The process that listens at this socket.
pub(super) async fn process(control_socket: &Path) -> Option<i32> {
    let stream = UnixStream::connect(control_socket).await.ok()?;
    stream.peer_cred().ok()?.pid()
}

/// Does it serve? Its socket listens from its first moment on, long before the store is open, and
/// what fails in between is in its log only.
async fn answers(control_socket: &Path, within: Duration) -> bool {
    let question = async {
        let mut stream = UnixStream::connect(control_socket).await?;
        stream
            .write_all(b"GET /health HTTP/1.1\r\nhost: control\r\nconnection: close\r\n\r\n")
            .await?;
        stream.read(&mut [0; 1]).await
    };
    matches!(timeout(within, question).await, Ok(Ok(1..)))
}

/// For one question; the next one is asked soon after.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Starts this program again as `run`, apart from the terminal, and waits until it answers.
pub(super) async fn start(config: &Config, log: &Path) -> anyhow::Result<()> {
    private_dir(&config.state_dir, "state_dir")?;
    let mut child = spawn(config, log)?;
    let deadline = Instant::now() + START_WITHIN;
    while Instant::now() < deadline {
        if answers(&config.control_socket(), ANSWER_WITHIN).await {
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
        .arg("--log-file")
        .arg(log)
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn one_that_listens_and_serves_nobody_is_there_and_does_not_answer() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        assert!(!is_there(&socket).await);
        let listener = UnixListener::bind(&socket).unwrap();
        assert!(is_there(&socket).await);
        let short = Duration::from_millis(50);
        assert!(!answers(&socket, short).await);
        drop(listener);
        assert!(!answers(&socket, short).await);
    }
}
