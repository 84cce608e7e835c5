//! `thon config`: what the settings are, and whether they are valid.

use clap::Subcommand;
use serde_json::json;

use super::Context;
use super::failure::Failure;
use super::words::count;
use crate::config::file::{self, File};
use crate::config::{Config, LogLevel};
use crate::domain::instance::{Access, Sudo};
use crate::domain::workspace::WorkspaceMode;

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Every setting in force, in the form of a settings file
    Show,
    /// Every problem at once, or how many groups and participants there are
    Validate,
}

pub(super) fn perform(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    let config = context.config()?;
    match args.action {
        Action::Show => {
            let file = in_force(&config);
            let yaml = file.to_yaml()?;
            context.output.show(&file, |_| yaml)
        }
        Action::Validate => {
            let source = config
                .source
                .as_ref()
                .map(|path| path.display().to_string());
            let valid = json!({
                "valid": true,
                "source": source,
                "groups": config.groups.len(),
                "users": config.users().count(),
            });
            context.output.show(&valid, |_| {
                format!(
                    "{} is valid: {}, {}",
                    source.as_deref().unwrap_or("the default configuration"),
                    count(config.groups.len(), "group"),
                    count(config.users().count(), "participant"),
                )
            })
        }
    }
}

/// The file that would lead to these settings in any environment.
fn in_force(config: &Config) -> File {
    let text = |value: &dyn std::fmt::Display| Some(value.to_string());
    let sandbox = &config.sandbox;
    File {
        demo: Some(config.demo),
        external_ip: config.external_ip.map(|ip| ip.to_string()),
        log_level: text(&log_level(config.log_level)),
        state_dir: text(&config.state_dir.display()),
        runtime_dir: text(&config.runtime_dir.display()),
        groups: file::groups(&config.groups),
        proxy: file::Proxy {
            https_listen: text(&config.proxy.https_listen),
            http_listen: text(&config.proxy.http_listen),
            domain: config.proxy.domain.clone(),
            external_ip: None,
            ..file::Proxy::default()
        },
        dashboard: file::Dashboard {
            host: text(&config.dashboard.listen.ip()),
            port: Some(config.dashboard.listen.port()),
        },
        gateway: file::Gateway {
            listen: text(&config.gateway.listen),
        },
        sandbox: file::Sandbox {
            image: text(&sandbox.image),
            access: text(&access(sandbox.access)),
            sudo: Some(sandbox.sudo == Sudo::Allow),
            memory: Some(file::Size::Bytes(sandbox.resources.memory_bytes)),
            cpus: Some(f64::from(sandbox.resources.cpu_millis) / 1000.0),
            pids: Some(sandbox.resources.pids),
            subnet: text(&sandbox.subnet),
            bridge: text(&sandbox.bridge),
        },
        workspace: file::Workspace {
            mode: text(&mode(config.workspace.mode)),
            dir: config
                .workspace
                .dir
                .as_ref()
                .map(|dir| dir.display().to_string()),
        },
    }
}

fn log_level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO",
        LogLevel::Warning => "WARNING",
        LogLevel::Error => "ERROR",
    }
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Owner => "owner",
        Access::Password => "password",
        Access::Open => "open",
    }
}

fn mode(mode: WorkspaceMode) -> &'static str {
    match mode {
        WorkspaceMode::Bind => "bind",
        WorkspaceMode::Ephemeral => "ephemeral",
        WorkspaceMode::Volume => "volume",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::config::env::FixedVars;

    #[test]
    fn what_is_shown_leads_to_the_same_settings() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thon.yaml");
        let text = "groups:\n  red: [alice]\n  blue: {title: Blue, users: [{name: bob, email: b@example.org}]}\n";
        std::fs::write(&path, text).unwrap();
        let vars = FixedVars {
            root: true,
            ..FixedVars::default()
        };
        let first = in_force(&config::load(Some(&path), &vars).unwrap());
        let yaml = first.to_yaml().unwrap();
        std::fs::write(&path, &yaml).unwrap();
        let second = in_force(&config::load(Some(&path), &vars).unwrap());
        assert_eq!(second.to_yaml().unwrap(), yaml);
    }
}
