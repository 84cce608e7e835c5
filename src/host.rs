//! The machine we stand on: packages, the Docker daemon, image building, interfaces, the service.

pub mod base_image;
pub mod command;
pub mod daemon;
mod embedded;
pub mod engine;
pub mod image;
pub mod interfaces;
pub mod packages;
pub mod routes;
pub mod service;

/// Named by what the person at the keyboard does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// What was tried, and the last lines that it printed.
    #[error("{what}{}", indented(.printed))]
    Failed { what: String, printed: String },
    /// It takes another user: this is what to type.
    #[error("this needs root: type `{command}`")]
    NeedsRoot { command: String },
}

impl HostError {
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Failed {
            what: what.into(),
            printed: String::new(),
        }
    }
}

/// What is being done now, for a progress bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Number of the step and how many there are, when that is known.
    pub step: Option<(u32, u32)>,
    pub text: String,
}

/// Called for everything that is worth showing.
pub type Report<'a> = &'a mut (dyn FnMut(Progress) + Send);

pub(crate) fn say(report: Report<'_>, text: impl Into<String>) {
    report(Progress {
        step: None,
        text: text.into(),
    });
}

/// Are we root?
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn indented(printed: &str) -> String {
    printed.lines().fold(String::new(), |mut text, line| {
        text.push_str("\n    ");
        text.push_str(line);
        text
    })
}

/// The last lines of a text, which is where programs say what went wrong.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let skipped = all.len().saturating_sub(lines);
    all.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_what_was_printed_and_what_to_type() {
        let failed = HostError::Failed {
            what: "`x` failed".to_owned(),
            printed: "a\nb".to_owned(),
        };
        assert_eq!(failed.to_string(), "`x` failed\n    a\n    b");
        let root = HostError::NeedsRoot {
            command: "sudo x".to_owned(),
        };
        assert!(root.to_string().contains("`sudo x`"));
        assert_eq!(tail("a\n\nb\nc\n", 2), "b\nc");
    }
}
