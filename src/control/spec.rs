//! Pure: an instance, its workspace and the settings to what a runtime gets.

mod agents;

use crate::control::Settings;
use crate::domain::instance::{EDITOR_PORT, InjectedFile, Instance, InstanceSpec, Standing};
use crate::domain::secret::Secret;
use crate::domain::workspace::Workspace;

/// In the container's own layer, not in the home volume: it belongs to a generation, and a
/// participant's edit of their own configuration must not lock them out.
const EDITOR_CONFIG: &str = "/etc/thon/code-server.yaml";

/// How long an editor keeps the terminals of a browser that went away, in seconds. A week: a
/// participant who closes the laptop finds everything as it was, also after a pause.
const RECONNECTION_GRACE_S: &str = "604800";

pub(super) fn spec(
    instance: &Instance,
    workspace: &Workspace,
    settings: &Settings,
    editor_cookie: &Secret,
    key: &Secret,
) -> InstanceSpec {
    let mut files = agents::files(settings, key);
    files.push(InjectedFile {
        path: EDITOR_CONFIG.to_owned(),
        mode: 0o400,
        contents: Secret::new(editor_config(editor_cookie)),
        standing: Standing::Ours,
    });
    InstanceSpec {
        id: instance.id.clone(),
        generation: instance.generation,
        owner: instance.owner.clone(),
        image: instance.image.clone(),
        address: instance.address,
        workspace: workspace.files.clone(),
        home: workspace.home.clone(),
        resources: settings.resources,
        sudo: settings.sudo,
        command: command(instance),
        env: vec![
            ("THON_GROUP".to_owned(), instance.owner.group.to_string()),
            ("THON_USERNAME".to_owned(), instance.owner.user.to_string()),
        ],
        files,
    }
}

/// Never a base path: code-server finds it by itself behind a stripped prefix.
fn command(instance: &Instance) -> Vec<String> {
    let abs_proxy_base_path = instance.owner.path().trim_end_matches('/').to_owned();
    [
        "code-server",
        "--config",
        EDITOR_CONFIG,
        "--bind-addr",
        &format!("0.0.0.0:{EDITOR_PORT}"),
        "--disable-telemetry",
        "--disable-update-check",
        "--disable-workspace-trust",
        "--disable-getting-started-override",
        "--abs-proxy-base-path",
        &abs_proxy_base_path,
        "--reconnection-grace-time",
        RECONNECTION_GRACE_S,
        "/workspace",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// In a file, since arguments and environment can be read from outside the container.
fn editor_config(hashed_password: &Secret) -> String {
    format!(
        "auth: password\nhashed-password: \"{}\"\ncert: false\n",
        hashed_password.expose()
    )
}
