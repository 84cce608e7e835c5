//! Files of other versions: an older one is brought up to date with a copy kept, a newer or damaged
//! one is refused and not touched.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use redb::{Database, TableDefinition, TableHandle as _};
use thon::domain::address::Lease;
use thon::domain::instance::Instance;
use thon::domain::key::Key;
use thon::domain::workspace::{Owned, Workspace};
use thon::store::{Store, StoreError};

use super::records::assert_whole;
use crate::support::disk::Disk;
use crate::support::world::identity;

/// As version 1 wrote it, letter for letter.
const VERSION_1: &[(&str, &str, &str)] = &[
    (
        "groups",
        "red",
        r#"{"name":"red","title":null,"created_at":"2026-11-01T08:00:00Z"}"#,
    ),
    (
        "users",
        "red/alice",
        r#"{"name":"red/alice","email":null,"source":"file","created_at":"2026-11-01T08:00:00Z"}"#,
    ),
    (
        "instances",
        "red/alice",
        r#"{"id":"00000000000000a1","owner":"red/alice","desired":"running","restart":false,"access":"owner","image":"thon-sandbox:latest","workspace":"00000000000000b1","address":"10.201.0.2","generation":3,"observed":{"phase":"ready","container":"c3","endpoint":"10.201.0.2:8443","reason":null,"failures":0,"since":"2026-11-01T09:00:00Z"},"created_at":"2026-11-01T08:00:00Z"}"#,
    ),
    (
        "workspaces",
        "00000000000000b1",
        r#"{"id":"00000000000000b1","owner":"red/alice","files":{"kind":"volume","name":"thon-workspace-red-alice","workspace":"00000000000000b1"},"home":{"kind":"volume","name":"thon-home-red-alice","workspace":"00000000000000b1"},"created_at":"2026-11-01T08:00:00Z"}"#,
    ),
    (
        "invites",
        "aa",
        r#"{"id":"00000000000000c1","user":"red/alice","created_at":"2026-11-01T08:00:00Z","last_used_at":null}"#,
    ),
    (
        "sessions",
        "bb",
        r#"{"id":"00000000000000d1","user":"red/alice","invite":"00000000000000c1","created_at":"2026-11-01T08:00:00Z","last_seen_at":"2026-11-01T09:00:00Z","agent":"a browser"}"#,
    ),
    (
        "released_addresses",
        "10.201.0.9",
        r#"{"address":"10.201.0.9","at":"2026-11-01T08:00:00Z"}"#,
    ),
];

/// What version 2 wrote besides.
const VERSION_2: &[(&str, &str, &str)] = &[
    (
        "leases",
        "10.201.0.2",
        r#"{"address":"10.201.0.2","owner":"red/alice","instance":"00000000000000a1"}"#,
    ),
    (
        "workspace_owners",
        "red/alice",
        r#"{"workspace":"00000000000000b1"}"#,
    ),
];

const AUDITED: &str = r#"{"at":"2026-11-01T08:00:00Z","actor":{"kind":"control"},"action":"launch","target":"1 users","result":"done"}"#;

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");

fn write(db: &Database, schema: &str) {
    let tx = db.begin_write().unwrap();
    {
        let mut meta = tx.open_table(META).unwrap();
        meta.insert("schema", schema).unwrap();
        meta.insert("appliance", "00000000000000ff").unwrap();
        meta.insert("editor_key", "the old key").unwrap();
        let later = if schema == "1" { &[] } else { VERSION_2 };
        for (table, key, json) in VERSION_1.iter().chain(later) {
            let table: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(table);
            let mut table = tx.open_table(table).unwrap();
            table.insert(key, json.as_bytes()).unwrap();
        }
        let audit: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
        let mut audit = tx.open_table(audit).unwrap();
        audit.insert(1, AUDITED.as_bytes()).unwrap();
    }
    tx.commit().unwrap();
}

fn version_1() -> Disk {
    of_version("1")
}

fn of_version(schema: &str) -> Disk {
    let disk = Disk::default();
    let db = Database::builder().create_with_backend(disk.clone());
    write(&db.unwrap(), schema);
    disk
}

fn assert_everything_is_there(store: &Store) {
    assert_eq!(store.identity().editor_key.expose(), "the old key");
    let view = store.view().unwrap();
    let alice = view.get::<Instance>("red/alice").unwrap().unwrap();
    assert_eq!(alice.generation, 3);
    let lease = view.get::<Lease>("10.201.0.2").unwrap().unwrap();
    assert_eq!(
        (&lease.owner, &lease.instance),
        (&alice.owner, &Some(alice.id))
    );
    let owned = view.get::<Owned>("red/alice").unwrap().unwrap();
    assert_eq!(owned.workspace, alice.workspace);
    assert!(
        view.get::<Workspace>(owned.workspace.as_str())
            .unwrap()
            .is_some()
    );
    assert_eq!(view.audit(9).unwrap().len(), 1);
    assert_eq!(store.unreadable(), []);
    assert_whole(store);
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(path, || unreachable!("it is not a new one"))
}

#[test]
fn a_store_of_version_1_opens_with_everything_in_it_and_a_copy_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thon.redb");
    let before = version_1().image();
    fs::write(&path, &before).unwrap();
    // Somebody was killed in the middle of the copy before.
    fs::write(dir.path().join("thon.redb.v1.part"), "half").unwrap();
    assert_everything_is_there(&open(&path).unwrap());
    let copy = dir.path().join("thon.redb.v1");
    assert_eq!(fs::read(&copy).unwrap(), before);
    assert_eq!(
        fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!dir.path().join("thon.redb.v1.part").exists());
    // Once only.
    fs::remove_file(&copy).unwrap();
    assert_everything_is_there(&open(&path).unwrap());
    assert!(!copy.exists());
    // And back, and forth again.
    fs::write(&path, &before).unwrap();
    assert_everything_is_there(&open(&path).unwrap());
    assert!(copy.exists());
}

/// The same people after version 2 had them: with leases and owners, and without a word of usage.
fn version_2() -> Disk {
    let disk = version_1();
    let current = disk.clone();
    drop(Store::on(move || current.clone(), identity).unwrap());
    let db = Database::builder().create_with_backend(disk.clone());
    let db = db.unwrap();
    let tx = db.begin_write().unwrap();
    let added: Vec<_> = tx.list_tables().unwrap().collect();
    for table in added
        .into_iter()
        .filter(|table| !IN_VERSION_2.contains(&table.name()))
    {
        tx.delete_table(table).unwrap();
    }
    tx.open_table(META).unwrap().insert("schema", "2").unwrap();
    tx.commit().unwrap();
    drop(db);
    disk
}

const IN_VERSION_2: [&str; 11] = [
    "meta",
    "audit",
    "groups",
    "users",
    "instances",
    "workspaces",
    "invites",
    "sessions",
    "released_addresses",
    "leases",
    "workspace_owners",
];

#[test]
fn a_store_of_version_2_opens_with_everything_in_it_and_takes_usage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thon.redb");
    let before = version_2().image();
    fs::write(&path, &before).unwrap();
    let store = open(&path).unwrap();
    assert_everything_is_there(&store);
    let kept = fs::read(dir.path().join("thon.redb.v2")).unwrap();
    assert_eq!(kept, before);
    store.note(|tx| tx.keep_balances("{}")).unwrap();
    assert_eq!(
        store.view().unwrap().balances().unwrap().as_deref(),
        Some("{}")
    );
    assert_eq!(store.view().unwrap().requests(9, 9, |_| true).unwrap(), []);
}

#[test]
fn a_store_of_version_2_opens_with_everything_in_it_and_takes_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thon.redb");
    let before = of_version("2").image();
    fs::write(&path, &before).unwrap();
    let store = open(&path).unwrap();
    assert_everything_is_there(&store);
    let copy = dir.path().join("thon.redb.v2");
    assert_eq!(fs::read(&copy).unwrap(), before);
    assert_eq!(store.view().unwrap().all::<Key>().unwrap(), []);
}

#[test]
fn killed_while_it_makes_a_new_file_it_makes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thon.redb");
    fs::write(dir.path().join("thon.redb.part"), [0; 5_000]).unwrap();
    fs::write(&path, "").unwrap();
    drop(Store::open(&path, identity).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    open(&path).unwrap();
}

#[test]
fn killed_anywhere_in_the_migration_it_opens_again() {
    let old = version_1().copy();
    let disk = old.clone();
    let again = move || disk.clone();
    drop(Store::on(again, identity).unwrap());
    let cuts = old.cuts();
    assert!(!cuts.is_empty());
    for cut in cuts {
        for count in 0..=cut.unsynced.len() {
            let left = cut.with(cut.unsynced[..count].iter().cloned());
            assert_everything_is_there(&Store::on(move || left.clone(), identity).unwrap());
        }
    }
}

#[test]
fn an_address_of_a_record_that_cannot_be_read_is_leased_all_the_same() {
    let disk = version_1();
    let db = Database::builder()
        .create_with_backend(disk.clone())
        .unwrap();
    let tx = db.begin_write().unwrap();
    {
        let table: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("instances");
        let mut table = tx.open_table(table).unwrap();
        let json = br#"{"id":"00000000000000a2","address":"10.201.0.3","own"#;
        table.insert("red/bob", json.as_slice()).unwrap();
    }
    tx.commit().unwrap();
    drop(db);
    let store = Store::on(move || disk.clone(), identity).unwrap();
    let lease = store
        .view()
        .unwrap()
        .get::<Lease>("10.201.0.3")
        .unwrap()
        .unwrap();
    assert_eq!(lease.owner.to_string(), "red/bob");
    assert_eq!(lease.instance.unwrap().as_str(), "00000000000000a2");
    assert_eq!(store.unreadable(), [("instances", "red/bob".to_owned())]);
}

#[test]
fn a_newer_store_is_refused_with_a_sentence_and_not_one_byte_of_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thon.redb");
    let disk = Disk::default();
    let db = Database::builder()
        .create_with_backend(disk.clone())
        .unwrap();
    write(&db, "99");
    // Closed properly, and killed while it was open.
    let killed = disk.image();
    drop(db);
    for image in [disk.image(), killed] {
        fs::write(&path, &image).unwrap();
        let Err(StoreError::Refused(words)) = open(&path) else {
            panic!("it was not refused");
        };
        assert!(words.contains("schema 99"), "{words}");
        assert_eq!(fs::read(&path).unwrap(), image);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_damaged_store_is_refused_with_a_sentence_and_not_one_byte_of_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thon.redb");
    let good = version_1().image();
    let mut refused = 0;
    let mut damaged: Vec<Vec<u8>> = vec![good[..good.len() / 2].into(), good[..9].into()];
    for at in (0..good.len()).step_by(509).filter(|at| good[*at] != 0) {
        let mut image = good.clone();
        image[at] ^= 0x55;
        damaged.push(image);
    }
    for image in damaged {
        fs::write(&path, &image).unwrap();
        match open(&path) {
            // What nobody uses may be damaged.
            Ok(store) => assert_everything_is_there(&store),
            Err(StoreError::Refused(words)) => {
                assert!(words.contains("thon.redb"), "{words}");
                assert_eq!(fs::read(&path).unwrap(), image);
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused >= 2, "{refused}");
}
