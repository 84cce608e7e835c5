//! `thon doctor`: everything that is wrong on this host, and what to do about it.

use super::Context;
use super::failure::Failure;
use super::words::{clean, count};
use crate::server::{self, Diagnosis, Finding, Severity};

pub(super) fn perform(context: &Context<'_>) -> Result<(), Failure> {
    let diagnosis = server::doctor(context.config_path.as_deref(), context.vars)?;
    context.output.show(&diagnosis, words)?;
    if diagnosis.errors == 0 {
        return Ok(());
    }
    let (errors, warnings) = (diagnosis.errors, diagnosis.warnings);
    Err(Failure::new(format!(
        "{} and {} found",
        count(errors, "error"),
        count(warnings, "warning")
    )))
}

fn words(diagnosis: &Diagnosis) -> String {
    let lines: Vec<String> = diagnosis.findings.iter().map(line).collect();
    lines.join("\n")
}

fn line(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Ok => "ok",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let code = finding.code.as_ref();
    let code = code.map_or_else(String::new, |code| format!(" ({})", clean(code)));
    let hint = finding.hint.as_ref();
    let hint = hint.map_or_else(String::new, |hint| {
        format!("\n{:22}hint: {}", "", clean(hint))
    });
    let (part, message) = (finding.part, clean(&finding.message));
    format!("{severity:<8} {part:<12} {message}{code}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_has_its_code_and_its_hint() {
        let finding = Finding {
            severity: Severity::Error,
            code: Some("THN-PORT-01".to_owned()),
            part: "ports",
            message: "0.0.0.0:443 is in use".to_owned(),
            hint: Some("stop it".to_owned()),
        };
        assert_eq!(
            line(&finding),
            "error    ports        0.0.0.0:443 is in use (THN-PORT-01)\n                      hint: stop it"
        );
    }
}
