//! `Control`: every use case of the product, over the parts below.

pub mod error;

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

pub use error::Error;

use crate::domain::audit::Actor;
use crate::domain::health::Health;
use crate::domain::id::{GroupName, InviteId, SessionId, UserRef};
use crate::domain::instance::{Desired, Instance};
use crate::domain::invite::Invite;
use crate::domain::secret::Secret;
use crate::domain::session::Session;
use crate::routing::{LiveSession, TableHandle};

/// Every use case. Handlers of the doors translate and call; nothing else happens in them.
pub struct Control {
    table: TableHandle,
}

/// A browser as it presents itself.
#[derive(Clone, Debug)]
pub struct Browser {
    pub address: Option<IpAddr>,
    pub agent: String,
}

/// What signing in gives: the token is told to the browser once and kept as a hash.
#[derive(Debug)]
pub struct SignedIn {
    pub token: Secret,
    pub session: Session,
}

/// Whom to launch.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// Only this group; everybody otherwise.
    pub group: Option<GroupName>,
    /// With nobody configured, make the group `demo` with `alice` and `bob`.
    pub demo: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// Instances that did not exist or were not meant to run before this call.
    pub started: Vec<UserRef>,
    /// Instances that were meant to run already.
    pub unchanged: Vec<UserRef>,
}

/// A code that is shown now and never again.
#[derive(Debug)]
pub struct NewInvite {
    pub invite: Invite,
    pub code: Secret,
}

/// An instance with what only memory knows of it.
#[derive(Clone, Debug)]
pub struct InstanceStatus {
    pub instance: Instance,
    pub open_sockets: u32,
    pub last_used_at: Option<Timestamp>,
}

/// The health of each part, by its name.
pub type HealthReport = Vec<(&'static str, Health)>;

impl Control {
    /// Whose code this is, without using it.
    pub async fn preview_invite(&self, code: &str) -> Result<Invite, Error> {
        todo!("{code}")
    }

    /// Signs a browser in with a code. The oldest session of the invite makes room for a sixth.
    pub async fn redeem_invite(
        &self,
        code: &str,
        browser: &Browser,
        now: Timestamp,
    ) -> Result<SignedIn, Error> {
        todo!("{code} {browser:?} {now}")
    }

    /// The session that a cookie's token stands for, if it lives; counts as a visit.
    pub fn session(&self, token: &str, now: Timestamp) -> Option<Arc<LiveSession>> {
        todo!("{token} {now}")
    }

    /// A participant's sessions, newest first.
    pub async fn sessions(&self, user: &UserRef) -> Result<Vec<Session>, Error> {
        todo!("{user}")
    }

    /// Ends one of a participant's own sessions; open sockets close at once.
    pub async fn end_session(
        &self,
        user: &UserRef,
        session: &SessionId,
        actor: Actor,
    ) -> Result<(), Error> {
        todo!("{user} {session} {actor:?}")
    }

    /// Makes records for whoever has none, wants them running, and returns at once.
    pub async fn launch(&self, launch: &Launch, actor: Actor) -> Result<Launched, Error> {
        todo!("{launch:?} {actor:?}")
    }

    /// Every instance, by group and user.
    pub async fn instances(&self) -> Result<Vec<InstanceStatus>, Error> {
        todo!()
    }

    /// One participant's instance.
    pub async fn instance(&self, user: &UserRef) -> Result<InstanceStatus, Error> {
        todo!("{user}")
    }

    /// Start, stop, pause, resume (`Running`) or remove: what is wanted from now on.
    pub async fn want(
        &self,
        user: &UserRef,
        desired: Desired,
        actor: Actor,
    ) -> Result<InstanceStatus, Error> {
        todo!("{user} {desired:?} {actor:?}")
    }

    /// A new container with the same workspace and home.
    pub async fn recreate(&self, user: &UserRef, actor: Actor) -> Result<InstanceStatus, Error> {
        todo!("{user} {actor:?}")
    }

    /// The password of an instance's editor, for `access: password`.
    pub async fn editor_password(&self, user: &UserRef, actor: Actor) -> Result<Secret, Error> {
        todo!("{user} {actor:?}")
    }

    /// The last lines that an instance printed.
    pub async fn logs(&self, user: &UserRef, lines: usize) -> Result<Vec<String>, Error> {
        todo!("{user} {lines}")
    }

    /// Every invite, without its code.
    pub async fn invites(&self) -> Result<Vec<Invite>, Error> {
        todo!()
    }

    /// A link for each of these participants who has none.
    pub async fn create_invites(
        &self,
        group: Option<&GroupName>,
        actor: Actor,
    ) -> Result<Vec<NewInvite>, Error> {
        todo!("{group:?} {actor:?}")
    }

    /// A new link for a participant; the old one and its sessions end.
    pub async fn rotate_invite(&self, user: &UserRef, actor: Actor) -> Result<NewInvite, Error> {
        todo!("{user} {actor:?}")
    }

    /// Takes a link back, with its sessions.
    pub async fn revoke_invite(&self, id: &InviteId, actor: Actor) -> Result<(), Error> {
        todo!("{id} {actor:?}")
    }

    /// Removes every instance; workspaces and home directories stay. Returns whose.
    pub async fn cleanup(&self, actor: Actor) -> Result<Vec<UserRef>, Error> {
        todo!("{actor:?}")
    }

    /// How the store, the runtime and the certificates are.
    pub fn health(&self) -> HealthReport {
        todo!()
    }

    pub fn table(&self) -> &TableHandle {
        &self.table
    }
}
