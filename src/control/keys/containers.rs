//! Keys of containers: every instance has one for its present generation, and nothing else has.
//!
//! They are brought into line by the one loop, before it acts: whatever was interrupted, the next look
//! finds what is missing and what is left over.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::auth::{key as auth, token};
use crate::control::publish::holds;
use crate::control::{Control, Error};
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::id::{InstanceId, KeyId};
use crate::domain::instance::{Desired, Instance};
use crate::domain::key::{Holder, Key, KeySecret, Owner};
use crate::domain::secret::Secret;
use crate::store::{Change, StoreError};

/// What is to be written down.
#[derive(Debug, Default, PartialEq, Eq)]
struct Due {
    mint: Vec<Instance>,
    revoke: Vec<KeyId>,
}

/// Pure: which containers lack a key, and which keys lack a container.
fn due(instances: &[impl Borrow<Instance>], keys: &[Key], is_enabled: bool) -> Due {
    let mut due = Due::default();
    let present: HashMap<&InstanceId, &Instance> = instances
        .iter()
        .map(Borrow::borrow)
        .map(|instance| (&instance.id, instance))
        .collect();
    let mut lacking = present.clone();
    lacking.retain(|_, instance| is_enabled && instance.desired != Desired::Removed);
    for key in keys {
        let Holder::Instance { instance, .. } = &key.holder else {
            continue;
        };
        let is_present = present
            .get(instance)
            .is_some_and(|present| holds(present, &key.holder));
        if is_present && is_enabled {
            lacking.remove(instance);
        } else {
            due.revoke.push(key.id.clone());
        }
    }
    due.mint = lacking.into_values().cloned().collect();
    due
}

impl Control {
    /// Before anything is done with containers. The key itself is derived, so one that is put into a
    /// container is the one whose hash is written here, whichever comes first.
    pub(in crate::control) async fn settle_keys(&self) -> Result<(), Error> {
        let is_enabled = self.settings.agents.is_some();
        let due = due(
            &self.publisher.instances(),
            &self.publisher.keys(),
            is_enabled,
        );
        if due == Due::default() {
            return Ok(());
        }
        let now = Timestamp::now();
        let store_key = self.store.identity().editor_key.clone();
        self.blocking(move |store| {
            let what = format!("{} made, {} revoked", due.mint.len(), due.revoke.len());
            let entry = AuditEntry::done(now, Actor::Appliance, "key.settle", what);
            store.change(&entry, |tx| {
                for instance in &due.mint {
                    mint(tx, instance, &store_key, now)?;
                }
                for id in &due.revoke {
                    tx.remove::<Key>(id.as_str())?;
                }
                Ok(())
            })
        })
        .await
    }

    /// The key of this generation's container, in full.
    pub(in crate::control) fn container_key(&self, instance: &Instance) -> Secret {
        let store_key = &self.store.identity().editor_key;
        auth::of_instance(store_key, &instance.id, instance.generation)
    }
}

/// The instance may have moved on since: then the next look makes the key of the generation that it
/// has. What cannot be read stays as it is, and keeps nobody else from theirs.
fn mint(
    tx: &Change,
    instance: &Instance,
    store_key: &Secret,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = auth::id_of(store_key, &instance.id, instance.generation);
    match tx.get::<Key>(id.as_str()) {
        Ok(None) => {}
        Ok(Some(_)) | Err(StoreError::Unreadable { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    let key = auth::of_instance(store_key, &instance.id, instance.generation);
    let secret = KeySecret {
        hash: token::hash(key.expose()),
        until: None,
    };
    let key = Key {
        id,
        owner: Owner::User(instance.owner.clone()),
        holder: Holder::Instance {
            instance: instance.id.clone(),
            generation: instance.generation,
            address: IpAddr::V4(instance.address),
        },
        secrets: vec![secret],
        models: Vec::new(),
        created_at: now,
        expires_at: None,
        disabled: false,
        last_used_at: None,
        note: String::new(),
    };
    tx.put(key.id.as_str(), &key)
}
