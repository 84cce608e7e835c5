//! Docker: does it answer us, is it new enough, has it room, the image, and addresses of its own?

use std::io::ErrorKind;
use std::path::Path;

use ipnet::Ipv4Net;
use tokio::net::UnixStream;

use super::capacity;
use super::findings::Findings;
use super::state::nearest;
use crate::config::Config;
use crate::host::engine::{self, Engine};
use crate::host::routes::{self, Route};
use crate::server::trouble::Trouble;
use crate::server::{catalogue as code, ground};

/// Docker 20.10, which Debian 12 has.
const API_MIN: (u32, u32) = (1, 41);

/// Drivers that share an image's layers between containers, and are kept up.
const DRIVERS: [&str; 5] = ["overlay2", "overlayfs", "btrfs", "zfs", "fuse-overlayfs"];

const ROOM_BYTES_MIN: u64 = 1 << 30;
const ROOM_BYTES_LOW: u64 = 10 << 30;

pub(super) async fn judge(config: &Config, findings: &mut Findings) {
    const PART: &str = "docker";
    findings.add("network", network(config, &routes::routes()));
    let socket = config.sandbox.docker_socket.as_path();
    if let Some(trouble) = closed(socket).await {
        findings.trouble(PART, trouble);
        return;
    }
    let engine = match engine::describe(socket).await {
        Ok(engine) => engine,
        Err(error) => {
            let text = format!("Docker at {}: {error}", socket.display());
            findings.trouble(PART, code::RUNTIME_AWAY.says(text));
            return;
        }
    };
    for seen in [version(&engine), driver(&engine), lacks(&engine)] {
        findings.add(PART, seen);
    }
    if let Some(free) = ground::room(nearest(Path::new(&engine.root_dir))) {
        findings.add("space", room(&engine.root_dir, free));
    }
    findings.add("memory", capacity::memory(config, engine.memory_bytes));
    let image = &config.sandbox.image;
    let there = engine::has_image(socket, image).await;
    findings.add("image", present(image, there.unwrap_or(false)));
}

/// Root may always; whether the service's user may is found by its groups.
async fn closed(socket: &Path) -> Option<Trouble> {
    let error = UnixStream::connect(socket).await.err()?;
    let text = format!("Docker at {}: {error}", socket.display());
    Some(match error.kind() {
        ErrorKind::PermissionDenied => code::DOCKER_FORBIDDEN.says(text),
        _ => code::RUNTIME_AWAY.says(text),
    })
}

fn version(engine: &Engine) -> Result<String, Trouble> {
    let (major, minor) = engine.api;
    let text = format!("version {}, API {major}.{minor}", engine.version);
    if engine.api < API_MIN {
        return Err(code::DOCKER_OLD.says(text));
    }
    Ok(text)
}

fn driver(engine: &Engine) -> Result<String, Trouble> {
    let text = format!("storage driver {}", engine.storage_driver);
    if !DRIVERS.contains(&engine.storage_driver.as_str()) {
        return Err(code::DOCKER_DRIVER.says(text));
    }
    Ok(text)
}

fn lacks(engine: &Engine) -> Result<String, Trouble> {
    if engine.lacks.is_empty() {
        return Ok("limits and walls are there".to_owned());
    }
    Err(code::DOCKER_LACKS.says(format!("there is no {}", engine.lacks.join(", no "))))
}

fn room(dir: &str, free: u64) -> Result<String, Trouble> {
    let text = format!("{} MiB free for {dir}", free >> 20);
    match free {
        ..ROOM_BYTES_MIN => Err(code::DOCKER_FULL.says(text)),
        ROOM_BYTES_MIN..ROOM_BYTES_LOW => Err(code::DOCKER_LOW.says(text)),
        _ => Ok(text),
    }
}

fn present(image: &str, is_there: bool) -> Result<String, Trouble> {
    if is_there {
        return Ok(format!("{image} is there"));
    }
    Err(code::IMAGE_MISSING.says(format!("{image} is not on this host")))
}

/// Our own bridge has the range; anybody else's is lost to us, and participants from there are taken
/// for sandboxes.
fn network(config: &Config, routes: &[Route]) -> Result<String, Trouble> {
    let subnet = config.sandbox.subnet.to_string();
    let Ok(range) = subnet.parse::<Ipv4Net>() else {
        return Ok(subnet);
    };
    let overlaps = |route: &&Route| {
        route.interface != config.sandbox.bridge
            && (range.contains(&route.to) || route.to.contains(&range))
    };
    match routes.iter().find(overlaps) {
        Some(route) => Err(code::NETWORK_COLLIDES.says(format!(
            "`sandbox.subnet` is {subnet}, and {} is reached by {}",
            route.to, route.interface
        ))),
        None => Ok(format!("nobody else has addresses of {subnet}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::FixedVars;

    fn engine() -> Engine {
        Engine {
            version: "20.10.24".to_owned(),
            root_dir: "/var/lib/docker".to_owned(),
            runtimes: Vec::new(),
            storage_driver: "overlay2".to_owned(),
            cores: 2,
            memory_bytes: 1 << 30,
            api: (1, 41),
            lacks: Vec::new(),
        }
    }

    fn code_of(seen: Result<String, Trouble>) -> &'static str {
        seen.unwrap_err().entry.code
    }

    #[test]
    fn an_engine_is_looked_at_in_every_way() {
        let good = engine();
        assert!(version(&good).is_ok() && driver(&good).is_ok() && lacks(&good).is_ok());
        let bad = Engine {
            api: (1, 40),
            storage_driver: "vfs".to_owned(),
            lacks: vec!["memory limits", "seccomp"],
            ..engine()
        };
        assert_eq!(code_of(version(&bad)), "THN-DOCKER-02");
        assert_eq!(code_of(driver(&bad)), "THN-DOCKER-03");
        assert_eq!(code_of(lacks(&bad)), "THN-DOCKER-06");
        assert!(room("/", ROOM_BYTES_LOW).is_ok());
        assert_eq!(code_of(room("/", ROOM_BYTES_MIN)), "THN-DOCKER-04");
        assert_eq!(code_of(room("/", ROOM_BYTES_MIN - 1)), "THN-DOCKER-05");
        assert!(present("x", true).is_ok());
        assert_eq!(code_of(present("x", false)), "THN-IMAGE-01");
    }

    #[tokio::test]
    async fn docker_that_is_away_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let trouble = closed(&socket).await.unwrap();
        assert_eq!(trouble.entry.code, "THN-RUNTIME-01");
    }

    #[test]
    fn a_route_of_somebody_else_into_our_range_is_found() {
        let vars = FixedVars {
            root: true,
            ..FixedVars::default()
        };
        let config = crate::config::load(Some(Path::new("/dev/null")), &vars).unwrap();
        let route = |interface: &str, to: &str| Route {
            interface: interface.to_owned(),
            to: to.parse().unwrap(),
        };
        let bridge = config.sandbox.bridge.clone();
        let good = [
            route(&bridge, "10.201.0.0/20"),
            route("eth0", "10.200.0.0/16"),
        ];
        assert!(network(&config, &good).is_ok());
        for to in ["10.201.4.0/24", "10.201.0.0/20", "10.0.0.0/8"] {
            let bad = [route("eth0", to)];
            assert_eq!(code_of(network(&config, &bad)), "THN-NET-01", "{to}");
        }
    }
}
