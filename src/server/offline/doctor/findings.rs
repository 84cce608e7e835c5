//! What was found, one sentence a thing that was looked at.

use serde::Serialize;

use crate::server::trouble::{Severity, Trouble};

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Did an appliance with these settings answer?
    pub is_running: bool,
    pub errors: usize,
    pub warnings: usize,
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Of the table in `docs/operating.md`; nothing is wrong without one.
    pub code: Option<String>,
    /// What was looked at: `settings`, `ports`, …
    pub part: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    pub(super) fn ok(&mut self, part: &'static str, message: impl Into<String>) {
        self.0.push(Finding {
            severity: Severity::Ok,
            code: None,
            part,
            message: message.into(),
            hint: None,
        });
    }

    pub(super) fn trouble(&mut self, part: &'static str, trouble: Trouble) {
        self.0.push(Finding {
            severity: trouble.entry.severity,
            code: Some(trouble.entry.code.to_owned()),
            part,
            hint: Some(trouble.hint().to_owned()),
            message: trouble.message,
        });
    }

    /// Good words, or what is wrong instead.
    pub(super) fn add(&mut self, part: &'static str, seen: Result<impl Into<String>, Trouble>) {
        match seen {
            Ok(message) => self.ok(part, message),
            Err(trouble) => self.trouble(part, trouble),
        }
    }

    pub(super) fn into_diagnosis(self, is_running: bool) -> Diagnosis {
        let count = |severity| {
            let findings = self.0.iter();
            findings
                .filter(|finding| finding.severity == severity)
                .count()
        };
        Diagnosis {
            is_running,
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            findings: self.0,
        }
    }

    #[cfg(test)]
    pub(super) fn codes(&self) -> Vec<&str> {
        let codes = self.0.iter().filter_map(|finding| finding.code.as_deref());
        codes.collect()
    }
}
