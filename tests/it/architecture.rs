//! The floors of the house: who may use whom, which room owns which outside crate, and that every
//! file says what it is for.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors, from the cellar up. A module uses lower floors only, never its own.
const FLOORS: &[&[&str]] = &[
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
    ("saphyr_parser", &["config"]),
    ("askama", &["portal", "proxy"]),
];

struct File {
    /// Relative to `src`, without `.rs`.
    path: String,
    text: String,
}

impl File {
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Lines of code: no comments, and no tests, which come last in a file.
    fn code(&self) -> String {
        self.text
            .lines()
            .take_while(|line| *line != "#[cfg(test)]")
            .map(str::trim_start)
            .filter(|line| !line.starts_with("//"))
            .flat_map(|line| [line, "\n"])
            .collect()
    }
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .map(|path| File {
            text: fs::read_to_string(&path).unwrap(),
            path: path
                .strip_prefix(&root)
                .unwrap()
                .with_extension("")
                .display()
                .to_string(),
        })
        .collect()
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

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
            let allowed = rooms.iter().any(|room| {
                file.path == *room
                    || file
                        .path
                        .strip_prefix(room)
                        .is_some_and(|rest| rest.starts_with('/'))
            });
            let word = format!("{krate}::");
            let names_it = |line: &str| {
                line.match_indices(&word).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                })
            };
            if !allowed && file.code().lines().any(names_it) {
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
