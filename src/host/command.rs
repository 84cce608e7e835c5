//! Runs a program of the host: no shell, a deadline, and its last words in the error.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use crate::host::{HostError, tail};

const LINES_SHOWN: usize = 20;

/// Where Debian keeps programs; the environment's own list may lack the last two for a user.
const DIRECTORIES: [&str; 6] = [
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
];

/// Where a program is, if it is installed.
pub fn find(program: &str) -> Option<PathBuf> {
    DIRECTORIES
        .iter()
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.is_file())
}

/// What it printed on its standard output. Ends with us, or at the deadline.
pub async fn run(
    program: &str,
    arguments: &[&str],
    deadline: Duration,
) -> Result<String, HostError> {
    let line = format!("{program} {}", arguments.join(" "));
    let ended = tokio::time::timeout(deadline, command(program, arguments).output())
        .await
        .map_err(|_| HostError::failed(format!("`{line}` took longer than {deadline:?}")))?
        .map_err(|error| HostError::failed(format!("`{line}` did not start: {error}")))?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    Err(HostError::Failed {
        what: format!("`{line}` failed with {}", ended.status),
        printed: last_words(&ended),
    })
}

/// With nothing to read from and in a language whose answers we know.
pub(super) fn command(program: &str, arguments: &[&str]) -> Command {
    let path = find(program).unwrap_or_else(|| PathBuf::from(program));
    let mut command = Command::new(path);
    command
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("PATH", DIRECTORIES.join(":"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn last_words(ended: &Output) -> String {
    let mut printed = String::from_utf8_lossy(&ended.stdout).into_owned();
    printed.push('\n');
    printed.push_str(&String::from_utf8_lossy(&ended.stderr));
    tail(&printed, LINES_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_failure_shows_the_command_and_its_last_words() {
        assert_eq!(run("echo", &["a b"], SOON).await.unwrap(), "a b\n");
        let error = run("ls", &["/no/such/place"], SOON)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("`ls /no/such/place` failed"), "{error}");
        assert!(error.contains("No such file"), "{error}");
        let error = run("no-such-program", &[], SOON)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("did not start"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_ended() {
        let error = run("sleep", &["60"], Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("took longer"), "{error}");
    }
}
