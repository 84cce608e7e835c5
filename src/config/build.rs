//! Checked settings to plain structs. Nothing can be wrong any more here.

mod gateway;
mod later;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::config::settings::{Settings, at};
use crate::config::{Certificates, Config, Dashboard, LogLevel, Proxy, Sandbox, Workspace, kind};
use crate::domain::instance::{Access, Resources, Sudo};
use crate::domain::network::Subnet;
use crate::domain::workspace::WorkspaceMode;

pub(super) fn config(mut settings: Settings) -> Config {
    let groups = std::mem::take(&mut settings.groups);
    let settings = &settings;
    Config {
        source: settings.source.path.clone(),
        warnings: settings.warnings().to_vec(),
        event: later::event(settings),
        log_level: log_level(settings),
        demo: settings.flag("demo"),
        external_ip: settings.parsed("external_ip"),
        state_dir: settings.path("state_dir").unwrap_or_default(),
        runtime_dir: settings.path("runtime_dir").unwrap_or_default(),
        groups,
        proxy: proxy(settings),
        dashboard: dashboard(settings),
        gateway: gateway::gateway(settings),
        sandbox: sandbox(settings),
        workspace: workspace(settings),
        vscode_settings: later::file(settings, "vscode.settings_file"),
        lemonade: later::lemonade(settings),
        kilo: later::kilo(settings),
        langfuse: later::langfuse(settings),
        auth: later::auth(settings),
    }
}

fn log_level(settings: &Settings) -> LogLevel {
    match settings.text("log_level") {
        Some("DEBUG") => LogLevel::Debug,
        Some("WARNING") => LogLevel::Warning,
        Some("ERROR") => LogLevel::Error,
        _ => LogLevel::Info,
    }
}

/// Every listener has a default; should one be wrong, it is nobody's but this host's.
fn listen(settings: &Settings, path: &str) -> SocketAddr {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.parsed(path).unwrap_or(nowhere)
}

fn proxy(settings: &Settings) -> Proxy {
    let trusted = "proxy.trusted_proxies";
    let networks = (0..settings.length(trusted)).filter_map(|index| {
        let path = at(trusted, index);
        kind::network(settings.text(&path)?)
    });
    Proxy {
        https_listen: listen(settings, "proxy.https_listen"),
        http_listen: listen(settings, "proxy.http_listen"),
        domain: settings.text("proxy.domain").map(str::to_owned),
        certificates: certificates(settings),
        trusted_proxies: networks.collect(),
        certbot_email: settings.text("proxy.certbot_email").map(str::to_owned),
    }
}

fn certificates(settings: &Settings) -> Certificates {
    match settings.text("proxy.ssl_provider") {
        Some("none") => Certificates::Off,
        Some("files") => Certificates::Files {
            certificate: settings.path("proxy.ssl_certificate").unwrap_or_default(),
            key: settings
                .path("proxy.ssl_certificate_key")
                .unwrap_or_default(),
        },
        _ => Certificates::Own,
    }
}

fn dashboard(settings: &Settings) -> Dashboard {
    let host = settings.parsed("dashboard.host");
    let host = host.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    Dashboard {
        listen: SocketAddr::new(host, settings.number("dashboard.port")),
        metrics_token: later::secret(settings, "dashboard.metrics_token"),
    }
}

fn sandbox(settings: &Settings) -> Sandbox {
    let docker_socket = || PathBuf::from("/var/run/docker.sock");
    Sandbox {
        image: settings.string("sandbox.image"),
        access: match settings.text("sandbox.access") {
            Some("password") => Access::Password,
            Some("open") => Access::Open,
            _ => Access::Owner,
        },
        sudo: if settings.flag("sandbox.sudo") {
            Sudo::Allow
        } else {
            Sudo::Deny
        },
        resources: resources(settings),
        subnet: settings.parsed("sandbox.subnet").unwrap_or(Subnet::DEFAULT),
        bridge: settings.string("sandbox.bridge"),
        docker_socket: settings.docker_socket.clone().unwrap_or_else(docker_socket),
        timeout_minutes: settings.number("sandbox.timeout_minutes"),
    }
}

fn resources(settings: &Settings) -> Resources {
    let memory = settings.text("sandbox.memory").and_then(kind::bytes);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "refused before unless it is between 0.1 and 1024"
    )]
    let cpu_millis = (settings.number::<f64>("sandbox.cpus") * 1000.0) as u32;
    Resources {
        memory_bytes: memory.unwrap_or(Resources::DEFAULT.memory_bytes),
        cpu_millis,
        pids: settings.number("sandbox.pids"),
    }
}

fn workspace(settings: &Settings) -> Workspace {
    Workspace {
        mode: match settings.text("workspace.mode") {
            Some("bind") => WorkspaceMode::Bind,
            Some("ephemeral") => WorkspaceMode::Ephemeral,
            _ => WorkspaceMode::Volume,
        },
        dir: settings.path("workspace.dir"),
    }
}
