//! What a store holds, as text to compare, and what must hold between its records.

use std::collections::{BTreeMap, HashMap};

use thon::control::{Browser, Control, Error, GRACE, KeyWish, Launched, NewInvite};
use thon::domain::address::{Lease, Released};
use thon::domain::audit::Actor;
use thon::domain::id::UserRef;
use thon::domain::instance::{Desired, Instance};
use thon::domain::invite::Invite;
use thon::domain::key::{Key, Owner, SECRETS_MAX};
use thon::domain::session::Session;
use thon::domain::set_limits::SetLimits;
use thon::domain::user::{Group, User};
use thon::domain::workspace::{Owned, Workspace};
use thon::store::schema::Record;
use thon::store::{Store, StoreError, View};

use crate::support::disk::Disk;
use crate::support::world::{World, identity};

pub(super) const USERS: [&str; 3] = ["red/alice", "red/bob", "blue/cleo"];

pub(super) type Records = BTreeMap<(&'static str, String), String>;

pub(super) fn open(disk: &Disk) -> Result<Store, StoreError> {
    let disk = disk.clone();
    Store::on(move || disk.clone(), identity)
}

/// Every record and every audit entry.
pub(super) fn records(store: &Store) -> Records {
    let view = store.view().unwrap();
    let mut all = Records::new();
    read::<Group>(&view, &mut all);
    read::<User>(&view, &mut all);
    read::<Instance>(&view, &mut all);
    read::<Workspace>(&view, &mut all);
    read::<Invite>(&view, &mut all);
    read::<Session>(&view, &mut all);
    read::<Released>(&view, &mut all);
    read::<Lease>(&view, &mut all);
    read::<Owned>(&view, &mut all);
    read::<Key>(&view, &mut all);
    read::<SetLimits>(&view, &mut all);
    for (at, entry) in view.audit(usize::MAX).unwrap().iter().rev().enumerate() {
        let text = serde_json::to_string(entry).unwrap();
        all.insert(("audit", at.to_string()), text);
    }
    all
}

fn read<R: Record>(view: &View, all: &mut Records) {
    for (key, record) in view.all::<R>().unwrap() {
        let text = serde_json::to_string(&record).unwrap();
        all.insert((R::NAME, key), text);
    }
}

/// What holds between the tables at every moment.
pub(super) fn assert_whole(store: &Store) {
    let view = store.view().unwrap();
    let instances = all::<Instance>(&view);
    let leases = all::<Lease>(&view);
    assert_eq!(instances.len(), leases.len());
    for (owner, instance) in &instances {
        assert_eq!(*owner, instance.owner.to_string());
        let lease = &leases[&instance.address.to_string()];
        assert_eq!(lease.owner, instance.owner);
        assert_eq!(lease.instance.as_ref(), Some(&instance.id));
        let workspace = &all::<Workspace>(&view)[instance.workspace.as_str()];
        assert_eq!(workspace.owner, instance.owner);
        assert_eq!(all::<Owned>(&view)[owner].workspace, instance.workspace);
    }
    for (id, workspace) in all::<Workspace>(&view) {
        let owned = &all::<Owned>(&view)[&workspace.owner.to_string()];
        assert_eq!(owned.workspace.as_str(), id);
    }
    let invites = all::<Invite>(&view);
    for session in all::<Session>(&view).values() {
        assert!(invites.values().any(|invite| invite.id == session.invite));
    }
    assert_keys_are_whole(&view);
}

fn assert_keys_are_whole(view: &View) {
    let groups = all::<Group>(view);
    for (id, key) in all::<Key>(view) {
        assert_eq!(id, key.id.as_str());
        assert!((1..=SECRETS_MAX).contains(&key.secrets.len()));
        assert!(key.secrets[0].until.is_none());
        assert!(groups.contains_key(key.owner.group().as_str()));
    }
}

fn all<R: Record>(view: &View) -> HashMap<String, R> {
    view.all::<R>().unwrap().into_iter().collect()
}

async fn revoke_a_link_of(control: &Control, user: &UserRef) -> Result<(), Error> {
    let invites = control.invites().await?;
    let invite = invites.iter().find(|invite| invite.user == *user).unwrap();
    control.revoke_invite(&invite.id, Actor::Control).await
}

fn nobody_is_left(launched: &Launched) {
    assert_eq!(launched.left, []);
}

/// Use cases one after the other, each of them one transaction.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    codes: HashMap<UserRef, String>,
}

pub(super) const STEPS: usize = 18;

impl Script {
    /// Does one step; an error is for people.
    pub(super) async fn step(&mut self, world: &World, step: usize) -> Result<(), String> {
        let [alice, bob, cleo] = USERS.map(|user| user.parse::<UserRef>().unwrap());
        let control = &world.control;
        let by = Actor::Control;
        let done = match step {
            0 | 11 => {
                let launched = control.launch(&thon::control::Launch::default(), by).await;
                launched.map(|launched| nobody_is_left(&launched))
            }
            1 => {
                let made = control.create_invites(None, by).await;
                made.map(|invites| self.remember(invites))
            }
            2 | 3 | 12 => {
                let (code, now) = (&self.codes[&alice], jiff::Timestamp::now());
                let browser = Browser::default();
                let redeemed = control.redeem_invite(code, &browser, now).await;
                redeemed.map(drop)
            }
            4 => control.want(&alice, Desired::Stopped, by).await.map(drop),
            5 => control.want(&bob, Desired::Paused, by).await.map(drop),
            6 => control.recreate(&cleo, by).await.map(drop),
            7 => control.restart(&bob, by).await.map(drop),
            8 => {
                let new = control.rotate_invite(&alice, by).await;
                new.map(|new| self.remember([new]))
            }
            9 => revoke_a_link_of(control, &bob).await,
            10 => control.cleanup(by).await.map(drop),
            17 => set_a_limit(control).await,
            13 => end_a_session(control, &alice).await,
            _ => with_keys(control, alice, step).await,
        };
        done.map_err(|error| error.to_string())
    }

    fn remember(&mut self, invites: impl IntoIterator<Item = NewInvite>) {
        let codes = invites.into_iter();
        let codes = codes.map(|new| (new.invite.user, new.code.expose().to_owned()));
        self.codes.extend(codes);
    }
}

async fn end_a_session(control: &Control, user: &UserRef) -> Result<(), Error> {
    let sessions = control.sessions(user).await.unwrap();
    let id = &sessions[0].id;
    control.end_session(user, id, Actor::Control).await
}

async fn set_a_limit(control: &Control) -> Result<(), Error> {
    let set = SetLimits {
        concurrency: Some(3),
        ..SetLimits::default()
    };
    control.set_limits(set, Actor::Control).await.map(drop)
}

async fn with_keys(control: &Control, user: UserRef, step: usize) -> Result<(), Error> {
    let by = Actor::Control;
    if step == 14 {
        let wish = KeyWish {
            owner: Owner::User(user),
            models: Vec::new(),
            expires_at: None,
            note: "a note".to_owned(),
        };
        return control.create_key(wish, by).await.map(drop);
    }
    let key = control.keys().await.unwrap()[0].key.id.clone();
    match step {
        15 => control.rotate_key(&key, GRACE, by).await.map(drop),
        _ => control.revoke_key(&key, by).await,
    }
}
