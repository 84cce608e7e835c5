//! Which keys are in force: records of keys, of instances and of participants to what the table gets.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{KeyRules, Records, keys_of, readable};
use crate::config::KeyMode;
use crate::domain::id::{GroupName, InstanceId, KeyId, UserName, UserRef};
use crate::domain::instance::Instance;
use crate::domain::key::{Holder, Key, Owner};
use crate::domain::user::User;
use crate::store::schema::Record as _;
use crate::store::{StoreError, Touched, View};

/// Every key that can be read, and who takes part.
#[derive(Default)]
pub(super) struct KeyRecords {
    keys: HashMap<KeyId, Arc<Key>>,
    of_instance: HashMap<InstanceId, HashSet<KeyId>>,
    members: HashMap<GroupName, HashSet<UserName>>,
}

impl KeyRecords {
    pub(super) fn read(view: &View, rules: &KeyRules) -> Result<Self, StoreError> {
        let mut all = Self::default();
        for (name, user) in view.all::<User>()? {
            all.put_user(&name, Some(&user), rules);
        }
        for (_, key) in view.all::<Key>()? {
            all.put(key);
        }
        Ok(all)
    }

    /// Reads what was touched again, and says which keys may be in force or out of it by now.
    pub(super) fn read_again(
        &mut self,
        view: &View,
        touched: &Touched,
        rules: &KeyRules,
    ) -> Result<HashSet<KeyId>, StoreError> {
        let mut affected = HashSet::new();
        for id in keys_of(touched, Key::NAME) {
            let Ok(id) = id.parse::<KeyId>() else {
                continue;
            };
            self.remove(&id);
            if let Some(key) = readable(view.get::<Key>(id.as_str()))? {
                self.put(key);
            }
            affected.insert(id);
        }
        let mut groups = HashSet::new();
        for name in keys_of(touched, User::NAME) {
            let user = readable(view.get::<User>(&name))?;
            groups.extend(self.put_user(&name, user.as_ref(), rules));
        }
        if !groups.is_empty() {
            let theirs = self.keys.values();
            let theirs = theirs.filter(|key| groups.contains(key.owner.group()));
            affected.extend(theirs.map(|key| key.id.clone()));
        }
        Ok(affected)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.values()
    }

    pub(super) fn of(&self, instance: &InstanceId) -> impl Iterator<Item = &KeyId> {
        self.of_instance.get(instance).into_iter().flatten()
    }

    fn put(&mut self, key: Key) {
        if let Holder::Instance { instance, .. } = &key.holder {
            let of_instance = self.of_instance.entry(instance.clone()).or_default();
            of_instance.insert(key.id.clone());
        }
        self.keys.insert(key.id.clone(), Arc::new(key));
    }

    fn remove(&mut self, id: &KeyId) {
        let gone = self.keys.remove(id);
        let Some(Holder::Instance { instance, .. }) = gone.as_ref().map(|key| &key.holder) else {
            return;
        };
        if let Some(of_instance) = self.of_instance.get_mut(instance) {
            of_instance.remove(id);
            if of_instance.is_empty() {
                self.of_instance.remove(instance);
            }
        }
    }

    /// The group, if it has another number of participants now.
    fn put_user(&mut self, name: &str, user: Option<&User>, rules: &KeyRules) -> Option<GroupName> {
        let UserRef { group, user: name } = name.parse().ok()?;
        let takes_part = user.is_some_and(|user| rules.takes_part(user));
        let members = self.members.entry(group.clone()).or_default();
        let is_news = if takes_part {
            members.insert(name)
        } else {
            members.remove(&name)
        };
        is_news.then_some(group)
    }

    fn members(&self, owner: &Owner) -> Option<u32> {
        let members = self.members.get(owner.group())?;
        let takes_part = match owner {
            Owner::User(user) => members.contains(&user.user),
            Owner::Group(_) => !members.is_empty(),
        };
        takes_part.then(|| u32::try_from(members.len()).unwrap_or(u32::MAX))
    }
}

impl Records {
    /// The key with the participants of its group, if anybody may use it as things are. A container's
    /// key is in force for the present generation only, so it ends in the moment in which another one is
    /// wanted, whatever became of the container.
    pub(super) fn in_force(&self, id: &KeyId, rules: &KeyRules) -> Option<(Key, u32)> {
        let key = self.keys.keys.get(id)?;
        let counts = match (&key.owner, &key.holder) {
            (Owner::Group(_), _) => rules.mode == KeyMode::PerGroup,
            (Owner::User(_), Holder::Person) => true,
            (Owner::User(user), Holder::Instance { .. }) => {
                let instance = self.instances.get(&user.to_string());
                rules.containers && instance.is_some_and(|instance| holds(instance, &key.holder))
            }
        };
        let members = self.keys.members(&key.owner).filter(|_| counts)?;
        Some((Key::clone(key), members))
    }
}

/// Is this the present container of this instance?
pub(in crate::control) fn holds(present: &Instance, holder: &Holder) -> bool {
    match holder {
        Holder::Person => false,
        Holder::Instance {
            instance,
            generation,
            address,
        } => {
            *instance == present.id
                && *generation == present.generation
                && *address == IpAddr::V4(present.address)
        }
    }
}
