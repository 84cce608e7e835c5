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
const LIMIT: Kind = Kind::Integer {
    min: 1,
    max: 1_000_000_000_000,
};
const MODE: Kind = Kind::Words(&["strict", "balanced", "observe"]);
const WEIGHT: Kind = Kind::Decimal {
    min: 0.0,
    max: 100.0,
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
    .variable("GATEWAY_ENABLED"),
    Key::new(
        "gateway.mode",
        Kind::Words(&["per-user", "per-group"]),
        "per-user",
        "who has a key and its limits: each participant, or each group together",
    )
    .variable("GATEWAY_MODE"),
    Key::new(
        "gateway.rate_limit_scope",
        Kind::Words(&["per-user", "per-model"]),
        "per-user",
        "whether a limit is for all models together or for each of them",
    )
    .variable("GATEWAY_RATE_LIMIT_SCOPE"),
    Key::new(
        "gateway.concurrency_limit",
        COUNT,
        "1",
        "requests at the same time; 0 is no limit",
    )
    .variable("GATEWAY_CONCURRENCY_LIMIT"),
    Key::new(
        "gateway.token_limit",
        TOKENS,
        "0",
        "tokens in each window; 0 is no limit",
    )
    .variable("GATEWAY_TOKEN_LIMIT"),
    Key::new(
        "gateway.token_window",
        WINDOW,
        "60",
        "length of the window in seconds",
    )
    .variable("GATEWAY_TOKEN_WINDOW"),
    Key::new(
        "gateway.token_mode",
        MODE,
        "balanced",
        "how certain the limit is: `strict` reserves the longest answer, `balanced` a usual one, `observe` nothing",
    ),
    Key::new(
        "gateway.requests_per_minute",
        COUNT,
        "0",
        "requests of each participant in a minute; 0 is no limit",
    ),
    Key::new(
        "gateway.output_limit",
        Kind::Integer {
            min: 1,
            max: 1_000_000,
        },
        "8192",
        "tokens of one answer, at most; also for clients that name no limit",
    ),
    Key::new(
        "gateway.output_weight",
        WEIGHT,
        "1",
        "what a token of an answer counts",
    ),
    Key::new(
        "gateway.cached_weight",
        WEIGHT,
        "0.1",
        "what a token of a prompt counts that the model remembered from before",
    ),
    Key::new(
        "gateway.queue_limit",
        Kind::Integer { min: 1, max: 1_000 },
        "8",
        "requests of one participant that may wait for the model",
    ),
    Key::new(
        "gateway.body_limit",
        Kind::Size { min: 1 << 20 },
        "32MiB",
        "size of one request, at most",
    ),
    Key::new(
        "gateway.redis_host",
        Kind::Host,
        "",
        "where several appliances keep their balances together",
    )
    .variable("GATEWAY_REDIS_HOST"),
    Key::new(
        "gateway.redis_port",
        Kind::Integer {
            min: 1,
            max: 65_535,
        },
        "6379",
        "its port",
    )
    .variable("GATEWAY_REDIS_PORT"),
    Key::new("gateway.redis_password", Kind::Text, "", "its password")
        .variable("GATEWAY_REDIS_PASSWORD")
        .secret(),
    Key::new(
        "gateway.redis_tls",
        Kind::Flag,
        "false",
        "whether it speaks TLS",
    ),
    Key::new(
        "gateway.redis_away",
        Kind::Words(&["refuse", "local"]),
        "refuse",
        "what happens while it cannot be reached: requests are refused, or limited by this appliance alone",
    ),
    Key::new(
        "gateway.model_concurrency",
        Kind::Items,
        "[]",
        "limits of single models, in place of the ones above",
    ),
    Key::new(
        "gateway.model_concurrency[].model",
        Kind::Text,
        "",
        "the model's name",
    )
    .required(),
    Key::new(
        "gateway.model_concurrency[].concurrency_limit",
        COUNT,
        "1",
        "requests to it at the same time; 0 is no limit",
    ),
    Key::new(
        "gateway.model_concurrency[].token_limit",
        TOKENS,
        "0",
        "its tokens in each window; 0 is no limit",
    ),
    Key::new(
        "gateway.model_concurrency[].token_window",
        WINDOW,
        "60",
        "length of the window in seconds",
    ),
    Key::new(
        "gateway.model_concurrency[].priority",
        Kind::Integer {
            min: -1000,
            max: 1000,
        },
        "0",
        "which model is served first; the greater number wins",
    ),
    Key::new(
        "gateway.limits",
        Kind::Items,
        "[]",
        "further limits, besides the one above; a request has to fit all of them",
    ),
    Key::new(
        "gateway.limits[].scope",
        Kind::Words(&["user", "group", "event"]),
        "user",
        "who shares it: nobody, a group, or everybody",
    ),
    Key::new(
        "gateway.limits[].model",
        Kind::Text,
        "",
        "the model that it is for; all together if none is named",
    ),
    Key::new(
        "gateway.limits[].tokens",
        LIMIT,
        "",
        "tokens in each window",
    )
    .required(),
    Key::new(
        "gateway.limits[].window",
        WINDOW,
        "60",
        "length of the window in seconds; 86400 is a day",
    ),
    Key::new(
        "gateway.limits[].mode",
        MODE,
        "balanced",
        "how certain it is",
    ),
    Key::new(
        "gateway.models",
        Kind::Items,
        "[]",
        "the models that are offered; all that the servers have if none is named",
    ),
    Key::new(
        "gateway.models[].name",
        Kind::Text,
        "",
        "what the server calls it",
    )
    .required(),
    Key::new(
        "gateway.models[].alias",
        Kind::Text,
        "",
        "what else participants may call it",
    ),
    Key::new(
        "gateway.backends",
        Kind::Items,
        "[]",
        "servers of language models, in place of the one of `lemonade`",
    ),
    Key::new(
        "gateway.backends[].url",
        Kind::Url,
        "",
        "its address, for example http://127.0.0.1:8080",
    )
    .required(),
    Key::new(
        "gateway.backends[].api_key_file",
        Kind::AbsolutePath,
        "",
        "a file that holds the key for it",
    ),
    Key::new(
        "gateway.usage_days",
        Kind::Integer { min: 1, max: 3_650 },
        "400",
        "how long the use of each day is remembered",
    ),
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
