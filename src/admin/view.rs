//! From the use cases' words to wire types.

use super::Facts;
use crate::api::{InstanceView, InviteView, NewInviteView};
use crate::control::{InstanceStatus, NewInvite};
use crate::domain::invite::Invite;

impl Facts {
    pub(super) fn instance(&self, status: InstanceStatus) -> InstanceView {
        let instance = status.instance;
        InstanceView {
            url: format!("{}{}", (self.public_url)(), instance.owner.path()),
            id: instance.id,
            group: instance.owner.group,
            user: instance.owner.user,
            state: instance.observed.phase,
            desired: instance.desired,
            reason: instance.observed.reason,
            access: instance.access,
            image: instance.image,
            generation: instance.generation,
            open_sockets: status.open_sockets,
            last_used_at: status.last_used_at,
            since: instance.observed.since,
            created_at: instance.created_at,
        }
    }

    pub(super) fn new_invite(&self, new: &NewInvite) -> NewInviteView {
        let code = new.code.expose().to_owned();
        NewInviteView {
            id: new.invite.id.clone(),
            group: new.invite.user.group.clone(),
            user: new.invite.user.user.clone(),
            created_at: new.invite.created_at,
            url: format!("{}/join/{code}", (self.public_url)()),
            code,
        }
    }
}

pub(super) fn invite(invite: Invite) -> InviteView {
    InviteView {
        id: invite.id,
        group: invite.user.group,
        user: invite.user.user,
        created_at: invite.created_at,
        last_used_at: invite.last_used_at,
    }
}
