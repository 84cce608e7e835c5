//! Finds the file and parses it, naming every key that is not known.

use std::io;
use std::path::{Path, PathBuf};

use serde_yaml::Value;

use crate::config::env::{self, Places, Vars};
use crate::config::file::File;
use crate::config::validate::Problems;

/// A file larger than this is not a configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The text and where it came from; empty text without a source when there is no file anywhere.
pub(super) fn file(
    asked: Option<&Path>,
    vars: &dyn Vars,
) -> Result<(String, Option<PathBuf>), Problems> {
    let named = asked
        .map(Path::to_owned)
        .or_else(|| vars.value(env::CONFIG).map(PathBuf::from));
    if let Some(path) = named {
        return match text(&path)? {
            Some(text) => Ok((text, Some(path))),
            None => Err(problem(format!("there is no file {}", path.display()))),
        };
    }
    for path in [Places::of(vars).config, PathBuf::from("thon.yaml")] {
        if let Some(text) = text(&path)? {
            return Ok((text, Some(path)));
        }
    }
    Ok((String::new(), None))
}

fn text(path: &Path) -> Result<Option<String>, Problems> {
    let unreadable = |error: io::Error| problem(format!("cannot read {}: {error}", path.display()));
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
        Ok(meta) if meta.len() > FILE_BYTES_MAX => {
            return Err(problem(format!("{} is larger than 1 MiB", path.display())));
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(path).map(Some).map_err(unreadable)
}

impl File {
    /// As somebody would write it.
    pub fn to_yaml(&self) -> Result<String, Problems> {
        serde_yaml::to_string(self).map_err(|error| problem(error.to_string()))
    }
}

/// The file's contents. A wrong type ends it at once, with line and column; unknown keys are all
/// reported together.
pub(super) fn parse(text: &str) -> Result<File, Problems> {
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    let value: Value = serde_yaml::from_str(text).map_err(|error| problem(error.to_string()))?;
    if value.is_null() {
        return Ok(File::default());
    }
    let mut unknown = Vec::new();
    // From the text, not from `value`: only so do errors have a line.
    let file = serde_ignored::deserialize(serde_yaml::Deserializer::from_str(text), |path| {
        unknown.push(path.to_string());
    })
    .map_err(|error: serde_yaml::Error| problem(error.to_string()))?;
    if unknown.is_empty() {
        return Ok(file);
    }
    let mut problems = Problems::default();
    for key in unknown {
        let (section, last) = key.rsplit_once('.').unwrap_or(("", &key));
        problems.add(&key, unknown_key(last, &known_keys(section)));
    }
    Err(problems)
}

/// What to say of a key that nobody knows, among those that are.
pub(super) fn unknown_key(key: &str, known: &[String]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(candidate, key), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    match nearest {
        Some((_, name)) => format!("unknown key; did you mean `{name}`?"),
        None => format!("unknown key; known here: {}", known.join(", ")),
    }
}

/// The keys of a section, read off the structs themselves so that no list can fall behind.
fn known_keys(section: &str) -> Vec<String> {
    let Ok(value) = serde_yaml::to_value(File::default()) else {
        return Vec::new();
    };
    let here = if section.is_empty() {
        Some(&value)
    } else {
        value.get(section)
    };
    here.and_then(Value::as_mapping)
        .map_or_else(Vec::new, |mapping| {
            mapping
                .keys()
                .filter_map(|key| key.as_str().map(str::to_owned))
                .collect()
        })
}

fn problem(message: String) -> Problems {
    let mut problems = Problems::default();
    problems.add("", message);
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unknown_key_is_named_with_the_nearest_known_one() {
        let problems =
            parse("proxy:\n  htps_listen: x\n  nonsense_here: 1\nsandboxx: {}\n").unwrap_err();
        let text = problems.to_string();
        assert!(
            text.contains("proxy.htps_listen: unknown key; did you mean `https_listen`?"),
            "{text}"
        );
        assert!(
            text.contains("proxy.nonsense_here: unknown key; known here: "),
            "{text}"
        );
        assert!(
            text.contains("sandboxx: unknown key; did you mean `sandbox`?"),
            "{text}"
        );
    }

    #[test]
    fn a_wrong_type_is_reported_with_its_line() {
        let problems = parse("demo: true\ndashboard:\n  port: many\n").unwrap_err();
        assert!(problems.to_string().contains("line 3"), "{problems}");
    }

    #[test]
    fn an_empty_file_is_a_file_of_defaults() {
        assert!(parse("").is_ok());
        assert!(parse("# nothing yet\n").is_ok());
    }
}
