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
use crate::store::{Change, Store, StoreError};

/// What is to be written down.
#[derive(Debug, Default, PartialEq, Eq)]
struct Due {
    mint: Vec<Instance>,
    revoke: Vec<KeyId>,
}

/// Pure: which containers lack a key, and which keys lack a container.
fn due(instances: &[impl Borrow<Instance>], keys: &[impl Borrow<Key>], is_enabled: bool) -> Due {
    let mut due = Due::default();
    let present: HashMap<&InstanceId, &Instance> = instances
        .iter()
        .map(Borrow::borrow)
        .map(|instance| (&instance.id, instance))
        .collect();
    let mut lacking = present.clone();
    lacking.retain(|_, instance| is_enabled && instance.desired != Desired::Removed);
    for key in keys.iter().map(Borrow::borrow) {
        let Holder::Instance { instance, .. } = &key.holder else {
            continue;
        };
        let is_present = present
            .get(instance)
            .filter(|present| key.owner.user() == Some(&present.owner))
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
        let store_key = self.store.identity().editor_key.clone();
        self.blocking(move |store| settle(store, due, &store_key, Timestamp::now()))
            .await
    }

    /// The key of this generation's container, in full.
    pub(in crate::control) fn container_key(&self, instance: &Instance) -> Secret {
        let store_key = &self.store.identity().editor_key;
        auth::of_instance(store_key, &instance.id, instance.generation)
    }
}

/// A key that cannot be read stays as it is: it lacks for good, and must neither keep the disk busy nor
/// anybody else from theirs.
fn settle(store: &Store, mut due: Due, store_key: &Secret, now: Timestamp) -> Result<(), Error> {
    let view = store.view()?;
    due.mint.retain(|instance| {
        let id = auth::id_of(store_key, &instance.id, instance.generation);
        let found = view.get::<Key>(id.as_str());
        !matches!(found, Err(StoreError::Unreadable { .. }))
    });
    if due == Due::default() {
        return Ok(());
    }
    let what = format!("{} made, {} revoked", due.mint.len(), due.revoke.len());
    let entry = AuditEntry::done(now, Actor::Appliance, "key.settle", what);
    store.change(&entry, |tx| {
        for id in &due.revoke {
            tx.remove::<Key>(id.as_str())?;
        }
        for instance in &due.mint {
            mint(tx, instance, store_key, now)?;
        }
        Ok(())
    })
}

/// The instance may have moved on since: then the next look makes the key of the generation that it
/// has, and takes this one away.
fn mint(
    tx: &Change,
    instance: &Instance,
    store_key: &Secret,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = auth::id_of(store_key, &instance.id, instance.generation);
    if tx.get::<Key>(id.as_str())?.is_some() {
        return Ok(());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instance::{Access, Observed};

    fn instance(generation: u64, desired: Desired) -> Instance {
        Instance {
            id: "00000000000000aa".parse().unwrap(),
            owner: "red/alice".parse().unwrap(),
            desired,
            restart: false,
            access: Access::Owner,
            image: "i".into(),
            workspace: "00000000000000bb".parse().unwrap(),
            address: "10.0.0.2".parse().unwrap(),
            generation,
            observed: Observed::pending(Timestamp::UNIX_EPOCH),
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn key(generation: u64) -> Key {
        Key {
            id: KeyId::from_bits(generation),
            owner: Owner::User("red/alice".parse().unwrap()),
            holder: Holder::Instance {
                instance: "00000000000000aa".parse().unwrap(),
                generation,
                address: "10.0.0.2".parse().unwrap(),
            },
            secrets: Vec::new(),
            models: Vec::new(),
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
            disabled: false,
            last_used_at: None,
            note: String::new(),
        }
    }

    #[test]
    fn every_instance_has_the_key_of_its_generation_and_nothing_else_has_one() {
        use Desired::{Removed, Running, Stopped};
        let [one, two] = [1, 2].map(KeyId::from_bits);
        // Is it enabled; the instance; keys there; to make; to revoke.
        let table = [
            (true, Some((1, Running)), vec![], 1, vec![]),
            (true, Some((1, Stopped)), vec![], 1, vec![]),
            (true, Some((1, Running)), vec![1], 0, vec![]),
            (true, Some((2, Running)), vec![1], 1, vec![one.clone()]),
            (true, Some((2, Running)), vec![1, 2], 0, vec![one.clone()]),
            (true, Some((1, Running)), vec![2], 1, vec![two]),
            (true, Some((1, Removed)), vec![], 0, vec![]),
            (true, Some((1, Removed)), vec![1], 0, vec![]),
            (true, None, vec![1], 0, vec![one.clone()]),
            (false, Some((1, Running)), vec![], 0, vec![]),
            (false, Some((1, Running)), vec![1], 0, vec![one]),
        ];
        for (is_enabled, there, keys, mint, revoke) in table {
            let case = format!("{is_enabled} {there:?} {keys:?}");
            let instances: Vec<Instance> = there
                .map(|(generation, desired)| instance(generation, desired))
                .into_iter()
                .collect();
            let keys: Vec<Key> = keys.into_iter().map(key).collect();
            let due = due(&instances, &keys, is_enabled);
            assert_eq!((due.mint.len(), due.revoke), (mint, revoke), "{case}");
        }
    }

    #[test]
    fn a_key_of_somebody_else_s_container_and_people_s_keys_are_told_apart() {
        let present = [instance(1, Desired::Running)];
        let moved = Key {
            owner: Owner::User("red/bob".parse().unwrap()),
            ..key(1)
        };
        let due_of = |key| due(&present, &[key], true);
        assert_eq!(due_of(moved).revoke.len(), 1);
        let person_s = Key {
            holder: Holder::Person,
            ..key(1)
        };
        let due = due_of(person_s);
        assert_eq!((due.mint.len(), due.revoke.len()), (1, 0));
    }
}
