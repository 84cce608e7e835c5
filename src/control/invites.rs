//! Invites: making, rotating and revoking links. A code is shown once and kept as a hash.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::auth::token;
use crate::control::{Control, Error, launch};
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::id::{GroupName, InviteId, UserRef};
use crate::domain::invite::Invite;
use crate::domain::secret::Secret;
use crate::domain::session::Session;
use crate::domain::user::{Group, User};
use crate::store::Change;

/// A code that is shown now and never again.
#[derive(Debug)]
pub struct NewInvite {
    pub invite: Invite,
    pub code: Secret,
}

impl Control {
    /// Every invite, without its code, by participant.
    pub async fn invites(&self) -> Result<Vec<Invite>, Error> {
        let rows = self.reading(|view| Ok(view.all::<Invite>()?)).await?;
        let mut invites: Vec<Invite> = rows.into_iter().map(|(_, invite)| invite).collect();
        invites.sort_by(|a, b| (&a.user, a.created_at).cmp(&(&b.user, b.created_at)));
        Ok(invites)
    }

    /// A link for each of these participants who has none.
    pub async fn create_invites(
        &self,
        group: Option<&GroupName>,
        actor: Actor,
    ) -> Result<Vec<NewInvite>, Error> {
        let group = group.cloned();
        let configured = self.settings.groups.clone();
        self.blocking(move |store| {
            let now = Timestamp::now();
            let target = group.as_ref().map_or("all".to_owned(), ToString::to_string);
            let entry = AuditEntry::done(now, actor, "invite.create", target);
            store.change(&entry, |tx| {
                if let Some(name) = &group
                    && tx.get::<Group>(name.as_str())?.is_none()
                {
                    return Err(Error::Missing {
                        what: "group",
                        name: name.to_string(),
                    });
                }
                let have: HashSet<UserRef> = tx
                    .all::<Invite>()?
                    .into_iter()
                    .map(|(_, invite)| invite.user)
                    .collect();
                let all = tx.all::<User>()?.into_iter().map(|(_, user)| user);
                let users = all
                    .filter(|user| launch::takes_part(user, &configured))
                    .map(|user| user.name);
                users
                    .filter(|user| group.as_ref().is_none_or(|group| user.group == *group))
                    .filter(|user| !have.contains(user))
                    .map(|user| mint(tx, user, now))
                    .collect()
            })
        })
        .await
    }

    /// A new link for a participant; the old ones and their sessions end.
    pub async fn rotate_invite(&self, user: &UserRef, actor: Actor) -> Result<NewInvite, Error> {
        let user = user.clone();
        self.blocking(move |store| {
            let now = Timestamp::now();
            let entry = AuditEntry::done(now, actor, "invite.rotate", &user);
            store.change(&entry, |tx| {
                if tx.get::<User>(&user.to_string())?.is_none() {
                    return Err(Error::Missing {
                        what: "participant",
                        name: user.to_string(),
                    });
                }
                revoke_where(tx, |invite| invite.user == user)?;
                mint(tx, user, now)
            })
        })
        .await
    }

    /// Takes a link back, with its sessions.
    pub async fn revoke_invite(&self, id: &InviteId, actor: Actor) -> Result<(), Error> {
        let id = id.clone();
        self.blocking(move |store| {
            let entry = AuditEntry::done(Timestamp::now(), actor, "invite.revoke", &id);
            store.change(&entry, |tx| {
                match revoke_where(tx, |invite| invite.id == id)? {
                    0 => Err(Error::Missing {
                        what: "invite",
                        name: id.to_string(),
                    }),
                    _ => Ok(()),
                }
            })
        })
        .await
    }
}

fn mint(tx: &Change, user: UserRef, now: Timestamp) -> Result<NewInvite, Error> {
    let code = token::invite_code();
    let invite = Invite {
        id: InviteId::from_bits(token::id_bits()),
        user,
        created_at: now,
        last_used_at: None,
    };
    tx.put(&token::hex(&token::hash(code.expose())), &invite)?;
    Ok(NewInvite { invite, code })
}

/// Removes these invites and every session they gave; says how many there were.
fn revoke_where(tx: &Change, doomed: impl Fn(&Invite) -> bool) -> Result<usize, Error> {
    let invites: Vec<_> = tx
        .all::<Invite>()?
        .into_iter()
        .filter(|(_, invite)| doomed(invite))
        .collect();
    for (hash, _) in &invites {
        tx.remove::<Invite>(hash)?;
    }
    let gone: HashSet<&InviteId> = invites.iter().map(|(_, invite)| &invite.id).collect();
    for (hash, session) in tx.all::<Session>()? {
        if gone.contains(&session.invite) {
            tx.remove::<Session>(&hash)?;
        }
    }
    Ok(invites.len())
}
