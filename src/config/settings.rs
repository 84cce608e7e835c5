//! The settings key by key: what was written where, what the environment says, and the defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::config::env::Vars;
use crate::config::key::{Key, Status};
use crate::config::kind;
use crate::config::note::{Note, Place, Problems, quoted};
use crate::config::read::{self, Source};
use crate::config::{ConfiguredGroup, build, environment, keys, rules, written, yaml};
use crate::domain::secret::Secret;

/// Nobody reads more of them, and a file of 1 MiB may hold half a million.
const PROBLEMS_MAX: usize = 100;

/// A value that was checked. No `Debug`: it may be a secret.
pub(super) struct Entry {
    pub(super) key: &'static Key,
    pub(super) text: String,
    pub(super) place: Place,
}

/// Which setting a value is for, what its author calls it, and where that is.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    pub(super) path: &'a str,
    pub(super) shown: &'a str,
    pub(super) place: &'a Place,
}

/// Every setting that somebody wrote, checked one by one and together.
#[derive(Default)]
pub struct Settings {
    pub(super) source: Source,
    /// By path, in which entries of lists are counted: `lemonade.chat_models[0].name`.
    pub(super) entries: BTreeMap<String, Entry>,
    /// How many entries a list has that was written, and where.
    pub(super) lists: BTreeMap<&'static str, (usize, Place)>,
    /// Files that hold secrets, by the secret's path.
    pub(super) secret_files: BTreeMap<&'static str, (String, Place)>,
    /// What was in a file that an entry of a list names, by the entry's path.
    pub(super) file_secrets: BTreeMap<String, Secret>,
    pub(super) groups: Vec<ConfiguredGroup>,
    /// Paths that something is wrong with: rules over several keys leave them alone.
    unsound: BTreeSet<String>,
    /// What the environment says of it; no key does.
    pub(super) docker_socket: Option<PathBuf>,
    problems: Vec<Note>,
    /// Further problems that are only counted.
    further: usize,
    warnings: Vec<Note>,
}

impl Settings {
    /// The file if there is one, then the environment over it.
    pub fn load(path: Option<&Path>, vars: &dyn Vars) -> Result<Self, Problems> {
        Self::read(read::source(path, vars)?, vars)
    }

    fn read(source: Source, vars: &dyn Vars) -> Result<Self, Problems> {
        let root = yaml::parse(&source.text).map_err(|faults| {
            let note = |fault: yaml::Fault| {
                let message = format!("column {}: {}", fault.column, fault.message);
                Note::new(&source.place(fault.line), "", message)
            };
            Problems(faults.into_iter().map(note).collect())
        })?;
        let mut settings = Self {
            source,
            ..Self::default()
        };
        written::take(&root, &mut settings);
        environment::take(vars, &mut settings);
        rules::apply(vars, &mut settings);
        // In the order of the file; what came together stays together.
        settings.problems.sort_by(|a, b| a.place.cmp(&b.place));
        settings.warnings.sort_by(|a, b| a.place.cmp(&b.place));
        if settings.problems.is_empty() {
            return Ok(settings);
        }
        if settings.further > 0 {
            let message = format!("{} more problems", settings.further);
            let place = settings.source.place(0);
            settings.problems.push(Note::new(&place, "", message));
        }
        Err(Problems(settings.problems))
    }

    #[cfg(test)]
    pub(super) fn of(text: &str, vars: &dyn Vars) -> Result<Self, Problems> {
        let source = Source {
            path: Some("thon.yaml".into()),
            text: text.to_owned(),
            ..Source::default()
        };
        Self::read(source, vars)
    }

    /// One plain struct per part.
    pub fn config(self) -> crate::config::Config {
        build::config(self)
    }

    pub fn source(&self) -> Option<&Path> {
        self.source.path.as_deref()
    }

    pub fn groups(&self) -> &[ConfiguredGroup] {
        &self.groups
    }

    /// What is accepted and not what its author may think.
    pub fn warnings(&self) -> &[Note] {
        &self.warnings
    }

    pub(super) fn problem(&mut self, place: &Place, path: &str, message: impl Into<String>) {
        self.unsound.insert(path.to_owned());
        if self.has_enough_problems() {
            self.further += 1;
        } else {
            self.problems.push(Note::new(place, path, message));
        }
    }

    /// What else is wrong needs no good words.
    pub(super) fn has_enough_problems(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    pub(super) fn warn(&mut self, place: &Place, path: &str, message: impl Into<String>) {
        self.warnings.push(Note::new(place, path, message));
    }

    /// Writes a value down if its key accepts it. `shown` is the path as its author wrote it.
    pub(super) fn set(&mut self, spot: Spot<'_>, key: &'static Key, text: &str) {
        let Spot { path, shown, place } = spot;
        let Some(text) = key.kind.checked(text) else {
            let value = if key.secret {
                "the value".to_owned()
            } else {
                quoted(text)
            };
            let accepted = key.kind.accepted();
            self.unsound.insert(path.to_owned());
            self.problem(
                place,
                shown,
                format!("{value} is not accepted: write {accepted}"),
            );
            return;
        };
        let place = place.clone();
        self.entries
            .insert(path.to_owned(), Entry { key, text, place });
    }

    /// A value that follows from others.
    pub(super) fn follow(&mut self, path: &'static str, text: &str, place: Place) {
        if let Some(key) = keys::find(path) {
            let place = &place;
            let spot = Spot {
                path,
                shown: path,
                place,
            };
            self.set(spot, key, text);
        }
    }

    /// What is in force for a key: what was written, or else its default.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        let key = keys::find(path);
        debug_assert!(key.is_some(), "{path} is no key");
        let default = key.map(|key| key.default).filter(|text| !text.is_empty());
        self.entries
            .get(path)
            .map(|entry| entry.text.as_str())
            .or(default)
    }

    pub(super) fn parsed<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    pub(super) fn number<T: FromStr + Default>(&self, path: &str) -> T {
        self.parsed(path).unwrap_or_default()
    }

    pub(super) fn flag(&self, path: &str) -> bool {
        self.text(path).and_then(kind::flag).unwrap_or(false)
    }

    pub(super) fn string(&self, path: &str) -> String {
        self.text(path).unwrap_or_default().to_owned()
    }

    pub(super) fn path(&self, path: &str) -> Option<PathBuf> {
        self.text(path).map(PathBuf::from)
    }

    /// Where a value was written, if it was and says something else than the default.
    pub(super) fn written(&self, path: &str) -> Option<&Place> {
        let entry = self.entries.get(path)?;
        (entry.text != entry.key.default && entry.place != Place::Default).then_some(&entry.place)
    }

    /// Nothing is wrong with any of these, so that a rule may look at them together.
    pub(super) fn sound(&self, paths: &[&str]) -> bool {
        let is_below = |unsound: &str, path: &str| {
            let rest = unsound.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        !paths.iter().any(|path| {
            let from = self
                .unsound
                .range::<str, _>((Bound::Included(*path), Bound::Unbounded));
            let mut near = from.take_while(|unsound| unsound.starts_with(path));
            near.any(|unsound| is_below(unsound, path))
        })
    }

    /// Whether somebody wrote it, as a value or as a list.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.entries.contains_key(key.path) || self.lists.contains_key(key.path)
    }

    /// How many entries a list has.
    pub(super) fn length(&self, path: &str) -> usize {
        self.lists.get(path).map_or(0, |(length, _)| *length)
    }

    /// Keys that were written, whose author will wonder why nothing happens.
    pub(super) fn set_in(&self, status: Status) -> Vec<(&str, &Entry)> {
        let entries = self
            .entries
            .iter()
            .filter(|(path, entry)| entry.key.status == status && self.written(path).is_some());
        entries
            .map(|(path, entry)| (path.as_str(), entry))
            .collect()
    }
}

/// The path of the entries of a list, `name[0]` and on.
pub(super) fn at(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
