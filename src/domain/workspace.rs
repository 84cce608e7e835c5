//! Where an instance keeps its files.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{UserRef, WorkspaceId};

/// A participant's files: the workspace and the home directory. It outlives every container and is
/// never deleted but by an explicit, confirmed call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    pub id: WorkspaceId,
    pub owner: UserRef,
    pub files: Mount,
    pub home: Mount,
    pub created_at: Timestamp,
}

/// Which workspace a participant has: a record of its own, so that nobody is given an empty one when
/// the workspace's own record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    pub workspace: WorkspaceId,
}

/// How a directory gets into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Mount {
    /// A directory of the host.
    Bind { path: PathBuf },
    /// The container's own layer: gone with the container.
    Ephemeral,
    /// A volume of the runtime, ours only if its label names this workspace.
    Volume {
        name: String,
        workspace: WorkspaceId,
    },
}

/// Which kind of mount new workspaces get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkspaceMode {
    Bind,
    Ephemeral,
    #[default]
    Volume,
}
