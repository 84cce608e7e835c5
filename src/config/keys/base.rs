//! Keys at the top of the file: the event, who takes part, and this host.

use crate::config::env;
use crate::config::key::Key;
use crate::config::kind::Kind;

pub(super) const ROOT: &[Key] = &[
    Key::new(
        "groups",
        Kind::Groups,
        "{}",
        "who takes part: groups, and in each group its participants",
    ),
    Key::new(
        "demo",
        Kind::Flag,
        "false",
        "`thon launch` makes the group `demo` with `alice` and `bob` when nobody is named anywhere; `thon up` and `thon launch --demo` do so in any case",
    ),
    Key::new(
        "event_id",
        Kind::Text,
        "",
        "what programs call the event; the original's `groups.yaml` had it",
    )
    .variable("THON_EVENT_ID"),
    Key::new("title", Kind::Text, "", "what people call the event")
        .variable("THON_EVENT_TITLE")
        .later(),
    Key::new(
        "external_ip",
        Kind::Address,
        "",
        "the address in links, if `proxy.domain` is not set; also a name in the certificate",
    )
    .variable("EXTERNAL_IP")
    .computed("the host's address"),
    Key::new(
        "log_level",
        Kind::Words(&["DEBUG", "INFO", "WARNING", "ERROR"]),
        "INFO",
        "how much is logged",
    )
    .variable("THON_LOG_LEVEL"),
    Key::new(
        "state_dir",
        Kind::AbsolutePath,
        "",
        "records, certificate authority, log of the background; mode 0700",
    )
    .variable(env::STATE_DIR)
    .computed("`/var/lib/thon`; not root: `~/.thon`"),
    Key::new(
        "runtime_dir",
        Kind::AbsolutePath,
        "",
        "the control socket; mode 0700",
    )
    .variable(env::RUNTIME_DIR)
    .computed("`/run/thon`; not root: `$XDG_RUNTIME_DIR/thon`, else `~/.thon/run`"),
];
