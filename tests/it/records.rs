//! Records that older versions wrote are read by this one: what is stored outlives the program.

use std::collections::BTreeSet;

use redb::TableHandle as _;
use thon::domain::address::{Lease, Released};
use thon::domain::instance::{Desired, Instance, Phase};
use thon::domain::invite::Invite;
use thon::domain::key::{Holder, Key, Owner};
use thon::domain::session::Session;
use thon::domain::set_limits::SetLimits;
use thon::domain::user::{Group, Source, User};
use thon::domain::workspace::{Mount, Owned, Workspace};
use thon::store::schema::Record;

use crate::support::sources::text;

/// By table, as version 0.1.0 wrote them. A line is never changed: whoever changes a record adds one.
const WRITTEN: &[(&str, &str)] = &[
    (
        "groups",
        r#"{"name":"red","title":"The Reds","created_at":"2026-11-22T11:37:28.637647548Z"}"#,
    ),
    (
        "users",
        r#"{"name":"red/alice","email":null,"created_at":"2026-11-22T11:37:28Z"}"#,
    ),
    (
        "users",
        r#"{"name":"demo/bob","email":"bob@example.org","source":"command","created_at":"2026-11-22T11:37:28Z"}"#,
    ),
    (
        "instances",
        r#"{"id":"156dc055e5becc77","owner":"red/alice","desired":"running","access":"owner","image":"thon-sandbox:latest","workspace":"00000000000000bb","address":"10.201.0.2","generation":3,"observed":{"phase":"pending","container":null,"endpoint":null,"reason":null,"failures":0,"since":"2026-11-22T11:37:32Z"},"created_at":"2026-11-22T11:37:28Z"}"#,
    ),
    (
        "instances",
        r#"{"id":"156dc055e5becc77","owner":"red/alice","desired":"stopped","restart":true,"access":"password","image":"thon-sandbox:latest","workspace":"00000000000000bb","address":"10.201.0.2","generation":3,"observed":{"phase":"ready","container":"4f1c","endpoint":"10.201.0.2:8443","reason":"words","failures":2,"since":"2026-11-22T11:37:32Z"},"created_at":"2026-11-22T11:37:28Z"}"#,
    ),
    (
        "workspaces",
        r#"{"id":"00000000000000bb","owner":"red/alice","files":{"kind":"bind","path":"/srv/red/alice"},"home":{"kind":"volume","name":"thon-home-red-alice","workspace":"00000000000000bb"},"created_at":"2026-11-22T11:37:28Z"}"#,
    ),
    (
        "workspaces",
        r#"{"id":"00000000000000bb","owner":"red/alice","files":{"kind":"ephemeral"},"home":{"kind":"ephemeral"},"created_at":"2026-11-22T11:37:28Z"}"#,
    ),
    (
        "invites",
        r#"{"id":"1e2e7435d6de76db","user":"red/alice","created_at":"2026-11-22T11:37:28Z","last_used_at":null}"#,
    ),
    (
        "sessions",
        r#"{"id":"39181885af0796d9","user":"red/alice","invite":"1e2e7435d6de76db","created_at":"2026-11-22T11:37:28Z","last_seen_at":"2026-11-22T11:37:28Z","agent":"Firefox on Linux"}"#,
    ),
    (
        "released_addresses",
        r#"{"address":"10.201.0.2","at":"2026-11-22T11:37:28Z"}"#,
    ),
    (
        "leases",
        r#"{"address":"10.201.0.2","owner":"red/alice","instance":null}"#,
    ),
    ("workspace_owners", r#"{"workspace":"00000000000000bb"}"#),
    (
        "keys",
        r#"{"id":"00000000000000c1","owner":{"user":"red/alice"},"holder":{"instance":{"instance":"156dc055e5becc77","generation":3,"address":"10.201.0.2"}},"secrets":[{"hash":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31],"until":null}],"models":[],"created_at":"2026-11-22T11:37:28Z","expires_at":null,"disabled":false,"last_used_at":null,"note":""}"#,
    ),
    (
        "keys",
        r#"{"id":"00000000000000c2","owner":{"group":"red"},"holder":"person","secrets":[],"models":["user.qwen3"],"created_at":"2026-11-22T11:37:28Z","expires_at":"2026-11-23T11:37:28Z","disabled":true,"last_used_at":"2026-11-22T12:00:00Z","note":"the demo"}"#,
    ),
    (
        "set_limits",
        r#"{"tokens":[{"scope":"user","models":"together","tokens":30000,"window_s":60,"mode":"balanced","per_member":false},{"scope":"group","models":{"one":"qwen3"},"tokens":2000000,"window_s":86400,"mode":"strict","per_member":true}],"requests_per_minute":0,"model_concurrency":{"qwen3":4}}"#,
    ),
];

fn read<R: Record>() -> Vec<R> {
    let table = R::TABLE.name();
    let rows = WRITTEN.iter().filter(|(name, _)| *name == table);
    let rows: Vec<R> = rows
        .map(|(_, json)| serde_json::from_str(json).unwrap_or_else(|e| panic!("{table}: {e}")))
        .collect();
    assert!(!rows.is_empty(), "{table} has no line here");
    rows
}

#[test]
fn what_an_older_version_wrote_is_read_as_it_was_meant() {
    assert_eq!(read::<Group>()[0].title.as_deref(), Some("The Reds"));
    let sources: Vec<Source> = read::<User>().iter().map(|user| user.source).collect();
    assert_eq!(sources, [Source::File, Source::Command]);
    let instances = read::<Instance>();
    assert_eq!(
        (instances[0].desired, instances[0].restart),
        (Desired::Running, false)
    );
    assert_eq!(
        (instances[1].observed.phase, instances[1].restart),
        (Phase::Ready, true)
    );
    let workspaces = read::<Workspace>();
    assert_eq!(
        workspaces[0].files,
        Mount::Bind {
            path: "/srv/red/alice".into()
        }
    );
    assert!(
        matches!(&workspaces[0].home, Mount::Volume { name, .. } if name == "thon-home-red-alice")
    );
    assert_eq!(workspaces[1].home, Mount::Ephemeral);
    assert_eq!(read::<Invite>()[0].user.to_string(), "red/alice");
    assert_eq!(read::<Session>()[0].agent, "Firefox on Linux");
    assert_eq!(read::<Released>()[0].address.to_string(), "10.201.0.2");
    assert_eq!(read::<Lease>()[0].instance, None);
    assert_eq!(read::<Owned>()[0].workspace.to_string(), "00000000000000bb");
}

#[test]
fn keys_of_an_older_version_are_read_as_they_were_meant() {
    let keys = read::<Key>();
    assert_eq!(keys[0].secrets[0].hash[31], 31);
    assert!(matches!(
        keys[0].holder,
        Holder::Instance { generation: 3, .. }
    ));
    assert_eq!(keys[1].owner, Owner::Group("red".parse().unwrap()));
    assert_eq!(keys[1].models[0].as_str(), "qwen3");
}

#[test]
fn limits_that_were_set_are_read_as_they_were_meant() {
    let set = &read::<SetLimits>()[0];
    let tokens = set.tokens.as_ref().unwrap();
    assert_eq!(tokens[1].id(), "group/86400/qwen3");
    assert_eq!((set.requests_per_minute, set.concurrency), (Some(0), None));
}

#[test]
fn no_table_is_forgotten_here() {
    let schema = text("src/store/schema.rs");
    let (_, records) = schema.split_once("\nrecords! {").unwrap();
    let tables: BTreeSet<&str> = records
        .lines()
        .filter_map(|line| line.split_once("=> \"")?.1.split('"').next())
        .collect();
    let here: BTreeSet<&str> = WRITTEN.iter().map(|(table, _)| *table).collect();
    assert_eq!(
        here, tables,
        "add a record as it is written, and read it above"
    );
}
