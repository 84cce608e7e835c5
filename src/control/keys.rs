//! Keys for the language model: making, rotating and ending them. A key is shown once and kept as a
//! hash.

mod clocks;
mod containers;
mod foreign;

use jiff::{SignedDuration, Timestamp};

use crate::auth::{key as auth, token};
use crate::config::KeyMode;
use crate::control::{Control, Error};
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::id::KeyId;
use crate::domain::key::{Holder, Key, KeySecret, Owner, SECRETS_MAX};
use crate::domain::model::{MODEL_LEN_MAX, ModelName};
use crate::domain::secret::Secret;
use crate::domain::user::{Group, User};
use crate::store::Change;

pub(super) use foreign::Foreign;

/// Keys that a participant or a group may have besides those of containers.
const KEYS_PER_OWNER_MAX: usize = 16;

/// Models in a key's list.
const MODELS_MAX: usize = 64;

/// Longest note, in characters.
const NOTE_CHARS_MAX: usize = 120;

/// How long the secret from before is good, if nobody says otherwise.
pub const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// The longest that it may be.
const GRACE_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A key that is wanted.
#[derive(Clone, Debug)]
pub struct KeyWish {
    pub owner: Owner,
    /// None: every model.
    pub models: Vec<ModelName>,
    pub expires_at: Option<Timestamp>,
    pub note: String,
}

/// A key that is shown now and never again.
#[derive(Debug)]
pub struct NewKey {
    pub status: KeyStatus,
    pub secret: Secret,
}

/// A key with what only memory knows of it.
#[derive(Clone, Debug)]
pub struct KeyStatus {
    pub key: Key,
    /// Whether requests may use it as things are, were it neither disabled nor expired.
    pub in_force: bool,
}

impl Control {
    /// Every key, by its owner and its age.
    pub async fn keys(&self) -> Result<Vec<KeyStatus>, Error> {
        let rows = self.reading(|view| Ok(view.all::<Key>()?)).await?;
        let mut keys: Vec<Key> = rows.into_iter().map(|(_, key)| key).collect();
        keys.sort_by_cached_key(|key| (key.owner.to_string(), key.created_at, key.id.clone()));
        Ok(keys.into_iter().map(|key| self.with_use(key)).collect())
    }

    pub async fn key(&self, id: &KeyId) -> Result<KeyStatus, Error> {
        let wanted = id.clone();
        let key = self.reading(move |view| Ok(view.get::<Key>(wanted.as_str())?));
        let key = key.await?.ok_or_else(|| missing(id))?;
        Ok(self.with_use(key))
    }

    pub async fn create_key(&self, wish: KeyWish, actor: Actor) -> Result<NewKey, Error> {
        let now = Timestamp::now();
        check(&wish, self.settings.key_mode, now)?;
        let id = auth::fresh_id();
        let secret = auth::fresh(&id);
        let hash = token::hash(secret.expose());
        let made = self.blocking(move |store| {
            let target = format!("{id} of {}", wish.owner);
            let entry = AuditEntry::done(now, actor, "key.create", target);
            store.change(&entry, |tx| {
                has_room(tx, &wish.owner)?;
                let key = Key {
                    id,
                    owner: wish.owner,
                    holder: Holder::Person,
                    secrets: vec![KeySecret { hash, until: None }],
                    models: wish.models,
                    created_at: now,
                    expires_at: wish.expires_at,
                    disabled: false,
                    last_used_at: None,
                    note: wish.note,
                };
                tx.put(key.id.as_str(), &key)?;
                Ok(key)
            })
        });
        let status = self.with_use(made.await?);
        Ok(NewKey { status, secret })
    }

    /// Lets nobody use it, until it is enabled again. Its requests end.
    pub async fn disable_key(&self, id: &KeyId, actor: Actor) -> Result<KeyStatus, Error> {
        self.change_key(id, actor, "key.disable", |key, _| {
            key.disabled = true;
            Ok(())
        })
        .await
    }

    pub async fn enable_key(&self, id: &KeyId, actor: Actor) -> Result<KeyStatus, Error> {
        self.change_key(id, actor, "key.enable", |key, _| {
            key.disabled = false;
            Ok(())
        })
        .await
    }

    /// Another secret. The one from before is good for as long as `grace` says; with none, its requests
    /// end.
    pub async fn rotate_key(
        &self,
        id: &KeyId,
        grace: SignedDuration,
        actor: Actor,
    ) -> Result<NewKey, Error> {
        if grace.is_negative() || grace > GRACE_MAX {
            return Err(Error::Invalid(
                "the secret from before can be good for 0 to 604800 seconds, which is a week"
                    .to_owned(),
            ));
        }
        let secret = auth::fresh(id);
        let hash = token::hash(secret.expose());
        let rotated = self.change_key(id, actor, "key.rotate", move |key, now| {
            is_a_person_s(key)?;
            if key.has_expired(now) {
                return Err(Error::Conflict(format!(
                    "key {} has expired, whatever its secret is: make another one",
                    key.id
                )));
            }
            rotate(key, hash, now, grace);
            Ok(())
        });
        let status = rotated.await?;
        Ok(NewKey { status, secret })
    }

    /// Takes it away for good. Its requests end.
    pub async fn revoke_key(&self, id: &KeyId, actor: Actor) -> Result<(), Error> {
        let id = id.clone();
        self.blocking(move |store| {
            let entry = AuditEntry::done(Timestamp::now(), actor, "key.revoke", &id);
            store.change(&entry, |tx| {
                let key = tx.get::<Key>(id.as_str())?.ok_or_else(|| missing(&id))?;
                is_a_person_s(&key)?;
                tx.remove::<Key>(id.as_str())?;
                Ok(())
            })
        })
        .await
    }

    async fn change_key(
        &self,
        id: &KeyId,
        actor: Actor,
        action: &'static str,
        edit: impl FnOnce(&mut Key, Timestamp) -> Result<(), Error> + Send + 'static,
    ) -> Result<KeyStatus, Error> {
        let id = id.clone();
        let changed = self.blocking(move |store| {
            let now = Timestamp::now();
            let entry = AuditEntry::done(now, actor, action, &id);
            store.change(&entry, |tx| {
                let mut key = tx.get::<Key>(id.as_str())?.ok_or_else(|| missing(&id))?;
                edit(&mut key, now)?;
                tx.put(id.as_str(), &key)?;
                Ok::<_, Error>(key)
            })
        });
        Ok(self.with_use(changed.await?))
    }

    fn with_use(&self, mut key: Key) -> KeyStatus {
        let table = self.table().load();
        let live = table.key(&key.id);
        if let Some(used) = live.and_then(|live| live.last_used_at()) {
            key.last_used_at = Some(used);
        }
        KeyStatus {
            in_force: live.is_some(),
            key,
        }
    }
}

fn check(wish: &KeyWish, mode: KeyMode, now: Timestamp) -> Result<(), Error> {
    let invalid = |words: String| Err(Error::Invalid(words));
    if mode == KeyMode::PerUser && wish.owner.user().is_none() {
        return Err(Error::Conflict(format!(
            "`gateway.mode` is per-user: keys are for participants, and `{}` is a group",
            wish.owner
        )));
    }
    if wish.expires_at.is_some_and(|end| end <= now) {
        return invalid("a key cannot end before it begins".to_owned());
    }
    let is_name = |model: &ModelName| {
        (1..=MODEL_LEN_MAX).contains(&model.as_str().len())
            && !model.as_str().contains(char::is_control)
    };
    if wish.models.len() > MODELS_MAX || !wish.models.iter().all(is_name) {
        return invalid(format!(
            "at most {MODELS_MAX} models can be named, each with 1 to {MODEL_LEN_MAX} bytes"
        ));
    }
    if wish.note.chars().count() > NOTE_CHARS_MAX || wish.note.contains(char::is_control) {
        return invalid(format!(
            "a note is one line of at most {NOTE_CHARS_MAX} characters"
        ));
    }
    Ok(())
}

fn has_room(tx: &Change, owner: &Owner) -> Result<(), Error> {
    let (what, is_there) = match owner {
        Owner::User(user) => ("participant", tx.get::<User>(&user.to_string())?.is_some()),
        Owner::Group(group) => ("group", tx.get::<Group>(group.as_str())?.is_some()),
    };
    if !is_there {
        let name = owner.to_string();
        return Err(Error::Missing { what, name });
    }
    let all = tx.all::<Key>()?.into_iter();
    let have = all.filter(|(_, key)| key.owner == *owner && key.holder == Holder::Person);
    if have.count() >= KEYS_PER_OWNER_MAX {
        return Err(Error::Conflict(format!(
            "{owner} has {KEYS_PER_OWNER_MAX} keys already: revoke one that nobody needs"
        )));
    }
    Ok(())
}

/// What was good without an end gets one, and what had one keeps it. No more than
/// [`SECRETS_MAX`] stay.
fn rotate(key: &mut Key, hash: [u8; 32], now: Timestamp, grace: SignedDuration) {
    let end = now.saturating_add(grace).unwrap_or(Timestamp::MAX);
    for old in &mut key.secrets {
        old.until = Some(old.until.map_or(end, |until| until.min(end)));
    }
    key.secrets
        .retain(|old| old.until.is_some_and(|until| until > now));
    key.secrets.insert(0, KeySecret { hash, until: None });
    key.secrets.truncate(SECRETS_MAX);
}

/// A container's key is derived from what the container is, so it changes and ends with it.
fn is_a_person_s(key: &Key) -> Result<(), Error> {
    if key.holder == Holder::Person {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "key {} belongs to the container of {owner}: disable it, or give the container another one with `thon instances recreate {owner}`",
        key.id,
        owner = key.owner
    )))
}

fn missing(id: &KeyId) -> Error {
    Error::Missing {
        what: "key",
        name: id.to_string(),
    }
}
