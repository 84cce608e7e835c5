//! Every listener has a place of its own, and one that can be listened on.

use std::net::{IpAddr, SocketAddr};

use crate::config::note::Place;
use crate::config::settings::Settings;

/// The control socket's path ends with its name and a zero, and the kernel keeps 108 bytes for it.
const RUNTIME_DIR_BYTES_MAX: usize = 108 - "/control.sock\0".len();

pub(super) fn apply(settings: &mut Settings) {
    twice(settings);
    socket(settings);
}

/// Otherwise the start would say that another program has the port.
fn twice(settings: &mut Settings) {
    let mut seen: Vec<(&str, SocketAddr)> = Vec::new();
    for key in [
        "proxy.https_listen",
        "proxy.http_listen",
        "dashboard.port",
        "gateway.listen",
    ] {
        let Some(address) = address(settings, key) else {
            continue;
        };
        let first = seen.iter().find(|(_, other)| is_same(*other, address));
        if let Some((first, _)) = first {
            let message = format!("{address} is what `{first}` listens on: write another port");
            let place = place(settings, key, first);
            settings.problem(&place, key, message);
        } else {
            seen.push((key, address));
        }
    }
}

fn address(settings: &Settings, key: &str) -> Option<SocketAddr> {
    if key == "dashboard.port" {
        let host: IpAddr = settings.parsed("dashboard.host")?;
        return Some(SocketAddr::new(host, settings.parsed(key)?));
    }
    settings.parsed(key)
}

/// Whoever listens on every address listens on each of them. Port 0 is another one each time.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = |at: SocketAddr| at.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || everywhere(one) || everywhere(other))
}

/// Where one of the two was written.
fn place(settings: &Settings, key: &str, first: &str) -> Place {
    let written = settings.written(key).or_else(|| settings.written(first));
    written.cloned().unwrap_or(Place::Default)
}

fn socket(settings: &mut Settings) {
    let len = settings.text("runtime_dir").map_or(0, str::len);
    if len > RUNTIME_DIR_BYTES_MAX {
        let place = settings.entries.get("runtime_dir");
        let place = place.map_or(Place::Default, |entry| entry.place.clone());
        let message = format!(
            "is longer than {RUNTIME_DIR_BYTES_MAX} bytes, and no socket can be opened there: write a shorter path"
        );
        settings.problem(&place, "runtime_dir", message);
    }
}
