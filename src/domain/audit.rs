//! What happened, by whom, to what.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::UserRef;

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Actor {
    /// The appliance itself.
    Appliance,
    /// Somebody with access to the control socket: the `thon` command.
    Control,
    Participant {
        user: UserRef,
        address: Option<IpAddr>,
    },
    /// Nobody we know.
    Visitor { address: Option<IpAddr> },
}

/// One line of the audit log, written in the same transaction as the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub actor: Actor,
    /// A stable dotted word: `instance.launch`, `invite.redeem`.
    pub action: String,
    /// What it was done to.
    pub target: String,
}

impl AuditEntry {
    pub fn done(at: Timestamp, actor: Actor, action: &str, target: impl ToString) -> Self {
        Self {
            at,
            actor,
            action: action.to_owned(),
            target: target.to_string(),
        }
    }
}
