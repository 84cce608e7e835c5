//! Every table, its key and value types, and the schema version.
//!
//! Values are JSON with named fields, so that a migration can read what an older version wrote.

use redb::TableDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::address::{Lease, Released};
use crate::domain::instance::Instance;
use crate::domain::invite::Invite;
use crate::domain::key::Key;
use crate::domain::session::Session;
use crate::domain::set_limits::SetLimits;
use crate::domain::user::{Group, User};
use crate::domain::workspace::{Owned, Workspace};
use crate::store::{StoreError, View};

/// Raised with every change that an older version could not read.
pub const VERSION: u32 = 3;

type Rows = TableDefinition<'static, &'static str, &'static [u8]>;

/// `schema` (the version, decimal), `appliance` (its id), `editor_key`.
pub(super) const META: TableDefinition<'static, &'static str, &'static str> =
    TableDefinition::new("meta");

/// Audit entries by number.
pub(super) const AUDIT: TableDefinition<'static, u64, &'static [u8]> =
    TableDefinition::new(AUDIT_NAME);

/// Requests to the language model, by microseconds since 1970; since 3. It may have a million rows:
/// nobody reads all of them at once.
pub(super) const REQUESTS: TableDefinition<'static, u64, &'static [u8]> =
    TableDefinition::new("usage_requests");

/// Sums of a minute or a day since 1970, by its number, `group/user` or the group, and model; since 3.
pub(super) type Tallied = TableDefinition<'static, TalliedKey, &'static [u8]>;
pub(super) type TalliedKey = (u32, &'static str, &'static str);

pub(super) const MINUTES: Tallied = TableDefinition::new("usage_minutes");
pub(super) const DAYS: Tallied = TableDefinition::new("usage_days");

/// `batch` (the last one that was added to the usage), `balances` (the limiter's own text); since 3.
pub(super) const USAGE: TableDefinition<'static, &'static str, &'static str> =
    TableDefinition::new("usage");

/// What a table holds.
pub trait Record: Serialize + DeserializeOwned {
    const TABLE: Rows;
    const NAME: &'static str;
}

/// One entry of the audit log has no type of its own here; its table has a name all the same.
pub(super) const AUDIT_NAME: &str = "audit";

macro_rules! records {
    ($($(#[$doc:meta])* $record:ty => $name:literal;)*) => {
        $(impl Record for $record {
            const TABLE: Rows = TableDefinition::new($name);
            const NAME: &'static str = $name;
        })*

        pub(super) const TABLES: &[Rows] = &[$(<$record as Record>::TABLE),*];

        /// Reads everything once: what cannot be read is known from the start.
        pub(super) fn read_all(view: &View) -> Result<(), StoreError> {
            $(view.all::<$record>()?;)*
            Ok(())
        }
    };
}

records! {
    // By name.
    Group => "groups";
    // By `group/user`.
    User => "users";
    // By `group/user`: the key itself keeps a user from having two.
    Instance => "instances";
    // By id.
    Workspace => "workspaces";
    // By the hexadecimal hash of the code.
    Invite => "invites";
    // By the hexadecimal hash of the token.
    Session => "sessions";
    // By address.
    Released => "released_addresses";
    // By address; since 2. An address stays leased although its instance's record cannot be read.
    Lease => "leases";
    // By `group/user`; since 2. Whoever has a workspace gets no other one, although its record
    // cannot be read.
    Owned => "workspace_owners";
    // By id; since 3. What an older version does not know, it would not revoke.
    Key => "keys";
    // One, under `limits`; since 3.
    SetLimits => "set_limits";
}
