//! An instance: what is wanted, what was last seen, and the specification a runtime gets.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{InstanceId, UserRef, WorkspaceId};
use crate::domain::secret::Secret;
use crate::domain::workspace::Mount;

/// The port that the editor listens on inside its container.
pub const EDITOR_PORT: u16 = 8443;

/// The editor's own session cookie.
pub const EDITOR_COOKIE: &str = "code-server-session";

/// Who may open an editor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// The owner's own session only.
    #[default]
    Owner,
    /// Visitors without a session get the editor's own password page.
    Password,
    /// Visitors without a session get the editor.
    Open,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Password => "password",
            Self::Open => "open",
        })
    }
}

/// What the organizer wants an instance to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    Paused,
    /// The record goes once no container is left; workspace and home stay.
    Removed,
    Running,
    /// The container is kept, with what was installed in it.
    Stopped,
}

impl fmt::Display for Desired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paused => "paused",
            Self::Removed => "removed",
            Self::Running => "running",
            Self::Stopped => "stopped",
        })
    }
}

/// What an instance was last seen doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Wanted, and nothing was done yet.
    Pending,
    /// There is a container; the editor does not answer yet.
    Starting,
    /// The editor answers.
    Ready,
    Paused,
    Stopped,
    /// The last attempt failed; `reason` says why, and it is tried again.
    Failed,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        })
    }
}

/// The record of an instance. Intent (`desired`, `generation`, `address`) is durable before the
/// runtime is asked; `observed` is a memory of what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub id: InstanceId,
    pub owner: UserRef,
    pub desired: Desired,
    /// Somebody asked for the editor to end once and start again in the same container.
    #[serde(default)]
    pub restart: bool,
    pub access: Access,
    pub image: String,
    pub workspace: WorkspaceId,
    /// Leased for as long as the record lives.
    pub address: Ipv4Addr,
    /// Counts the containers of this instance; a route and a key belong to one generation.
    pub generation: u64,
    pub observed: Observed,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub phase: Phase,
    /// The runtime's identifier of this generation's container, once it was created.
    pub container: Option<String>,
    /// Where its editor answered.
    pub endpoint: Option<SocketAddr>,
    /// Words for the participant and the organizer, when something is wrong.
    pub reason: Option<String>,
    /// Attempts that failed in a row.
    pub failures: u32,
    pub since: Timestamp,
}

impl Observed {
    pub fn pending(now: Timestamp) -> Self {
        Self {
            phase: Phase::Pending,
            container: None,
            endpoint: None,
            reason: None,
            failures: 0,
            since: now,
        }
    }
}

/// Everything a runtime needs to make one container; the same for every runtime.
#[derive(Clone, Debug)]
pub struct InstanceSpec {
    pub id: InstanceId,
    pub generation: u64,
    /// For the container's host name only: an owner can change, so it is in no label.
    pub owner: UserRef,
    pub image: String,
    pub address: Ipv4Addr,
    /// Mounted at `/workspace`.
    pub workspace: Mount,
    /// Mounted at `/home/vscode`, seeded from the image.
    pub home: Mount,
    pub resources: Resources,
    pub sudo: Sudo,
    pub command: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Put into the container whenever it is about to start.
    pub files: Vec<InjectedFile>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Also the limit of memory and swap together.
    pub memory_bytes: u64,
    /// Thousandths of a core.
    pub cpu_millis: u32,
    pub pids: u32,
}

impl Resources {
    pub const DEFAULT: Self = Self {
        memory_bytes: 2 << 30,
        cpu_millis: 2_000,
        pids: 768,
    };
}

impl Default for Resources {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// May the participant become root inside their container?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sudo {
    Allow,
    #[default]
    Deny,
}

/// A file that a container is given. It belongs to the participant's user.
#[derive(Clone, Debug)]
pub struct InjectedFile {
    /// Absolute, inside the container.
    pub path: String,
    pub mode: u32,
    pub contents: Secret,
    pub standing: Standing,
}

/// Whose a file is, once it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It belongs to the container and is put in place of whatever is there. Without it nothing starts.
    Ours,
    /// It is in the home directory or the workspace: put where nothing is yet, and the participant's from
    /// then on. An editor starts without it.
    Theirs,
}

/// A container of ours as a runtime lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The runtime's identifier.
    pub id: String,
    pub instance: InstanceId,
    pub generation: u64,
    pub state: ContainerState,
    /// Where its editor listens, when it has an address.
    pub endpoint: Option<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    Running,
    Paused,
    /// Ended; the code, and whether the kernel ended it for want of memory.
    Exited {
        code: i64,
        out_of_memory: bool,
    },
    /// Restarting, being removed, or a word that we do not know.
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People read the word that programs read and records keep.
    fn is_its_word(value: &(impl fmt::Display + Serialize)) {
        assert_eq!(serde_json::to_value(value).unwrap(), value.to_string());
    }

    #[test]
    fn a_word_is_the_same_for_people_programs_and_records() {
        for access in [Access::Owner, Access::Password, Access::Open] {
            is_its_word(&access);
        }
        for desired in [
            Desired::Paused,
            Desired::Removed,
            Desired::Running,
            Desired::Stopped,
        ] {
            is_its_word(&desired);
        }
        for phase in [
            Phase::Pending,
            Phase::Starting,
            Phase::Ready,
            Phase::Paused,
            Phase::Stopped,
            Phase::Failed,
        ] {
            is_its_word(&phase);
        }
    }
}
