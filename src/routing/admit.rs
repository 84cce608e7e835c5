//! Whether a key is good for a request, as far as the key alone can say.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::id::KeyId;
use crate::domain::key::{Credential, Holder};
use crate::routing::{LiveKey, Table};

/// Whoever does not know the secret learns nothing but `Unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    Unknown,
    Disabled,
    Expired,
    /// A container's key, shown from another address than the container's: worth an audit entry.
    Elsewhere {
        id: KeyId,
    },
}

/// The key behind a credential; it counts as used. `peer` is the address that the connection comes
/// from, never what a header says.
pub fn admit(
    table: &Table,
    shown: &Credential,
    peer: Option<IpAddr>,
    now: Timestamp,
) -> Result<Arc<LiveKey>, KeyRefusal> {
    let live = table
        .key(&shown.id)
        .filter(|live| live.key.is_opened_by(&shown.hash, now))
        .ok_or(KeyRefusal::Unknown)?;
    if !is_at_home(&live.key.holder, peer) {
        let id = live.key.id.clone();
        return Err(KeyRefusal::Elsewhere { id });
    }
    if live.key.disabled {
        return Err(KeyRefusal::Disabled);
    }
    if live.key.has_expired(now) {
        return Err(KeyRefusal::Expired);
    }
    live.touch(now);
    Ok(Arc::clone(live))
}

/// That the container is the present one follows from the table: it has the key of no other.
fn is_at_home(holder: &Holder, peer: Option<IpAddr>) -> bool {
    match holder {
        Holder::Person => true,
        Holder::Instance { address, .. } => {
            peer.is_some_and(|peer| peer.to_canonical() == *address)
        }
    }
}
