//! Pure: records to a `Table`, keeping what only memory knows from the one before.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::domain::instance::{Instance, Phase};
use crate::domain::secret::Secret;
use crate::domain::session::{Session, TokenHash};
use crate::routing::{LiveSession, Route, State, Table, Target};

/// The table that these records mean. Counters, session clocks and the tokens that cut sockets are
/// taken over from `previous` wherever the thing they belong to is still the same.
pub fn build(
    previous: &Table,
    instances: &[Instance],
    sessions: &[(TokenHash, Session)],
    cookie: impl Fn(&Instance) -> Secret,
) -> Table {
    let routes = instances
        .iter()
        .map(|instance| {
            let key = instance.owner.to_string();
            let route = route(previous.route(&key), instance, &cookie);
            (key, Arc::new(route))
        })
        .collect::<HashMap<_, _>>();
    let sessions = sessions
        .iter()
        .map(|(hash, session)| (*hash, live(previous.session(hash), session)))
        .collect::<HashMap<_, _>>();
    Table::new(Arc::new(routes), Arc::new(sessions))
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
    State::Serving(Target {
        address,
        container: container.clone(),
        generation: instance.generation,
        cookie: cookie(instance),
        withdrawn,
    })
}

fn live(previous: Option<&Arc<LiveSession>>, session: &Session) -> Arc<LiveSession> {
    match previous.filter(|live| live.id == session.id) {
        Some(live) => Arc::clone(live),
        None => Arc::new(LiveSession::new(
            session.id.clone(),
            session.user.clone(),
            session.last_seen_at,
        )),
    }
}

/// Ends the open sockets of whatever `next` no longer has: targets that were withdrawn and sessions
/// that were revoked.
pub fn cut(previous: &Table, next: &Table) {
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
    for (hash, session) in previous.sessions().iter() {
        if next.session(hash).is_none_or(|live| live.id != session.id) {
            session.revoked.cancel();
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
        build(previous, &[instance], &[], |_| Secret::new("cookie"))
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
}
