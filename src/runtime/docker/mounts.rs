//! Volumes and directories, before a container uses them: found by label, never by name alone.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use bollard::models::VolumeCreateRequest;

use super::client::Client;
use super::{PARTICIPANT_ID, Settings, spec};
use crate::domain::id::WorkspaceId;
use crate::domain::instance::InstanceSpec;
use crate::domain::workspace::Mount;
use crate::runtime::RuntimeError;

pub(super) async fn prepare(
    client: &Client,
    settings: &Settings,
    wanted: &InstanceSpec,
) -> Result<(), RuntimeError> {
    for mount in [&wanted.workspace, &wanted.home] {
        match mount {
            Mount::Ephemeral => {}
            Mount::Bind { path } => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || directory(&path))
                    .await
                    .map_err(|error| RuntimeError::Unavailable(error.to_string()))??;
            }
            Mount::Volume { name, workspace } => {
                volume(client, settings, name, workspace).await?;
            }
        }
    }
    Ok(())
}

pub(super) async fn has_volume(
    client: &Client,
    deadline: Duration,
    name: &str,
) -> Result<bool, RuntimeError> {
    let answer = client
        .call(
            deadline,
            |api| async move { api.inspect_volume(name).await },
        )
        .await;
    match answer {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_status(404) => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

/// Docker's create answers with the volume that exists already, labels and all: one call that
/// makes or finds, without a gap between looking and making.
async fn volume(
    client: &Client,
    settings: &Settings,
    name: &str,
    workspace: &WorkspaceId,
) -> Result<(), RuntimeError> {
    let request = VolumeCreateRequest {
        name: Some(name.to_owned()),
        driver: Some("local".to_owned()),
        labels: Some(HashMap::from([
            (spec::LABEL_WORKSPACE.to_owned(), workspace.to_string()),
            (
                spec::LABEL_APPLIANCE.to_owned(),
                settings.appliance.to_string(),
            ),
        ])),
        ..VolumeCreateRequest::default()
    };
    let there = client
        .call(settings.deadlines.work, |api| async move {
            api.create_volume(request).await
        })
        .await?;
    if there.labels.get(spec::LABEL_WORKSPACE).map(String::as_str) == Some(workspace.as_str()) {
        return Ok(());
    }
    Err(RuntimeError::Refused(format!(
        "a volume named {name} exists that does not belong to this workspace: it may hold somebody \
         else's files, so it is not used. Rename or remove it (`docker volume inspect {name}`)"
    )))
}

/// Makes the directory if it is missing and gives it to the participant.
fn directory(path: &Path) -> Result<(), RuntimeError> {
    let refused = |why: String| Err(RuntimeError::Refused(why));
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return refused(format!(
            "{} is not an absolute path without `..`",
            path.display()
        ));
    }
    if let Some(link) = symbolic_link(path) {
        return refused(format!(
            "{} is a symbolic link: files must not leave the workspaces' directory; set \
             workspace.dir to where it leads",
            link.display()
        ));
    }
    if let Err(error) = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
    {
        return refused(format!("cannot make {}: {error}", path.display()));
    }
    owned(path)
}

fn symbolic_link(path: &Path) -> Option<PathBuf> {
    let is_link = |part: &&Path| part.symlink_metadata().is_ok_and(|m| m.is_symlink());
    path.ancestors().find(is_link).map(Path::to_path_buf)
}

fn owned(path: &Path) -> Result<(), RuntimeError> {
    let unreadable = |error: std::io::Error| {
        RuntimeError::Refused(format!("cannot look at {}: {error}", path.display()))
    };
    let there = path.symlink_metadata().map_err(unreadable)?;
    if there.uid() == PARTICIPANT_ID {
        return Ok(());
    }
    match std::os::unix::fs::lchown(path, Some(PARTICIPANT_ID), Some(PARTICIPANT_ID)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(RuntimeError::Refused(format!(
                "{path} must belong to the participants' user: run `sudo chown \
                 {PARTICIPANT_ID}:{PARTICIPANT_ID} {path}`",
                path = path.display()
            )))
        }
        Err(error) => Err(unreadable(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path) -> String {
        match directory(path) {
            Err(RuntimeError::Refused(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_path_that_could_lead_elsewhere_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        assert!(refusal(Path::new("red/alice")).contains("absolute"));
        assert!(refusal(&root.join("red/../../x")).contains("absolute"));

        std::fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("red")).unwrap();
        assert!(refusal(&root.join("red")).contains("symbolic link"));
        assert!(refusal(&root.join("red/alice")).contains("symbolic link"));
        assert!(!root.join("real/alice").exists());
    }
}
