//! Keys of the way to the language model: where it listens and how it is shared.

use crate::config::key::Key;
use crate::config::kind::Kind;

const COUNT: Kind = Kind::Integer {
    min: 0,
    max: 1_000_000,
};
const TOKENS: Kind = Kind::Integer {
    min: 0,
    max: 1_000_000_000_000,
};
/// A second to a week.
const WINDOW: Kind = Kind::Integer {
    min: 1,
    max: 604_800,
};

pub(super) const GATEWAY: &[Key] = &[
    Key::new(
        "gateway.listen",
        Kind::Listen,
        "127.0.0.1:9080",
        "the plain listener of `/v1` for programs on the host; its port is also opened on the instances' bridge",
    ),
    Key::new(
        "gateway.enabled",
        Kind::Flag,
        "false",
        "whether participants get keys for the model",
    )
    .variable("GATEWAY_ENABLED")
    .later(),
    Key::new(
        "gateway.mode",
        Kind::Words(&["per-user", "per-group"]),
        "per-user",
        "who has a key and its limits: each participant, or each group together",
    )
    .variable("GATEWAY_MODE")
    .later(),
    Key::new(
        "gateway.rate_limit_scope",
        Kind::Words(&["per-user", "per-model"]),
        "per-user",
        "whether a limit is for all models together or for each of them",
    )
    .variable("GATEWAY_RATE_LIMIT_SCOPE")
    .later(),
    Key::new(
        "gateway.concurrency_limit",
        COUNT,
        "1",
        "requests at the same time; 0 is no limit",
    )
    .variable("GATEWAY_CONCURRENCY_LIMIT")
    .later(),
    Key::new(
        "gateway.token_limit",
        TOKENS,
        "0",
        "tokens in each window; 0 is no limit",
    )
    .variable("GATEWAY_TOKEN_LIMIT")
    .later(),
    Key::new(
        "gateway.token_window",
        WINDOW,
        "60",
        "length of the window in seconds",
    )
    .variable("GATEWAY_TOKEN_WINDOW")
    .later(),
    Key::new(
        "gateway.redis_host",
        Kind::Host,
        "",
        "where several appliances keep their balances together",
    )
    .variable("GATEWAY_REDIS_HOST")
    .later(),
    Key::new(
        "gateway.redis_port",
        Kind::Integer {
            min: 1,
            max: 65_535,
        },
        "6379",
        "its port",
    )
    .variable("GATEWAY_REDIS_PORT")
    .later(),
    Key::new("gateway.redis_password", Kind::Text, "", "its password")
        .variable("GATEWAY_REDIS_PASSWORD")
        .secret()
        .later(),
    Key::new(
        "gateway.model_concurrency",
        Kind::Items,
        "[]",
        "limits of single models, in place of the ones above",
    )
    .later(),
    Key::new(
        "gateway.model_concurrency[].model",
        Kind::Text,
        "",
        "the model's name",
    )
    .required()
    .later(),
    Key::new(
        "gateway.model_concurrency[].concurrency_limit",
        COUNT,
        "1",
        "requests to it at the same time; 0 is no limit",
    )
    .later(),
    Key::new(
        "gateway.model_concurrency[].token_limit",
        TOKENS,
        "0",
        "its tokens in each window; 0 is no limit",
    )
    .later(),
    Key::new(
        "gateway.model_concurrency[].token_window",
        WINDOW,
        "60",
        "length of the window in seconds",
    )
    .later(),
    Key::new(
        "gateway.model_concurrency[].priority",
        Kind::Integer {
            min: -1000,
            max: 1000,
        },
        "0",
        "which model is served first; the greater number wins",
    )
    .later(),
    Key::gone(
        "gateway.admin_key",
        "",
        "no APISIX is administered: the gateway is part of THON",
    )
    .variable("GATEWAY_ADMIN_KEY")
    .secret(),
    Key::gone(
        "gateway.rate_limit",
        "",
        "its name is `gateway.token_limit`",
    ),
    Key::gone(
        "gateway.time_window",
        "",
        "its name is `gateway.token_window`",
    ),
];
