//! Which instance has which address: leased with its record, and given back with it.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use jiff::Timestamp;

use crate::control::Error;
use crate::domain::address::{Lease, Pool, Released, is_resting};
use crate::domain::instance::Instance;
use crate::domain::network::Subnet;
use crate::store::{Change, StoreError};

/// What can be leased. `strangers` are addresses of containers that no record knows.
pub(super) fn pool(
    tx: &Change,
    subnet: Subnet,
    strangers: HashSet<Ipv4Addr>,
    now: Timestamp,
) -> Result<Pool, StoreError> {
    let mut taken = strangers;
    taken.extend(addresses(&tx.keys::<Lease>()?));
    // One that cannot be read rests for good: nobody knows since when.
    taken.extend(addresses(&tx.keys::<Released>()?));
    for (key, entry) in tx.all::<Released>()? {
        if !is_resting(&entry, now) {
            tx.remove::<Released>(&key)?;
            if tx.get::<Lease>(&key)?.is_none() {
                taken.remove(&entry.address);
            }
        }
    }
    Ok(Pool::new(subnet, taken))
}

fn addresses(keys: &[String]) -> impl Iterator<Item = Ipv4Addr> {
    keys.iter().filter_map(|key| key.parse().ok())
}

pub(super) fn full(subnet: Subnet) -> Error {
    Error::Conflict(format!(
        "the network {subnet} is full: give sandbox.subnet more room"
    ))
}

pub(super) fn hold(tx: &Change, instance: &Instance) -> Result<(), StoreError> {
    let lease = Lease {
        address: instance.address,
        owner: instance.owner.clone(),
        instance: Some(instance.id.clone()),
    };
    tx.put(&instance.address.to_string(), &lease)
}

/// The address rests before somebody else gets it.
pub(super) fn release(tx: &Change, instance: &Instance, now: Timestamp) -> Result<(), StoreError> {
    let key = instance.address.to_string();
    tx.remove::<Lease>(&key)?;
    let released = Released {
        address: instance.address,
        at: now,
    };
    tx.put(&key, &released)
}

/// Another address, in the range of today.
pub(super) fn exchange(
    tx: &Change,
    instance: &mut Instance,
    subnet: Subnet,
    strangers: HashSet<Ipv4Addr>,
    now: Timestamp,
) -> Result<(), Error> {
    let address = pool(tx, subnet, strangers, now)?.pick();
    let address = address.ok_or_else(|| full(subnet))?;
    release(tx, instance, now)?;
    instance.address = address;
    Ok(hold(tx, instance)?)
}
