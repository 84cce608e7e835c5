//! Keys of the listeners that people's browsers meet.

use crate::config::key::Key;
use crate::config::kind::Kind;

pub(super) const PROXY: &[Key] = &[
    Key::new(
        "proxy.https_listen",
        Kind::Listen,
        "0.0.0.0:443",
        "the public listener: pages, editors, `/v1`",
    ),
    Key::new(
        "proxy.http_listen",
        Kind::Listen,
        "0.0.0.0:80",
        "the plain listener: `/ca`, `/ca.crt`, `/health`, `/static`; everything else is sent to TLS",
    ),
    Key::new(
        "proxy.domain",
        Kind::Domain,
        "",
        "the host in links, and a name in the certificate",
    )
    .variable("THON_DOMAIN"),
    Key::new(
        "proxy.external_ip",
        Kind::Address,
        "",
        "the same as `external_ip` at the top; wins over it",
    ),
    Key::new(
        "proxy.ssl_provider",
        Kind::Words(&["auto", "certbot", "mkcert", "openssl", "files", "none"]),
        "auto",
        "where the certificate comes from: `auto`, `mkcert` and `openssl` all mean the appliance's own authority, `files` the two files below, `none` plain HTTP, `certbot` Let's Encrypt, in whose place this version uses its own authority",
    )
    .variable("THON_SSL_PROVIDER"),
    Key::new(
        "proxy.ssl_certificate",
        Kind::AbsolutePath,
        "",
        "with `files`: the certificate and its chain, in PEM",
    )
    .computed("`fullchain.pem` in `ssl_dir`"),
    Key::new(
        "proxy.ssl_certificate_key",
        Kind::AbsolutePath,
        "",
        "with `files`: its private key, in PEM",
    )
    .computed("`privkey.pem` in `ssl_dir`"),
    Key::new(
        "proxy.ssl_dir",
        Kind::AbsolutePath,
        "",
        "with `files`: the directory of both files, if they are not named",
    ),
    Key::new(
        "proxy.certbot_email",
        Kind::Email,
        "",
        "whom Let's Encrypt writes to",
    )
    .variable("THON_CERTBOT_EMAIL")
    .later(),
    Key::new(
        "proxy.trusted_proxies",
        Kind::Networks,
        "[]",
        "whose `X-Forwarded-*` headers are believed: addresses and ranges, never everybody",
    ),
    Key::gone(
        "proxy.enabled",
        "true",
        "the proxy is part of THON and always on; behind a proxy of your own write `proxy.ssl_provider: none`",
    )
    .of(Kind::Flag),
];

pub(super) const DASHBOARD: &[Key] = &[
    Key::new(
        "dashboard.host",
        Kind::Address,
        "0.0.0.0",
        "where the admin listener listens",
    )
    .variable("DASHBOARD_HOST"),
    Key::new(
        "dashboard.port",
        Kind::Integer {
            min: 0,
            max: 65_535,
        },
        "8100",
        "its port",
    )
    .variable("DASHBOARD_PORT"),
    Key::new(
        "dashboard.metrics_token",
        Kind::Text,
        "",
        "what a Prometheus server shows to get `/metrics` from the admin listener; without it nobody gets them there",
    )
    .variable("DASHBOARD_METRICS_TOKEN")
    .secret(),
    Key::gone(
        "dashboard.debug",
        "false",
        "there is nothing to reload; for more in the log write `log_level: DEBUG`",
    )
    .of(Kind::Flag)
    .variable("DASHBOARD_DEBUG"),
];
