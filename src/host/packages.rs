//! Debian packages: which are missing, and installing them without a question.

use std::path::Path;
use std::time::Duration;

use crate::host::command::{find, run};
use crate::host::{HostError, Report, is_root, say};

const QUERY_DEADLINE: Duration = Duration::from_secs(30);
const UPDATE_DEADLINE: Duration = Duration::from_mins(5);
const INSTALL_DEADLINE: Duration = Duration::from_mins(20);
const LISTS: &str = "/var/lib/apt/lists";

/// What Docker needs, by a program that tells whether it is there: a Docker from elsewhere is as
/// good as Debian's and must not be replaced.
const DOCKER: [(&str, &str); 2] = [("dockerd", "docker.io"), ("iptables", "iptables")];

/// Packages to install before Docker can run on this host.
pub fn missing_for_docker() -> Vec<&'static str> {
    DOCKER
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| *package)
        .collect()
}

/// Installs what is not installed yet.
pub async fn install(packages: &[&str], report: Report<'_>) -> Result<(), HostError> {
    let mut missing = Vec::new();
    for package in packages {
        if !is_installed(package).await {
            missing.push(*package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    if find("apt-get").is_none() {
        return Err(HostError::failed(format!(
            "this host has no apt-get: install {} with its own package manager",
            missing.join(", ")
        )));
    }
    let arguments = arguments(&missing);
    if !is_root() {
        return Err(HostError::NeedsRoot {
            command: format!("sudo apt-get {}", arguments.join(" ")),
        });
    }
    say(report, format!("installing {}", missing.join(", ")));
    let are_fresh = has_lists(Path::new(LISTS));
    if !are_fresh {
        update().await?;
    }
    match run("apt-get", &arguments, INSTALL_DEADLINE).await {
        // Old lists name versions that are gone from the mirror.
        Err(_) if are_fresh => {
            update().await?;
            run("apt-get", &arguments, INSTALL_DEADLINE).await?;
        }
        answer => drop(answer?),
    }
    Ok(())
}

fn arguments<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        "install",
        "--yes",
        "--no-install-recommends",
        // Another apt at work, such as the nightly one of the host, is waited for.
        "-oDPkg::Lock::Timeout=120",
    ];
    arguments.extend(packages);
    arguments
}

async fn update() -> Result<(), HostError> {
    run("apt-get", &["update"], UPDATE_DEADLINE).await.map(drop)
}

async fn is_installed(package: &str) -> bool {
    let arguments = ["--show", "--showformat=${db:Status-Status}", package];
    run("dpkg-query", &arguments, QUERY_DEADLINE)
        .await
        .is_ok_and(|status| status == "installed")
}

fn has_lists(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_machine_has_no_lists() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!has_lists(&directory.path().join("lists")));
        assert!(!has_lists(directory.path()));
        let list = directory
            .path()
            .join("mirror_debian_dists_bookworm_main_binary-amd64_Packages.lz4");
        std::fs::write(list, "").unwrap();
        assert!(has_lists(directory.path()));
    }

    #[tokio::test]
    async fn what_is_installed_is_left_alone() {
        let mut said = Vec::new();
        install(&["dpkg", "bash"], &mut |progress| said.push(progress))
            .await
            .unwrap();
        assert_eq!(said, []);
    }
}
