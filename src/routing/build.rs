//! Pure: records to a `Table`, keeping what only memory knows from the one before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::id::KeyId;
use crate::domain::instance::{Instance, Phase};
use crate::domain::key::Key;
use crate::domain::secret::Secret;
use crate::domain::session::{Session, TokenHash};
use crate::routing::{LiveKey, LiveSession, Route, State, Table, Target, key};

/// What became of some records; `None` is one that is gone.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// By `group/user`.
    pub instances: Vec<(String, Option<&'a Instance>)>,
    /// With how long each was idle, for one that is met for the first time.
    pub sessions: Vec<(TokenHash, Option<(Session, Duration)>)>,
    /// Keys that are in force, with the participants of their groups.
    pub keys: Vec<(KeyId, Option<(Key, u32)>)>,
    /// Are these all there are? Otherwise the rest of the table stays as it is.
    pub all: bool,
}

/// The table after these changes. Counters, session clocks and the tokens that cut sockets are taken
/// over from `previous` wherever the thing they belong to is still the same.
pub fn build(
    previous: &Table,
    changes: &Changes<'_>,
    now: Instant,
    cookie: impl Fn(&Instance) -> Secret,
) -> Table {
    let mut routes = start_from(previous.routes(), changes.all);
    if changes.all || !changes.instances.is_empty() {
        let routes = Arc::make_mut(&mut routes);
        for (key, instance) in &changes.instances {
            match instance {
                Some(instance) => {
                    let route = route(previous.route(key), instance, &cookie);
                    routes.insert(key.clone(), Arc::new(route));
                }
                None => drop(routes.remove(key)),
            }
        }
    }
    let mut sessions = start_from(previous.sessions(), changes.all);
    if changes.all || !changes.sessions.is_empty() {
        let sessions = Arc::make_mut(&mut sessions);
        for (hash, session) in &changes.sessions {
            match session {
                Some((session, idle)) => {
                    sessions.insert(*hash, live(previous.session(hash), session, *idle, now));
                }
                None => drop(sessions.remove(hash)),
            }
        }
    }
    Table::new(routes, sessions).with_keys(keys(previous, changes))
}

fn keys(previous: &Table, changes: &Changes<'_>) -> Arc<HashMap<KeyId, Arc<LiveKey>>> {
    let mut keys = start_from(previous.keys(), changes.all);
    if changes.all || !changes.keys.is_empty() {
        let keys = Arc::make_mut(&mut keys);
        for (id, key) in &changes.keys {
            match (key, previous.key(id)) {
                (Some((key, members)), Some(live)) => {
                    keys.insert(id.clone(), live.succeeded_by(key.clone(), *members));
                }
                (Some((key, members)), None) => {
                    keys.insert(id.clone(), LiveKey::new(key.clone(), *members));
                }
                (None, _) => drop(keys.remove(id)),
            }
        }
    }
    keys
}

fn start_from<K, V>(previous: &Arc<HashMap<K, V>>, anew: bool) -> Arc<HashMap<K, V>> {
    if anew {
        Arc::default()
    } else {
        Arc::clone(previous)
    }
}

/// The table without the way to a container that has ended; `None` if no way leads there.
pub fn without(previous: &Table, container: &str) -> Option<Table> {
    let leads_there = |route: &Route| match &route.state {
        State::Serving(target) => target.container == container,
        State::Waiting { .. } => false,
    };
    let routes = previous.routes();
    let (key, ended) = routes.iter().find(|(_, route)| leads_there(route))?;
    let waiting = Route {
        owner: ended.owner.clone(),
        prefix: ended.prefix.clone(),
        instance: ended.instance.clone(),
        access: ended.access,
        state: State::Waiting {
            phase: Phase::Starting,
            reason: None,
        },
        activity: Arc::clone(&ended.activity),
    };
    let mut routes = HashMap::clone(routes);
    routes.insert(key.clone(), Arc::new(waiting));
    let table = Table::new(Arc::new(routes), Arc::clone(previous.sessions()));
    Some(table.with_keys(Arc::clone(previous.keys())))
}

fn route(
    previous: Option<&Arc<Route>>,
    instance: &Instance,
    cookie: impl Fn(&Instance) -> Secret,
) -> Route {
    let same = previous.filter(|route| route.instance == instance.id);
    Route {
        owner: instance.owner.clone(),
        prefix: instance.owner.path().trim_end_matches('/').to_owned(),
        instance: instance.id.clone(),
        access: instance.access,
        state: state(same.map(|route| &route.state), instance, cookie),
        activity: same
            .map(|route| Arc::clone(&route.activity))
            .unwrap_or_default(),
    }
}

fn state(
    previous: Option<&State>,
    instance: &Instance,
    cookie: impl Fn(&Instance) -> Secret,
) -> State {
    let seen = &instance.observed;
    let (Phase::Ready, Some(address), Some(container)) =
        (seen.phase, seen.endpoint, &seen.container)
    else {
        return State::Waiting {
            phase: seen.phase,
            reason: seen.reason.clone(),
        };
    };
    let withdrawn = match previous {
        Some(State::Serving(old)) if old.container == *container && old.address == address => {
            old.withdrawn.clone()
        }
        _ => CancellationToken::new(),
    };
    State::Serving(Arc::new(Target {
        address,
        container: container.clone(),
        generation: instance.generation,
        key: Target::key_of(container, instance.generation),
        cookie: cookie(instance),
        withdrawn,
    }))
}

fn live(
    previous: Option<&Arc<LiveSession>>,
    session: &Session,
    idle: Duration,
    now: Instant,
) -> Arc<LiveSession> {
    match previous.filter(|live| live.id == session.id) {
        Some(live) => Arc::clone(live),
        None => Arc::new(LiveSession::new(
            session.id.clone(),
            session.user.clone(),
            idle,
            now,
        )),
    }
}

/// Ends the open sockets and requests of whatever `next` no longer has: targets that were withdrawn,
/// sessions and keys that were revoked.
pub fn cut(previous: &Table, next: &Table) {
    key::cut(previous, next);
    if !Arc::ptr_eq(previous.routes(), next.routes()) {
        cut_routes(previous, next);
    }
    if Arc::ptr_eq(previous.sessions(), next.sessions()) {
        return;
    }
    for (hash, session) in previous.sessions().iter() {
        if next.session(hash).is_none_or(|live| live.id != session.id) {
            session.revoked.cancel();
        }
    }
}

fn cut_routes(previous: &Table, next: &Table) {
    for (key, route) in previous.routes().iter() {
        let State::Serving(old) = &route.state else {
            continue;
        };
        let kept = next.route(key).is_some_and(|route| match &route.state {
            State::Serving(new) => new.container == old.container && new.address == old.address,
            State::Waiting { .. } => false,
        });
        if !kept {
            old.withdrawn.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instance::{Access, Desired, Observed};
    use jiff::Timestamp;

    fn instance(container: &str, phase: Phase) -> Instance {
        let now = Timestamp::UNIX_EPOCH;
        Instance {
            id: "00000000000000aa".parse().unwrap(),
            owner: "red/alice".parse().unwrap(),
            desired: Desired::Running,
            restart: false,
            access: Access::Owner,
            image: "i".into(),
            workspace: "00000000000000bb".parse().unwrap(),
            address: "10.0.0.2".parse().unwrap(),
            generation: 1,
            observed: Observed {
                phase,
                container: Some(container.into()),
                endpoint: Some("10.0.0.2:8443".parse().unwrap()),
                ..Observed::pending(now)
            },
            created_at: now,
        }
    }

    fn table(previous: &Table, instance: Instance) -> Table {
        let changes = Changes {
            instances: vec![("red/alice".to_owned(), Some(&instance))],
            ..Changes::default()
        };
        build(previous, &changes, Instant::now(), |_| {
            Secret::new("cookie")
        })
    }

    fn withdrawn(table: &Table) -> CancellationToken {
        match &table.route("red/alice").unwrap().state {
            State::Serving(target) => target.withdrawn.clone(),
            State::Waiting { .. } => panic!("not serving"),
        }
    }

    #[test]
    fn a_route_serves_only_while_the_editor_answers() {
        let ready = table(&Table::default(), instance("c1", Phase::Ready));
        assert!(matches!(
            ready.route("red/alice").unwrap().state,
            State::Serving(_)
        ));
        let starting = table(&ready, instance("c1", Phase::Starting));
        assert!(matches!(
            starting.route("red/alice").unwrap().state,
            State::Waiting { .. }
        ));
    }

    #[test]
    fn sockets_survive_a_new_table_and_end_with_their_container() {
        let first = table(&Table::default(), instance("c1", Phase::Ready));
        let second = table(&first, instance("c1", Phase::Ready));
        cut(&first, &second);
        assert!(!withdrawn(&first).is_cancelled());
        let third = table(&second, instance("c2", Phase::Ready));
        cut(&second, &third);
        assert!(withdrawn(&first).is_cancelled());
        assert!(!withdrawn(&third).is_cancelled());
    }

    #[test]
    fn the_way_to_a_container_that_ended_goes_and_the_others_stay() {
        let bob = Instance {
            owner: "red/bob".parse().unwrap(),
            ..instance("c2", Phase::Ready)
        };
        let alice = table(&Table::default(), instance("c1", Phase::Ready));
        let changes = Changes {
            instances: vec![("red/bob".to_owned(), Some(&bob))],
            ..Changes::default()
        };
        let both = build(&alice, &changes, Instant::now(), |_| Secret::new("cookie"));
        let left = without(&both, "c1").unwrap();
        cut(&both, &left);
        assert!(withdrawn(&alice).is_cancelled());
        assert!(matches!(
            left.route("red/alice").unwrap().state,
            State::Waiting { .. }
        ));
        assert!(Arc::ptr_eq(
            both.route("red/bob").unwrap(),
            left.route("red/bob").unwrap()
        ));
        assert!(without(&left, "c1").is_none());
    }

    #[test]
    fn a_full_table_has_nothing_that_is_not_among_the_records() {
        let first = table(&Table::default(), instance("c1", Phase::Ready));
        let nothing = Changes {
            all: true,
            ..Changes::default()
        };
        let next = build(&first, &nothing, Instant::now(), |_| Secret::new("cookie"));
        cut(&first, &next);
        assert!(next.route("red/alice").is_none());
        assert!(withdrawn(&first).is_cancelled());
    }
}
