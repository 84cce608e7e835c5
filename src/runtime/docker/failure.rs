//! What Docker's errors mean for the caller.

use std::time::Duration;

use bollard::errors::Error as DockerError;

use crate::runtime::RuntimeError;

/// An error as Docker gave it, before its meaning for the operation is known.
#[derive(Debug)]
pub(super) enum Failure {
    Answer {
        status: u16,
        message: String,
    },
    Refused(String),
    /// No answer, a broken one, or none in time.
    Unreachable(String),
}

impl Failure {
    pub(super) fn late(deadline: Duration) -> Self {
        Self::Unreachable(format!("no answer within {} s", deadline.as_secs()))
    }

    pub(super) fn is_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Answer { status, .. } if *status == wanted)
    }

    /// Docker tells many cases apart only in words, which are the same from 20.10 on.
    pub(super) fn says(&self, words: &str) -> bool {
        matches!(self, Self::Answer { message, .. } if contains(message, words))
    }
}

impl From<DockerError> for Failure {
    fn from(error: DockerError) -> Self {
        match error {
            DockerError::DockerResponseServerError {
                status_code,
                message,
            } => Self::Answer {
                status: status_code,
                message,
            },
            DockerError::SocketNotFoundError(path) => {
                Self::Unreachable(format!("there is no Docker socket at {path}"))
            }
            other => Self::Unreachable(last_cause(&other)),
        }
    }
}

impl From<Failure> for RuntimeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Answer { status, message } => meaning(status, message),
            Failure::Refused(why) => Self::Refused(why),
            Failure::Unreachable(why) => Self::Unavailable(why),
        }
    }
}

fn meaning(status: u16, message: String) -> RuntimeError {
    if contains(&message, "no space left on device") {
        return RuntimeError::Refused(
            "the host's disk is full: make room (`docker system df` shows what Docker keeps), then \
             start the instance again"
                .to_owned(),
        );
    }
    if contains(&message, "cannot allocate memory") {
        return RuntimeError::Refused(
            "the host has no memory left for another instance: stop some, or lower \
             sandbox.memory"
                .to_owned(),
        );
    }
    if contains(&message, "address already in use") {
        return RuntimeError::Unavailable(
            "another container still holds the instance's address".to_owned(),
        );
    }
    match status {
        404 if contains(&message, "no such container") => RuntimeError::Missing,
        400 | 403 => RuntimeError::Refused(format!("Docker refuses it: {message}")),
        _ => RuntimeError::Unavailable(message),
    }
}

fn contains(message: &str, words: &str) -> bool {
    message.to_lowercase().contains(&words.to_lowercase())
}

/// What happened is said by the last cause; before it come the libraries, one about the other.
fn last_cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    format!("Docker is not reachable: {last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, message: &str) -> RuntimeError {
        Failure::Answer {
            status,
            message: message.to_owned(),
        }
        .into()
    }

    #[test]
    fn a_full_disk_and_a_full_memory_are_said_in_words() {
        let full = error(500, "write /x: no space left on device").to_string();
        assert!(full.starts_with("the host's disk is full"), "{full}");
        let memory = error(500, "fork/exec: cannot allocate memory").to_string();
        assert!(memory.contains("no memory left"), "{memory}");
    }

    #[test]
    fn only_a_missing_container_is_missing() {
        assert_eq!(error(404, "No such container: x"), RuntimeError::Missing);
        assert!(matches!(
            error(404, "network thon0 not found"),
            RuntimeError::Unavailable(_)
        ));
    }

    #[test]
    fn a_bad_request_is_not_repeated_and_a_fault_is() {
        assert!(matches!(error(400, "x"), RuntimeError::Refused(_)));
        assert!(matches!(error(500, "x"), RuntimeError::Unavailable(_)));
        assert!(matches!(
            error(403, "Address already in use"),
            RuntimeError::Unavailable(_)
        ));
    }
}
