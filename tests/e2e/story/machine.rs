//! This machine's Docker, by its own command line, and its processes.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What `docker` printed; its complaint otherwise.
pub(crate) fn try_docker(arguments: &[&str]) -> Result<String, String> {
    let ended = Command::new("docker")
        .args(arguments)
        .output()
        .map_err(|error| format!("docker does not start: {error}; tests/setup installs it"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if ended.status.success() {
        Ok(text(&ended.stdout))
    } else {
        Err(format!("docker {arguments:?}: {}", text(&ended.stderr)))
    }
}

pub(crate) fn docker(arguments: &[&str]) -> String {
    try_docker(arguments).unwrap()
}

/// The identity of the appliance whose network this is.
pub(crate) fn appliance_of(network: &str) -> Option<String> {
    let format = "{{index .Labels \"thon.appliance\"}}";
    let found = try_docker(&["network", "inspect", "--format", format, network]).ok()?;
    Some(found).filter(|appliance| !appliance.is_empty())
}

/// Its containers and volumes, and the network itself.
pub(crate) fn remove_all_of(network: &str) {
    let Some(appliance) = appliance_of(network) else {
        return;
    };
    let label = format!("label=thon.appliance={appliance}");
    for (list, remove) in [
        (&["ps", "-aq"][..], &["rm", "-f"][..]),
        (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
        (&["network", "ls", "-q"], &["network", "rm"]),
    ] {
        let listed = try_docker(&[list, &["--filter", &label]].concat()).unwrap_or_default();
        let ids: Vec<&str> = listed.split_whitespace().collect();
        if !ids.is_empty() {
            drop(try_docker(&[remove, &ids[..]].concat()));
        }
    }
}

/// Processes with this in their command line; dead ones have none.
pub(crate) fn processes(with: &str) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(with).then(|| Pid::from_raw(pid))
        })
        .collect()
}

/// A process and all that it started.
pub(crate) fn family(pid: Pid) -> Vec<Pid> {
    let mut all = vec![pid];
    let tasks = format!("/proc/{pid}/task");
    for task in std::fs::read_dir(Path::new(&tasks)).into_iter().flatten() {
        let Ok(task) = task else { continue };
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            if let Ok(child) = child.parse() {
                all.extend(family(Pid::from_raw(child)));
            }
        }
    }
    all
}

pub(crate) fn end(pid: Pid) {
    // It may have ended by itself.
    kill(pid, Signal::SIGKILL).ok();
}
