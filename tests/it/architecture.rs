//! The floors of the house: who may use whom, which room owns which outside crate, and that every
//! file says what it is for.

use crate::support::sources::{File, root, rust_files, sources, text};

/// The floors, from the cellar up. A module uses lower floors only, never its own.
pub(crate) const FLOORS: &[&[&str]] = &[
    &["domain"],
    &["config"],
    &[
        "store",
        "runtime",
        "routing",
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
    (
        "cli",
        &[
            "store", "runtime", "routing", "auth", "tls", "edge", "control", "proxy", "gateway",
            "portal", "admin", "host",
        ],
        "commands are clients of the admin API",
    ),
];

/// Outside crates and the only places that may name them, so that replacing one is a local change.
const CONFINED: &[(&str, &[&str])] = &[
    ("redb", &["store"]),
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
    ("nix", &["config", "edge", "host", "server"]),
    ("rustls", &["edge", "proxy", "server", "tls"]),
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
    "sha2",
    "thiserror",
    "tokio",
    "tokio_util",
    "tower",
    "tracing",
];

/// Lines of a file before its unit tests.
const LINES_MAX: usize = 400;

/// To be split. Nothing is added here.
const TOO_LONG: &[&str] = &["config/validate"];

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

#[test]
fn no_file_is_longer_than_a_reader_s_patience() {
    for file in sources() {
        let lines = file.production().lines().count();
        assert!(
            lines <= LINES_MAX || TOO_LONG.contains(&file.path.as_str()),
            "src/{}.rs has {lines} lines before its tests, at most {LINES_MAX} are wanted: split it",
            file.path
        );
    }
}

#[test]
fn nobody_reaches_past_their_parent() {
    for path in rust_files(&root().join("src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains("super::super"),
            "{}: name the way from the crate's root",
            path.display()
        );
    }
}

#[test]
fn every_file_opens_with_a_sentence_that_says_what_it_is_for() {
    let mut wrong = Vec::new();
    for file in sources() {
        let first = file.text.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") || first.len() < 20 {
            wrong.push(format!("src/{}.rs: {first}", file.path));
        }
    }
    assert!(
        wrong.is_empty(),
        "say it in a `//!` line:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_file_is_named_mod_and_no_module_is_a_drawer() {
    let drawers = [
        "util", "utils", "common", "helpers", "misc", "manager", "types", "models",
    ];
    for file in sources() {
        let name = file.path.rsplit('/').next().unwrap_or_default().to_owned();
        assert_ne!(
            name, "mod",
            "src/{}.rs: write part.rs beside part/",
            file.path
        );
        assert!(
            !drawers.contains(&name.as_str()),
            "src/{}.rs: what is it for?",
            file.path
        );
    }
}
