//! The floors of the house: who may use whom, which room owns which outside crate, and what happens
//! in one place only.

use crate::support::sources::{File, sources, text};

/// The floors, from the cellar up. A module uses lower floors only, never its own.
pub(crate) const FLOORS: &[&[&str]] = &[
    &["domain"],
    &["config"],
    &[
        "store",
        "runtime",
        "routing",
        "limiter",
        "llm",
        "lemonade",
        "host",
        "auth",
        "tls",
        "edge",
        "telemetry",
    ],
    &["control", "api"],
    &["proxy", "gateway", "portal", "admin"],
    &["server"],
    &["cli"],
];

/// What the floors would allow and is refused all the same.
const REFUSALS: &[(&str, &[&str], &str)] = &[
    (
        "proxy",
        &["control", "store", "runtime"],
        "a request in flight reads snapshots in memory",
    ),
    (
        "gateway",
        &["control", "store", "runtime"],
        "a request in flight reads snapshots in memory",
    ),
    (
        "admin",
        &["store", "runtime", "routing"],
        "handlers go through `control`",
    ),
    (
        "portal",
        &["store", "runtime", "routing"],
        "handlers go through `control`",
    ),
];

/// Who may use these rooms and nothing else, whatever rooms there will be.
const ONLY: &[(&str, &[&str], &str)] = &[(
    "cli",
    &["domain", "config", "api", "telemetry", "server"],
    "commands are clients of the admin API",
)];

/// What is done in one place only.
const ONE_PLACE: &[(&str, &[&str], &str)] = &[
    (
        "runtime.create( runtime.start( runtime.stop( runtime.pause( runtime.unpause( runtime.remove(",
        &["control/reconcile", "runtime"],
        "the one loop changes the runtime",
    ),
    (
        "table.publish(",
        &["control/publish"],
        "one writer keeps an older table from replacing a newer one",
    ),
    (
        "std::process::exit( ExitCode::from(",
        &["main"],
        "only `main` chooses the exit code",
    ),
];

/// Outside crates and the only places that may name them, so that replacing one is a local change.
const CONFINED: &[(&str, &[&str])] = &[
    ("redb", &["store"]),
    ("redis", &["limiter"]),
    ("arc_swap", &["routing", "tls"]),
    ("bollard", &["runtime/docker", "host"]),
    ("pingora", &["edge", "proxy", "server"]),
    (
        "axum",
        &[
            "admin",
            "portal",
            "gateway",
            "proxy/bridge",
            "proxy",
            "edge",
        ],
    ),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("prometheus_client", &["telemetry"]),
    ("rcgen", &["tls"]),
    ("x509_parser", &["tls"]),
    ("qrcode", &["portal/ca"]),
    ("sha1", &["portal/ca", "proxy/self_test"]),
    ("serde_yaml", &["config"]),
    ("askama", &["portal", "proxy"]),
    ("anyhow", &["cli", "server"]),
    ("file_rotate", &["telemetry"]),
    ("getrandom", &["auth"]),
    ("hmac", &["auth"]),
    ("memchr", &["llm"]),
    ("nix", &["config", "edge", "host", "server", "store", "tls"]),
    ("rustls", &["edge", "portal/ca", "proxy", "server", "tls"]),
    ("saphyr_parser", &["config"]),
    ("sd_notify", &["server"]),
    ("serde_ignored", &["config"]),
    ("strsim", &["config"]),
    ("subtle", &["domain"]),
    ("tar", &["host", "runtime/docker"]),
    ("time", &["tls"]),
    ("tokio_rustls", &["edge"]),
    ("tracing_subscriber", &["telemetry"]),
    ("x509_parser", &["tls"]),
];

/// Outside crates that any room may name: words, not machinery.
const EVERYWHERE: &[&str] = &[
    "async_trait",
    "base64",
    "bytes",
    "futures_util",
    "http",
    "http_body",
    "http_body_util",
    "hyper",
    "hyper_util",
    "ipnet",
    "jiff",
    "parking_lot",
    "qrcode",
    "serde",
    "serde_json",
    "sha1",
    "sha2",
    "thiserror",
    "tokio",
    "tokio_util",
    "tower",
    "tracing",
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The modules that code names by `crate::…`, also several in braces, over lines and nested.
fn named(code: &str) -> Vec<String> {
    code.match_indices("crate::")
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .flat_map(|(at, found)| {
            let rest = &code[at + found.len()..];
            match rest.strip_prefix('{') {
                Some(list) => listed(list),
                None => vec![word(rest)],
            }
        })
        .collect()
}

/// The first word of each entry of a list, up to the brace that closes it.
fn listed(list: &str) -> Vec<String> {
    let mut words = vec![word(list)];
    let mut depth = 0;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => words.push(word(&list[at + 1..])),
            _ => {}
        }
    }
    words
}

fn word(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn modules_are_found_in_lists_over_several_lines() {
    let code = "use crate::{\n    auth::{self, token},\n    store,\n};\nlet x = crate::tls::y();";
    assert_eq!(named(code), ["auth", "store", "", "tls"]);
}

#[test]
fn every_module_has_a_floor_and_uses_lower_floors_only() {
    let mut wrong = Vec::new();
    for file in sources() {
        let module = file.module().to_owned();
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let Some(own) = floor(&module) else {
            wrong.push(format!(
                "src/{}: give the module `{module}` a floor here and in HOUSE",
                file.path
            ));
            continue;
        };
        let used = named(&file.code()).into_iter();
        for used in used.filter(|used| *used != module) {
            if floor(&used).is_some_and(|floor| floor >= own) {
                wrong.push(format!(
                    "src/{}: `{module}` is not above `{used}`",
                    file.path
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_further_refusals_hold() {
    let mut wrong = Vec::new();
    for file in sources() {
        for (module, refused, reason) in REFUSALS
            .iter()
            .filter(|(module, ..)| *module == file.module())
        {
            let used = named(&file.code()).into_iter();
            for used in used.filter(|used| refused.contains(&used.as_str())) {
                wrong.push(format!(
                    "src/{}: {module} may not name {used}: {reason}",
                    file.path
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn whoever_is_told_what_to_use_uses_nothing_else() {
    let mut wrong = Vec::new();
    for file in sources() {
        for (module, allowed, reason) in ONLY.iter().filter(|(it, ..)| *it == file.module()) {
            let others = named(&file.code()).into_iter().filter(|used| {
                used != module && floor(used).is_some() && !allowed.contains(&used.as_str())
            });
            for used in others {
                let path = &file.path;
                wrong.push(format!(
                    "src/{path}: {module} may not name {used}: {reason}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_done_in_one_place_is_done_nowhere_else() {
    for (calls, rooms, reason) in ONE_PLACE {
        let mut found = false;
        for file in sources() {
            let code = file.code();
            let calls_it = calls.split(' ').any(|call| code.contains(call));
            let is_at_home = rooms.iter().any(|room| is_in(&file, room));
            assert!(
                is_at_home || !calls_it,
                "src/{}: {calls}: {reason}",
                file.path
            );
            found |= calls_it;
        }
        assert!(found, "nobody calls {calls} any more");
    }
}

#[test]
fn outside_crates_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for file in sources() {
        for (krate, rooms) in CONFINED {
            if !rooms.iter().any(|room| is_in(&file, room)) && names_crate(&file, krate) {
                wrong.push(format!(
                    "src/{}: `{krate}` belongs in {}",
                    file.path,
                    rooms.join(", ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn is_in(file: &File, room: &str) -> bool {
    let rest = file.path.strip_prefix(room);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn names_crate(file: &File, krate: &str) -> bool {
    let word = format!("{krate}::");
    file.code().lines().any(|line| {
        line.match_indices(&word).any(|(at, _)| {
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
        })
    })
}

#[test]
fn every_dependency_has_a_room() {
    let manifest = text("Cargo.toml");
    let table = manifest
        .split("\n[dependencies]\n")
        .nth(1)
        .and_then(|rest| rest.split("\n[").next())
        .unwrap();
    let mut homeless = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, _)) = line.split_once(" = ") else {
            continue;
        };
        let name = name.replace('-', "_");
        let has_rooms = CONFINED.iter().any(|(krate, _)| *krate == name);
        if !has_rooms && !EVERYWHERE.contains(&name.as_str()) {
            homeless.push(name);
        }
    }
    assert!(
        homeless.is_empty(),
        "give them a line of CONFINED (or EVERYWHERE): {homeless:?}"
    );
}
