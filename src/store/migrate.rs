//! Brings a store to the current schema; one function per step.

use redb::{Database, ReadableTable as _, WriteTransaction};

use crate::domain::secret::Secret;
use crate::store::schema::{AUDIT, META, TABLES, VERSION};
use crate::store::{Identity, StoreError};

/// Makes a new store or migrates an older one, in one transaction, and says whose it is.
pub(super) fn to_current(
    db: &Database,
    fresh: impl FnOnce() -> Identity,
) -> Result<Identity, StoreError> {
    let tx = db.begin_write().map_err(StoreError::failed)?;
    match version(&tx)? {
        None => introduce(&tx, &fresh())?,
        Some(VERSION) => {}
        Some(newer) if newer > VERSION => {
            return Err(StoreError::Refused(format!(
                "the store has schema {newer}, and this version knows {VERSION}: start the version that wrote it, or a later one"
            )));
        }
        Some(older) => {
            return Err(StoreError::Refused(format!(
                "the store has schema {older}, which never was"
            )));
        }
    }
    // Reading a table that nobody made is an error in redb, so all of them are made here.
    for table in TABLES {
        tx.open_table(*table).map_err(StoreError::failed)?;
    }
    tx.open_table(AUDIT).map_err(StoreError::failed)?;
    set(&tx, "schema", &VERSION.to_string())?;
    let identity = identity(&tx)?;
    tx.commit().map_err(StoreError::failed)?;
    Ok(identity)
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

fn version(tx: &WriteTransaction) -> Result<Option<u32>, StoreError> {
    get(tx, "schema")?
        .map(|text| {
            text.parse().map_err(|_| {
                StoreError::Refused(format!(
                    "the store's schema is `{text}`, which is no number"
                ))
            })
        })
        .transpose()
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

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;

    #[test]
    fn a_newer_store_is_refused_with_a_sentence() {
        let db = Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .unwrap();
        let id = || Identity {
            appliance: "0123456789abcdef".parse().unwrap(),
            editor_key: Secret::new("key"),
        };
        to_current(&db, id).unwrap();
        let tx = db.begin_write().unwrap();
        set(&tx, "schema", "99").unwrap();
        tx.commit().unwrap();
        let error = to_current(&db, id).unwrap_err();
        assert!(error.to_string().contains("schema 99"), "{error}");
    }
}
