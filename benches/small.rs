//! The decisions that every request or every round of the loop makes, one by one.

#![expect(
    clippy::expect_used,
    reason = "a bench that cannot begin has nothing to say"
)]

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use divan::{Bencher, black_box};
use jiff::Timestamp;
use thon::auth::token;
use thon::control::plan::{Sight, plan};
use thon::domain;
use thon::domain::instance::{
    Access, Container, ContainerState, Desired, Instance, Observed, Phase,
};
use thon::domain::network::Subnet;
use thon::domain::secret::Secret;
use thon::routing::{Activity, LiveSession, Route, State, Table, Target};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[expect(dead_code, reason = "a part of the proxy, which shows it to nobody")]
#[path = "../src/proxy/classify.rs"]
mod classify;

fn main() {
    divan::main();
}

/// From a raw path to the place where the sandbox is.
#[divan::bench(args = [1, 100, 10_000])]
fn a_path_to_its_route(bencher: Bencher<'_, '_>, routes: usize) {
    let table = table(routes);
    let path = format!("/w/{}/static/app.js?v=1", owner(routes / 2));
    bencher.bench_local(|| match classify::classify(black_box(&path)) {
        classify::Destination::Sandbox { owner, .. } => table.route(owner).is_some(),
        _ => false,
    });
}

/// From a cookie's value to its session, among 10,000.
#[divan::bench]
fn a_token_to_its_session(bencher: Bencher<'_, '_>) {
    let tokens: Vec<Secret> = (0..10_000).map(|_| token::session_token()).collect();
    let sessions = tokens.iter().enumerate().map(|(number, token)| {
        let id = format!("{number:016x}").parse().expect("an id");
        let user = owner(number).parse().expect("a name");
        let session = LiveSession::new(id, user, Duration::ZERO, Instant::now());
        (token::hash(token.expose()), Arc::new(session))
    });
    let table = Table::new(Arc::default(), Arc::new(sessions.collect()));
    let token = tokens.last().expect("a token").expose();
    bencher.bench_local(|| table.session(&token::hash(black_box(token))).is_some());
}

/// One look at a thousand instances that are as they should be.
#[divan::bench(args = [1_000])]
fn a_round_of_the_plan(bencher: Bencher<'_, '_>, instances: usize) {
    let now = Timestamp::now();
    let wanted: Vec<Instance> = (0..instances).map(|number| instance(number, now)).collect();
    let seen: Vec<Container> = wanted.iter().map(container).collect();
    let sight = Sight {
        containers: &seen,
        busy: &HashSet::new(),
        ended: &HashSet::new(),
        subnet: Subnet::DEFAULT,
    };
    bencher.bench_local(|| plan(black_box(&wanted), black_box(sight), now));
}

fn owner(number: usize) -> String {
    format!("group-{}/user-{number}", number % 100)
}

fn address(number: usize) -> SocketAddr {
    let [.., high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 8443))
}

fn table(routes: usize) -> Table {
    let routes: HashMap<String, Arc<Route>> = (0..routes)
        .map(|number| (owner(number), Arc::new(route(number))))
        .collect();
    Table::new(Arc::new(routes), Arc::default())
}

fn route(number: usize) -> Route {
    Route {
        owner: owner(number).parse().expect("a name"),
        prefix: format!("/w/{}", owner(number)),
        instance: format!("{number:016x}").parse().expect("an id"),
        access: Access::Owner,
        state: State::Serving(Arc::new(Target {
            address: address(number),
            container: format!("{number:064x}"),
            generation: 1,
            key: Target::key_of(&format!("{number:064x}"), 1),
            cookie: Secret::new("cookie"),
            withdrawn: CancellationToken::new(),
        })),
        activity: Arc::new(Activity::default()),
    }
}

fn instance(number: usize, now: Timestamp) -> Instance {
    Instance {
        id: format!("{number:016x}").parse().expect("an id"),
        owner: owner(number).parse().expect("a name"),
        desired: Desired::Running,
        restart: false,
        access: Access::Owner,
        image: "image".into(),
        workspace: format!("{number:016x}").parse().expect("an id"),
        address: "10.0.0.2".parse().expect("an address"),
        generation: 1,
        observed: Observed {
            phase: Phase::Ready,
            container: Some(format!("{number:064x}")),
            endpoint: Some(address(number)),
            ..Observed::pending(now)
        },
        created_at: now,
    }
}

fn container(instance: &Instance) -> Container {
    Container {
        id: instance.observed.container.clone().unwrap_or_default(),
        instance: instance.id.clone(),
        generation: instance.generation,
        state: ContainerState::Running,
        endpoint: instance.observed.endpoint,
    }
}
