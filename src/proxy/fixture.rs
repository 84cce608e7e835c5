//! A visit for the unit tests of this room.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::access::{Entry, Kind};
use super::authority::Authority;
use super::visit::Visit;
use crate::domain::instance::{Access, Phase};
use crate::domain::secret::Secret;
use crate::edge::Scheme;
use crate::routing::{Activity, Route, State, Target};

/// Of alice's sandbox at `https://pub.example:8443/w/red/alice/`.
pub(super) fn visit(entry: Entry, rest: &str) -> Visit {
    Visit {
        route: Arc::new(Route {
            owner: "red/alice".parse().unwrap(),
            prefix: "/w/red/alice".to_owned(),
            instance: "0123456789abcdef".parse().unwrap(),
            access: Access::Owner,
            state: State::Waiting {
                phase: Phase::Starting,
                reason: None,
            },
            activity: Arc::new(Activity::default()),
        }),
        target: Arc::new(Target {
            address: "127.0.0.1:1".parse().unwrap(),
            container: "c".to_owned(),
            generation: 1,
            key: Target::key_of("c", 1),
            cookie: Secret::new("right"),
            withdrawn: CancellationToken::new(),
        }),
        _places: [(); 2].map(|()| Arc::new(Activity::default()).enter(1).unwrap()),
        session: None,
        entry,
        kind: Kind::Fetch,
        authority: Authority::parse("pub.example:8443", Scheme::Https).unwrap(),
        rest: rest.to_owned(),
        socket: None,
    }
}
