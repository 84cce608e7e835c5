//! What organizers see of the gateway at this moment: servers, slots, the line, balances.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::admin::Live;
use crate::api::{BackendState, BackendView, BalanceView, GatewayView, ModelView, QueuedView};
use crate::gateway::{Gateway, Upstream};
use crate::lemonade::Condition;
use crate::limiter::queue::{Position, QueueStatus};
use crate::limiter::{Account, Moment};

/// `None`: the gateway is off.
pub(super) fn live(gateway: Option<&Arc<Gateway>>) -> Live {
    let Some(gateway) = gateway else {
        return Live::default();
    };
    let (status, line, limits) = (gateway.clone(), gateway.clone(), gateway.clone());
    Live {
        gateway: Box::new(move || overview(&status)),
        queue: Box::new(move || queue(&line)),
        balances: Box::new(move || balances(&limits)),
    }
}

fn overview(gateway: &Gateway) -> GatewayView {
    let lines: Vec<QueueStatus> = statuses(gateway);
    let active: usize = lines.iter().map(|line| line.users.len()).sum();
    let jain = lines.iter().map(|line| line.jain).fold(1.0, f64::min);
    GatewayView {
        backends: gateway
            .upstreams
            .iter()
            .map(|upstream| backend(upstream))
            .collect(),
        models: models(&lines),
        reserved_tokens: gateway.limiter.in_flight().reserved / 1_000,
        jain_index: (active > 0).then_some(jain),
    }
}

fn statuses(gateway: &Gateway) -> Vec<QueueStatus> {
    let lines = gateway
        .upstreams
        .iter()
        .flat_map(|upstream| upstream.lines());
    lines.map(|line| line.status()).collect()
}

fn backend(upstream: &Upstream) -> BackendView {
    let seen = upstream.backend.seen();
    let (state, reason) = match &seen.condition {
        Condition::Ready => (BackendState::Up, None),
        Condition::Loading | Condition::Unknown => (BackendState::Loading, None),
        Condition::Away(why) => (BackendState::Down, Some(why.clone())),
    };
    let running = upstream.lines().flat_map(|line| line.models());
    BackendView {
        url: upstream.backend.url().to_owned(),
        state,
        reason,
        since: Timestamp::now()
            - SignedDuration::try_from(upstream.backend.since()).unwrap_or_default(),
        models: seen
            .models
            .iter()
            .map(|model| model.name.to_string())
            .collect(),
        running: running.map(|model| model.running).sum(),
    }
}

/// Of all servers together.
fn models(lines: &[QueueStatus]) -> Vec<ModelView> {
    let mut models: BTreeMap<String, ModelView> = BTreeMap::new();
    for line in lines.iter().flat_map(|line| &line.models) {
        let name = line.model.to_string();
        let model = models.entry(name.clone()).or_insert(ModelView {
            name,
            slots_busy: 0,
            slots_total: 0,
            queued: 0,
            eta_ms: None,
        });
        model.slots_busy += line.running;
        model.slots_total += line.slots;
        model.queued += line.waiting;
        // Whoever comes now waits until those before have been served.
        let turns = u64::from(line.waiting + 1).div_ceil(u64::from(line.slots.max(1)));
        let eta = if line.running < line.slots {
            0
        } else {
            turns * milliseconds(line.mean)
        };
        model.eta_ms = Some(model.eta_ms.map_or(eta, |best| best.min(eta)));
    }
    models.into_values().collect()
}

/// Each user's requests wait in the order in which they came; the scheduler says where.
fn queue(gateway: &Gateway) -> Vec<QueuedView> {
    let mut places: HashMap<(String, String), VecDeque<Position>> = HashMap::new();
    for user in statuses(gateway).into_iter().flat_map(|line| line.users) {
        let key = (user.group.to_string(), user.user);
        places.entry(key).or_default().extend(user.waiting);
    }
    let mut queue: Vec<QueuedView> = Vec::new();
    for request in gateway.board.now() {
        let key = (request.group.to_string(), request.user.clone());
        let position = match places.get_mut(&key) {
            Some(waiting) if !request.is_running => waiting.pop_front(),
            _ => None,
        };
        queue.push(QueuedView {
            model: request.model.to_string(),
            group: request.group,
            user: request.user,
            place: position.map(|position| position.place),
            for_ms: milliseconds(request.lasts),
            eta_ms: position.map(|position| milliseconds(position.eta)),
        });
    }
    queue.sort_by(|a, b| (&a.model, a.place).cmp(&(&b.model, b.place)));
    queue
}

/// Those that are not full: whoever used nothing of late is not on the list.
fn balances(gateway: &Gateway) -> Vec<BalanceView> {
    let now = Moment::now().wall;
    let kept = gateway.limiter.balances();
    let age_us = kept.age_us(now);
    let mut balances: Vec<BalanceView> = kept
        .balances
        .into_iter()
        .map(|balance| {
            let window_ms = u64::from(balance.window_s.get()) * 1_000;
            let missing = i128::from(balance.capacity) - i128::from(balance.left);
            let full_in = missing * i128::from(window_ms) / i128::from(balance.capacity.max(1));
            let full_in = u64::try_from(full_in).unwrap_or(0);
            BalanceView {
                limit: balance.limit,
                who: who(&balance.account),
                model: balance.model.map(|model| model.to_string()),
                tokens: balance.capacity / 1_000,
                remaining: balance.left.div_euclid(1_000),
                full_in_ms: full_in.saturating_sub(age_us / 1_000),
            }
        })
        .collect();
    balances.sort_by(|a, b| (&a.limit, &a.who).cmp(&(&b.limit, &b.who)));
    balances
}

fn who(account: &Account) -> String {
    match account {
        Account::Event => "event".to_owned(),
        Account::Group(group) | Account::GroupKey(group) => group.to_string(),
        Account::User(user) => user.to_string(),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
