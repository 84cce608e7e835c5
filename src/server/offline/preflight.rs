//! Everything that `up` would fail for later, found before it begins and said all at once.

use std::net::SocketAddr;

use crate::config::Config;
use crate::host;

/// Ports below this one need root, unless the kernel was told otherwise.
const UNPRIVILEGED_FROM: u16 = 1024;

/// Root can install what is missing. Anybody else is told what is missing and what to type.
pub(super) fn check(config: &Config, docker_answers: bool) -> anyhow::Result<()> {
    if host::is_root() {
        return Ok(());
    }
    let missing = missing(config, docker_answers, unprivileged_from());
    anyhow::ensure!(
        missing.is_empty(),
        "start as root, or do this first:\n{}",
        missing.join("\n")
    );
    Ok(())
}

fn missing(config: &Config, docker_answers: bool, unprivileged_from: u16) -> Vec<String> {
    let mut missing = Vec::new();
    if !docker_answers {
        missing.push(
            "  Docker does not answer you: install it with `sudo apt-get install docker.io`, start it with `sudo systemctl start docker`, and join its group with `sudo usermod -aG docker $USER` (then log in again)"
                .to_owned(),
        );
    }
    let ports: [(&str, SocketAddr, &str); 3] = [
        (
            "proxy.https_listen",
            config.proxy.https_listen,
            "0.0.0.0:8443",
        ),
        (
            "proxy.http_listen",
            config.proxy.http_listen,
            "0.0.0.0:8080",
        ),
        ("dashboard.port", config.dashboard.listen, "8100"),
    ];
    for (key, address, example) in ports {
        if (1..unprivileged_from).contains(&address.port()) {
            missing.push(format!(
                "  port {} needs root: set `{key}` in the settings to one above {}, for example {example}",
                address.port(),
                unprivileged_from - 1
            ));
        }
    }
    missing
}

fn unprivileged_from() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(UNPRIVILEGED_FROM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::FixedVars;

    #[test]
    fn everything_that_is_missing_is_said_at_once_with_what_to_type() {
        let mut vars = FixedVars::default();
        vars.values
            .insert("HOME".to_owned(), "/home/ann".to_owned());
        let config = crate::config::load(Some("/dev/null".as_ref()), &vars).unwrap();
        let missing = missing(&config, false, 1024);
        let text = missing.join("\n");
        assert_eq!(missing.len(), 3, "{text}");
        assert!(text.contains("apt-get install docker.io"), "{text}");
        assert!(
            text.contains("port 443 needs root: set `proxy.https_listen`"),
            "{text}"
        );
        assert!(super::missing(&config, true, 0).is_empty());
    }
}
