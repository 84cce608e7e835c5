//! Brings a store to the current schema; one function per step.

use redb::{Database, ReadableTable as _, WriteTransaction};

use crate::domain::id::ApplianceId;
use crate::store::StoreError;
use crate::store::schema::{AUDIT, META, TABLES, VERSION};

/// Makes a new store or migrates an older one, in one transaction, and says whose it is.
pub(super) fn to_current(
    db: &Database,
    fresh_id: impl FnOnce() -> ApplianceId,
) -> Result<ApplianceId, StoreError> {
    let tx = db.begin_write().map_err(StoreError::failed)?;
    match version(&tx)? {
        None => set(&tx, "appliance", fresh_id().as_str())?,
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
    let appliance = get(&tx, "appliance")?
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| StoreError::Refused("the store does not say whose it is".to_owned()))?;
    tx.commit().map_err(StoreError::failed)?;
    Ok(appliance)
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
        let id = || "0123456789abcdef".parse().unwrap();
        to_current(&db, id).unwrap();
        let tx = db.begin_write().unwrap();
        set(&tx, "schema", "99").unwrap();
        tx.commit().unwrap();
        let error = to_current(&db, id).unwrap_err();
        assert!(error.to_string().contains("schema 99"), "{error}");
    }
}
