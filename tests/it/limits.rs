//! The table of limits in the operator's handbook says what the code does, and leaves nothing out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Whose every limit is in the table: what a stranger's request meets.
const ROOMS: [&str; 5] = ["edge", "proxy", "portal", "gateway", "admin"];

/// How the name of a limit ends.
const ENDINGS: [&str; 6] = ["_MAX", "_MIN", "_SIZE", "_TIME", "_TIMEOUT", "_WITHIN"];

/// A number in the sources, by file and name.
type Numbers = BTreeMap<(String, String), String>;

struct Row {
    text: String,
    default: String,
    file: String,
    name: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows that name a place.
fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let (_, after) = text.split_once("\n## Limits\n").unwrap();
    let (section, _) = after.split_once("\n## ").unwrap();
    section.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, _, default, _, place, _] = cells[..] else {
        return None;
    };
    let (file, name) = place.strip_prefix('`')?.split_once("` ")?;
    Some(Row {
        text: line.to_owned(),
        default: default.to_owned(),
        file: file.to_owned(),
        name: name.to_owned(),
    })
}

fn sources(dir: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else {
            let name = path.strip_prefix(root().join("src")).unwrap();
            let code = fs::read_to_string(&path).unwrap();
            let code = code.split("#[cfg(test)]\nmod ").next().unwrap();
            files.push((name.display().to_string(), code.to_owned()));
        }
    }
}

/// Constants, and the fields of the defaults of `Limits`, `Patience` and `Settings`.
fn numbers() -> Numbers {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut numbers = Numbers::new();
    for (file, code) in files {
        for statement in code.split(';') {
            if let Some((head, value)) = statement.rsplit_once(" = ")
                && let Some((name, _)) = head.rsplit_once(": ")
                && let Some((_, name)) = name.rsplit_once("const ")
                && let Some(shown) = shown(name, value)
            {
                numbers.insert((file.clone(), name.to_owned()), shown);
            }
        }
        for line in code.lines().map(str::trim) {
            if let Some((name, value)) = line.strip_suffix(',').and_then(|f| f.split_once(": "))
                && let Some(shown) = shown(name, value)
            {
                numbers
                    .entry((file.clone(), name.to_owned()))
                    .or_insert(shown);
            }
        }
    }
    numbers
}

/// As the handbook writes it; `None` for what is no number.
fn shown(name: &str, value: &str) -> Option<String> {
    let value = value.trim();
    if let Some((_, call)) = value.split_once("Duration::from_") {
        let (unit, count) = call.strip_suffix(')')?.split_once('(')?;
        let unit_ms = match unit {
            "millis" => 1,
            "secs" => 1_000,
            "mins" => 60_000,
            "hours" => 3_600_000,
            _ => return None,
        };
        return Some(time(number(count)? * unit_ms));
    }
    let count = number(value)?;
    Some(if name.to_ascii_lowercase().contains("bytes") {
        bytes(count)
    } else {
        grouped(count)
    })
}

/// `16_384`, `64 << 10` and `16 * 1024`.
fn number(text: &str) -> Option<u64> {
    if let Some((left, right)) = text.split_once(" << ") {
        return Some(number(left)? << number(right)?);
    }
    text.split(" * ")
        .map(|factor| factor.replace('_', "").parse::<u64>().ok())
        .product()
}

fn time(ms: u64) -> String {
    let units = [
        (86_400_000, "day"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1_000, "s"),
    ];
    let whole = |unit: &&(u64, &str)| ms >= unit.0 && ms.is_multiple_of(unit.0);
    match units.iter().find(whole) {
        Some((unit_ms, unit)) => format!("{} {unit}", ms / unit_ms),
        None => format!("{ms} ms"),
    }
}

fn bytes(count: u64) -> String {
    match count {
        n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    }
}

fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn the_table_says_what_the_code_does() {
    let (rows, numbers) = (rows(), numbers());
    assert!(rows.len() > 40, "the table was not found");
    let mut wrong = Vec::new();
    for row in rows {
        match numbers.get(&(row.file, row.name)) {
            Some(value) if is_beginning(&row.default, value) => {}
            Some(value) => wrong.push(format!("write {value}: {}", row.text)),
            None => wrong.push(format!("there is no such number: {}", row.text)),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// `16,384; fewer if …` begins with `16,384`; `160` does not begin with `16`.
fn is_beginning(default: &str, value: &str) -> bool {
    default
        .strip_prefix(value)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == ','))
}

#[test]
fn no_limit_that_a_stranger_meets_is_missing_from_the_table() {
    let told: Vec<_> = rows().into_iter().map(|row| (row.file, row.name)).collect();
    let mut missing = Vec::new();
    for ((file, name), value) in numbers() {
        let room = file.split(['/', '.']).next().unwrap();
        let is_limit = ENDINGS.iter().any(|ending| name.ends_with(ending))
            || file == "edge/limits.rs"
            || (file == "proxy/settings.rs" && value.contains(char::is_alphabetic));
        let key = (file.clone(), name.clone());
        if ROOMS.contains(&room) && is_limit && !told.contains(&key) {
            missing.push(format!("src/{file}: {name} ({value})"));
        }
    }
    assert!(
        missing.is_empty(),
        "say in docs/operating.md, section Limits, what happens at:\n{}",
        missing.join("\n")
    );
}

#[test]
fn numbers_are_written_as_people_read_them() {
    for (name, value, expected) in [
        ("bytes_max", "64 << 10", "64 KiB"),
        ("BODY_BYTES_MAX", "1024 * 1024", "1 MiB"),
        ("LEN_MAX", "16_384", "16,384"),
        ("timeout", "Duration::from_mins(30)", "30 min"),
        ("timeout", "Duration::from_secs(90)", "90 s"),
        ("IDLE_MAX", "SignedDuration::from_hours(24)", "1 day"),
    ] {
        assert_eq!(shown(name, value).as_deref(), Some(expected), "{value}");
    }
    assert_eq!(shown("X_MAX", "others"), None);
}
