//! What the sources and the documents say, for rules that nobody can forget to test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A source file of the program.
pub(crate) struct File {
    /// Relative to `src`, without `.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// What stands before the unit tests, which come last in a file.
    pub(crate) fn production(&self) -> String {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines
            .windows(2)
            .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests"));
        lines[..tests.unwrap_or(lines.len())].join("\n")
    }

    /// Lines of code: no comments, and no unit tests.
    pub(crate) fn code(&self) -> String {
        self.production()
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.starts_with("//"))
            .flat_map(|line| [line, "\n"])
            .collect()
    }
}

pub(crate) fn sources() -> Vec<File> {
    let src = root().join("src");
    rust_files(&src)
        .into_iter()
        .map(|path| File {
            text: fs::read_to_string(&path).unwrap(),
            path: path
                .strip_prefix(&src)
                .unwrap()
                .with_extension("")
                .display()
                .to_string(),
        })
        .collect()
}

/// Every `.rs` file below a directory.
pub(crate) fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// What stands between pairs of a mark: the texts in quotes, the words in backticks.
pub(crate) fn between(text: &str, mark: char) -> Vec<&str> {
    text.split(mark).skip(1).step_by(2).collect()
}

/// The part of a document below this heading, up to the next one of its rank.
pub(crate) fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let below = document
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("there is no {heading:?}"))
        .1;
    let rank = heading.split(' ').next().unwrap_or_default();
    below.split(&format!("\n{rank} ")).next().unwrap_or(below)
}

/// The method and path of every `.route(…)` of a router's source.
pub(crate) fn routes(source: &str) -> Vec<(String, String)> {
    let production = source.split("\nmod tests").next().unwrap_or(source);
    let mut found = Vec::new();
    for route in production.split(".route(").skip(1) {
        let path = between(route, '"')[0];
        let handlers = route.split(['\n', ')', ';']).collect::<Vec<_>>().join(" ");
        for method in ["get", "post", "put", "patch", "delete"] {
            let call = format!("{method}(");
            let is_there = handlers.match_indices(&call).any(|(at, _)| {
                !handlers[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            });
            if is_there {
                found.push((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    assert!(!found.is_empty(), "no route was found");
    found
}

/// Two lists of the same things: what is in one of them only, with the words for it.
pub(crate) fn agree<T: Ord + std::fmt::Debug>(
    (program, only_program): (&BTreeSet<T>, &str),
    (documents, only_documents): (&BTreeSet<T>, &str),
) {
    let missing: Vec<&T> = program.difference(documents).collect();
    let invented: Vec<&T> = documents.difference(program).collect();
    assert!(missing.is_empty(), "{only_program}: {missing:?}");
    assert!(invented.is_empty(), "{only_documents}: {invented:?}");
    assert!(!program.is_empty(), "nothing was found");
}

#[test]
fn routes_are_found_over_several_lines_and_with_several_methods() {
    let source = "Router::new()\n.route(\"/a\", get(x::show).post(x::get))\n.route(\n\"/b/{id}\",\ndelete(y),\n)\n.merge(z)";
    let found = routes(source);
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(m, p)| (m.as_str(), p.as_str()))
        .collect();
    assert_eq!(
        found,
        [("GET", "/a"), ("POST", "/a"), ("DELETE", "/b/{id}")]
    );
}
