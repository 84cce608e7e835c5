//! Checked settings to the way to the language model.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

use super::later::secret;
use crate::config::gateway::{Away, BackendAddress, Gateway, KeyMode, OfferedModel, Redis};
use crate::config::kind;
use crate::config::settings::{Settings, at};
use crate::domain::model::ModelName;
use crate::domain::quota::{Limits, Mode, Models, Scope, TokenLimit, Weights};

pub(super) fn gateway(settings: &Settings) -> Gateway {
    let body = settings.text("gateway.body_limit").and_then(kind::bytes);
    Gateway {
        listen: super::listen(settings, "gateway.listen"),
        enabled: settings.flag("gateway.enabled"),
        mode: mode(settings),
        limits: limits(settings),
        priorities: priorities(settings),
        models: models(settings),
        backends: backends(settings),
        redis: redis(settings),
        output_max: settings.number("gateway.output_limit"),
        queued_max: settings.number("gateway.queue_limit"),
        body_bytes_max: body
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(32 << 20),
        usage_days: settings.number("gateway.usage_days"),
    }
}

fn mode(settings: &Settings) -> KeyMode {
    match settings.text("gateway.mode") {
        Some("per-group") => KeyMode::PerGroup,
        _ => KeyMode::PerUser,
    }
}

fn each(settings: &Settings, list: &'static str) -> impl Iterator<Item = String> {
    (0..settings.length(list)).map(move |index| at(list, index))
}

fn limits(settings: &Settings) -> Limits {
    let mut tokens: Vec<TokenLimit> = main_limit(settings).into_iter().collect();
    tokens.extend(
        each(settings, "gateway.model_concurrency").filter_map(|item| model_limit(settings, &item)),
    );
    tokens.extend(each(settings, "gateway.limits").filter_map(|item| limit(settings, &item)));
    let at_once = |item: String| {
        let name = ModelName::new(settings.text(&format!("{item}.model"))?);
        let count = settings.number(&format!("{item}.concurrency_limit"));
        Some((name, NonZeroU32::new(count)?))
    };
    Limits {
        tokens,
        weights: weights(settings),
        requests_per_minute: NonZeroU32::new(settings.number("gateway.requests_per_minute")),
        concurrency: NonZeroU32::new(settings.number("gateway.concurrency_limit")),
        model_concurrency: each(settings, "gateway.model_concurrency")
            .filter_map(at_once)
            .collect(),
    }
}

/// Of each participant; with a key for each group, of the group, and as much for each of its people.
fn main_limit(settings: &Settings) -> Option<TokenLimit> {
    let models = match settings.text("gateway.rate_limit_scope") {
        Some("per-model") => Models::Each,
        _ => Models::Together,
    };
    of_each(settings, "gateway", models)
}

/// In place of the main one for this model; the ledger takes the one that names it.
fn model_limit(settings: &Settings, item: &str) -> Option<TokenLimit> {
    let name = ModelName::new(settings.text(&format!("{item}.model"))?);
    of_each(settings, item, Models::One(name))
}

fn of_each(settings: &Settings, section: &str, models: Models) -> Option<TokenLimit> {
    let is_grouped = mode(settings) == KeyMode::PerGroup;
    let tokens: u64 = settings.number(&format!("{section}.token_limit"));
    (tokens > 0).then_some(TokenLimit {
        scope: if is_grouped {
            Scope::Group
        } else {
            Scope::User
        },
        models,
        tokens,
        window_s: NonZeroU32::new(settings.number(&format!("{section}.token_window")))?,
        mode: certainty(settings, "gateway.token_mode"),
        per_member: is_grouped,
    })
}

fn limit(settings: &Settings, item: &str) -> Option<TokenLimit> {
    let model = settings.text(&format!("{item}.model"));
    Some(TokenLimit {
        scope: match settings.text(&format!("{item}.scope")) {
            Some("group") => Scope::Group,
            Some("event") => Scope::Event,
            _ => Scope::User,
        },
        models: model.map_or(Models::Together, |name| Models::One(ModelName::new(name))),
        tokens: settings.number(&format!("{item}.tokens")),
        window_s: NonZeroU32::new(settings.number(&format!("{item}.window")))?,
        mode: certainty(settings, &format!("{item}.mode")),
        per_member: false,
    })
}

fn certainty(settings: &Settings, path: &str) -> Mode {
    match settings.text(path) {
        Some("strict") => Mode::Strict,
        Some("observe") => Mode::Observe,
        _ => Mode::Balanced,
    }
}

fn weights(settings: &Settings) -> Weights {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "refused before unless it is between 0 and 100"
    )]
    let thousandths = |path| (settings.number::<f64>(path) * 1000.0).round() as u32;
    Weights {
        cached: thousandths("gateway.cached_weight"),
        output: thousandths("gateway.output_weight"),
        ..Weights::default()
    }
}

fn priorities(settings: &Settings) -> BTreeMap<ModelName, i32> {
    let priority = |item: String| {
        let name = ModelName::new(settings.text(&format!("{item}.model"))?);
        Some((name, settings.number(&format!("{item}.priority"))))
    };
    each(settings, "gateway.model_concurrency")
        .filter_map(priority)
        .collect()
}

fn models(settings: &Settings) -> Vec<OfferedModel> {
    let model = |item: String| OfferedModel {
        name: settings.string(&format!("{item}.name")),
        alias: settings.text(&format!("{item}.alias")).map(str::to_owned),
    };
    each(settings, "gateway.models").map(model).collect()
}

/// The listed ones, or the server that `lemonade` tells of.
fn backends(settings: &Settings) -> Vec<BackendAddress> {
    let listed: Vec<_> = each(settings, "gateway.backends")
        .map(|item| BackendAddress {
            url: settings
                .string(&format!("{item}.url"))
                .trim_end_matches('/')
                .to_owned(),
            api_key: settings
                .file_secrets
                .get(&format!("{item}.api_key_file"))
                .cloned(),
        })
        .collect();
    if !listed.is_empty() {
        return listed;
    }
    vec![BackendAddress {
        url: lemonade(settings),
        api_key: secret(settings, "lemonade.api_key"),
    }]
}

/// A server that listens on every address is asked on this host's own.
fn lemonade(settings: &Settings) -> String {
    let port: u16 = settings.number("lemonade.port");
    let host = settings.string("lemonade.host");
    match host.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => {
            format!("http://{}", SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        }
        Ok(address) => format!("http://{}", SocketAddr::from((address, port))),
        Err(_) => format!("http://{host}:{port}"),
    }
}

fn redis(settings: &Settings) -> Option<Redis> {
    Some(Redis {
        host: settings.text("gateway.redis_host")?.to_owned(),
        port: settings.number("gateway.redis_port"),
        password: secret(settings, "gateway.redis_password"),
        tls: settings.flag("gateway.redis_tls"),
        away: match settings.text("gateway.redis_away") {
            Some("local") => Away::Local,
            _ => Away::Refuse,
        },
    })
}
