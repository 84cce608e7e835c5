//! From the use cases' words to wire types.

use jiff::Timestamp;

use super::Facts;
use crate::api::{
    InstanceView, InviteView, KeyHolder, KeyState, KeyView, NewInviteView, NewKeyView,
};
use crate::control::{InstanceStatus, KeyStatus, NewInvite, NewKey};
use crate::domain::invite::Invite;
use crate::domain::key::{Holder, Key};

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

pub(super) fn new_key(new: NewKey) -> NewKeyView {
    NewKeyView {
        key: new.secret.expose().to_owned(),
        view: key(new.status, Timestamp::now()),
    }
}

pub(super) fn key(status: KeyStatus, now: Timestamp) -> KeyView {
    let KeyStatus { key, in_force } = status;
    let state = state(&key, in_force, now);
    let (holder, address) = match key.holder {
        Holder::Person => (KeyHolder::Person, None),
        Holder::Instance { address, .. } => (KeyHolder::Instance, Some(address)),
    };
    let ends = key.secrets.iter().filter_map(|secret| secret.until);
    KeyView {
        id: key.id,
        group: key.owner.group().clone(),
        user: key.owner.user().map(|user| user.user.clone()),
        holder,
        address,
        state,
        models: key.models.into_iter().map(String::from).collect(),
        note: key.note,
        created_at: key.created_at,
        expires_at: key.expires_at,
        last_used_at: key.last_used_at,
        old_secret_until: ends.filter(|end| *end > now).max(),
    }
}

fn state(key: &Key, in_force: bool, now: Timestamp) -> KeyState {
    if key.disabled {
        KeyState::Disabled
    } else if key.has_expired(now) {
        KeyState::Expired
    } else if in_force {
        KeyState::Active
    } else {
        KeyState::Idle
    }
}
