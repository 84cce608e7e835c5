//! Keys of the agent, of tracing, and of how organizers sign in.

use crate::config::key::Key;
use crate::config::kind::Kind;

pub(super) const KILO: &[Key] = &[
    Key::new(
        "kilo.config_file",
        Kind::RelativePath,
        "",
        "a configuration of your own, in place of the one that is made",
    )
    .variable("THON_KILO_CONFIG")
    .later(),
    Key::new(
        "kilo.skeleton_file",
        Kind::RelativePath,
        "config/kilo.jsonc.skeleton",
        "what the one that is made starts from",
    )
    .later(),
    Key::new(
        "kilo.chat_model",
        Kind::Text,
        "lemonade/user.gemma-4-31b-it",
        "the model that it talks to",
    ),
    Key::new(
        "kilo.small_model",
        Kind::Text,
        "",
        "a smaller model for small tasks",
    ),
];

pub(super) const LANGFUSE: &[Key] = &[
    Key::new(
        "langfuse.enabled",
        Kind::Flag,
        "false",
        "whether requests to the model are traced",
    )
    .variable("LANGFUSE_ENABLED")
    .later(),
    Key::new(
        "langfuse.public_key",
        Kind::Text,
        "",
        "the public key of the project",
    )
    .variable("LANGFUSE_PUBLIC_KEY")
    .later(),
    Key::new("langfuse.secret_key", Kind::Text, "", "its secret key")
        .variable("LANGFUSE_SECRET_KEY")
        .secret()
        .later(),
    Key::new(
        "langfuse.base_url",
        Kind::Url,
        "https://cloud.langfuse.com",
        "where Langfuse is",
    )
    .variable("LANGFUSE_BASEURL")
    .later(),
];

pub(super) const AUTH: &[Key] = &[
    Key::new(
        "auth.enabled",
        Kind::Flag,
        "false",
        "whether organizers may sign in by one of the services below",
    )
    .variable("AUTH_ENABLED")
    .later(),
    Key::new(
        "auth.local_password",
        Kind::Text,
        "",
        "the password of the organizer",
    )
    .variable("AUTH_LOCAL_PASSWORD")
    .secret()
    .later(),
    Key::new(
        "auth.github.client_id",
        Kind::Text,
        "",
        "what GitHub calls this appliance",
    )
    .variable("AUTH_GITHUB_CLIENT_ID")
    .later(),
    Key::new(
        "auth.github.client_secret",
        Kind::Text,
        "",
        "what GitHub knows it by",
    )
    .variable("AUTH_GITHUB_CLIENT_SECRET")
    .secret()
    .later(),
    Key::new(
        "auth.gitlab.client_id",
        Kind::Text,
        "",
        "what GitLab calls this appliance",
    )
    .variable("AUTH_GITLAB_CLIENT_ID")
    .later(),
    Key::new(
        "auth.gitlab.client_secret",
        Kind::Text,
        "",
        "what GitLab knows it by",
    )
    .variable("AUTH_GITLAB_CLIENT_SECRET")
    .secret()
    .later(),
    Key::new(
        "auth.linkedin.client_id",
        Kind::Text,
        "",
        "what LinkedIn calls this appliance",
    )
    .variable("AUTH_LINKEDIN_CLIENT_ID")
    .later(),
    Key::new(
        "auth.linkedin.client_secret",
        Kind::Text,
        "",
        "what LinkedIn knows it by",
    )
    .variable("AUTH_LINKEDIN_CLIENT_SECRET")
    .secret()
    .later(),
    Key::gone(
        "auth.session_secret",
        "",
        "sessions are random numbers that the appliance remembers: no secret signs them",
    )
    .variable("AUTH_SESSION_SECRET")
    .secret(),
];
