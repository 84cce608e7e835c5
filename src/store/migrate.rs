//! Brings a store to the current schema; one function per step.

use std::net::Ipv4Addr;

use redb::{Database, ReadableTable as _, TableDefinition, WriteTransaction};

use crate::domain::address::Lease;
use crate::domain::id::{UserRef, WorkspaceId};
use crate::domain::secret::Secret;
use crate::domain::workspace::Owned;
use crate::store::schema::{AUDIT, DAYS, META, MINUTES, REQUESTS, Record, TABLES, USAGE, VERSION};
use crate::store::{Identity, StoreError};

/// Makes a new store or migrates an older one, in one transaction, and says whose it is.
pub(super) fn to_current(
    db: &Database,
    fresh: impl FnOnce() -> Result<Identity, StoreError>,
) -> Result<Identity, StoreError> {
    let tx = db.begin_write().map_err(StoreError::failed)?;
    let found = get(&tx, "schema")?;
    let found = found.as_deref().map(number).transpose()?;
    let found = found.map(known).transpose()?;
    // Reading a table that nobody made is an error in redb, so all of them are made here.
    for table in TABLES {
        tx.open_table(*table).map_err(StoreError::failed)?;
    }
    tx.open_table(AUDIT).map_err(StoreError::failed)?;
    tx.open_table(REQUESTS).map_err(StoreError::failed)?;
    for table in [MINUTES, DAYS] {
        tx.open_table(table).map_err(StoreError::failed)?;
    }
    tx.open_table(USAGE).map_err(StoreError::failed)?;
    match found {
        None => introduce(&tx, &fresh()?)?,
        Some(1) => from_1(&tx)?,
        // Since 3 there are more tables, and nothing is derived for them.
        Some(_) => {}
    }
    if found != Some(VERSION) {
        set(&tx, "schema", &VERSION.to_string())?;
    }
    let identity = identity(&tx)?;
    tx.commit().map_err(StoreError::failed)?;
    Ok(identity)
}

/// The number of a schema, whether this version knows it or not.
pub(super) fn number(text: &str) -> Result<u32, StoreError> {
    match text.parse() {
        Ok(0) => Err(StoreError::Refused(
            "the store has schema 0, which never was".to_owned(),
        )),
        Ok(version) => Ok(version),
        Err(_) => Err(StoreError::Refused(format!(
            "the store's schema is `{text}`, which is no number"
        ))),
    }
}

pub(super) fn known(version: u32) -> Result<u32, StoreError> {
    if version > VERSION {
        return Err(StoreError::Refused(format!(
            "the store has schema {version}, and this version knows {VERSION}: start the version that wrote it, or a later one"
        )));
    }
    Ok(version)
}

/// Leases and owners become records of their own. What stands in a record that cannot be read is
/// looked for in its bytes: an address that is in use must not be given to somebody else.
fn from_1(tx: &WriteTransaction) -> Result<(), StoreError> {
    for (key, bytes) in rows(tx, "instances")? {
        let address = text_of(&bytes, "address").and_then(|text| text.parse::<Ipv4Addr>().ok());
        let (Ok(owner), Some(address)) = (key.parse::<UserRef>(), address) else {
            tracing::error!(
                store.key = key,
                "the address of an instance cannot be read from its record"
            );
            continue;
        };
        let instance = text_of(&bytes, "id").and_then(|text| text.parse().ok());
        let lease = Lease {
            address,
            owner,
            instance,
        };
        put(tx, &address.to_string(), &lease)?;
    }
    for (key, bytes) in rows(tx, "workspaces")? {
        let owner = text_of(&bytes, "owner").and_then(|text| text.parse::<UserRef>().ok());
        let (Ok(workspace), Some(owner)) = (key.parse::<WorkspaceId>(), owner) else {
            tracing::error!(
                store.key = key,
                "the owner of a workspace cannot be read from its record"
            );
            continue;
        };
        put(tx, &owner.to_string(), &Owned { workspace })?;
    }
    Ok(())
}

/// The text of a field, the first time that its name stands anywhere.
fn text_of(bytes: &[u8], field: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let (_, rest) = text.split_once(&format!("\"{field}\":\""))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

fn rows(tx: &WriteTransaction, table: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let table: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(table);
    let table = tx.open_table(table).map_err(StoreError::failed)?;
    let rows = table.iter().map_err(StoreError::failed)?;
    rows.map(|row| {
        let (key, value) = row.map_err(StoreError::failed)?;
        Ok((key.value().to_owned(), value.value().to_owned()))
    })
    .collect()
}

fn put<R: Record>(tx: &WriteTransaction, key: &str, record: &R) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(record).map_err(StoreError::failed)?;
    let mut table = tx.open_table(R::TABLE).map_err(StoreError::failed)?;
    table
        .insert(key, bytes.as_slice())
        .map_err(StoreError::failed)?;
    Ok(())
}

fn introduce(tx: &WriteTransaction, identity: &Identity) -> Result<(), StoreError> {
    set(tx, "appliance", identity.appliance.as_str())?;
    set(tx, "editor_key", identity.editor_key.expose())
}

fn identity(tx: &WriteTransaction) -> Result<Identity, StoreError> {
    let missing = || StoreError::Refused("the store does not say whose it is".to_owned());
    let appliance = get(tx, "appliance")?.and_then(|id| id.parse().ok());
    let editor_key = get(tx, "editor_key")?.map(Secret::new);
    Ok(Identity {
        appliance: appliance.ok_or_else(missing)?,
        editor_key: editor_key.ok_or_else(missing)?,
    })
}

fn get(tx: &WriteTransaction, key: &str) -> Result<Option<String>, StoreError> {
    let table = tx.open_table(META).map_err(StoreError::failed)?;
    let value = table.get(key).map_err(StoreError::failed)?;
    Ok(value.map(|value| value.value().to_owned()))
}

fn set(tx: &WriteTransaction, key: &str, value: &str) -> Result<(), StoreError> {
    let mut table = tx.open_table(META).map_err(StoreError::failed)?;
    table.insert(key, value).map_err(StoreError::failed)?;
    Ok(())
}
