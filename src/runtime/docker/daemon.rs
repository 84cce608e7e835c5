//! What the daemon's own process may hand on: a limit above its own is refused at every start.

use std::path::Path;

use tokio::net::UnixStream;

/// What editors, watchers and dev servers of one participant are well served with.
const OPEN_FILES_WANTED: u64 = 65_536;
/// The bit of `CAP_SYS_RESOURCE`: with it, limits do not bind.
const SYS_RESOURCE: u64 = 1 << 24;

/// How many open files a container may be given. A daemon in a container often may not raise its
/// own limit; runc then fails with "error setting rlimit type 7".
pub(super) async fn open_files(socket: &Path) -> u64 {
    allowed(socket)
        .await
        .map_or(OPEN_FILES_WANTED, |limit| limit.min(OPEN_FILES_WANTED))
}

/// `None` when it cannot be known, as for a daemon in another name space of processes.
async fn allowed(socket: &Path) -> Option<u64> {
    let connection = UnixStream::connect(socket).await.ok()?;
    let daemon = connection.peer_cred().ok()?.pid().filter(|pid| *pid > 0)?;
    let status = tokio::fs::read_to_string(format!("/proc/{daemon}/status"))
        .await
        .ok()?;
    let limits = tokio::fs::read_to_string(format!("/proc/{daemon}/limits"))
        .await
        .ok()?;
    limit(&status, &limits)
}

fn limit(status: &str, limits: &str) -> Option<u64> {
    let capabilities = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    if u64::from_str_radix(capabilities.trim(), 16).ok()? & SYS_RESOURCE != 0 {
        return None;
    }
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "Limit  Soft Limit  Hard Limit  Units\n\
                          Max open files            1024                 20000                files";

    #[test]
    fn a_daemon_without_the_capability_hands_on_its_own_limit() {
        assert_eq!(
            limit("Name:\tdockerd\nCapEff:\t000001fffeffffff\n", LIMITS),
            Some(20_000)
        );
        assert_eq!(limit("CapEff:\t000001ffffffffff\n", LIMITS), None);
        assert_eq!(limit("", LIMITS), None);
    }
}
