//! The running appliance, if there is one: what it says of itself.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::findings::{Finding, Findings};
use crate::api::Status;
use crate::domain::health::Health;
use crate::server::catalogue::{self as code, CATALOGUE};
use crate::server::trouble::Severity;

/// A healthy one answers within milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 << 20;

pub(super) enum Asked {
    /// No appliance listens there.
    Nobody,
    Answers(Box<Status>),
    /// It is another account's.
    Forbidden,
    /// It listens, and this is why there is no answer.
    Mute(String),
}

impl Asked {
    pub(super) fn answers(&self) -> bool {
        matches!(self, Self::Answers(_))
    }
}

pub(super) async fn ask(socket: &Path) -> Asked {
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Asked::Forbidden,
        Err(_) => return Asked::Nobody,
    };
    match tokio::time::timeout(ANSWER_WITHIN, status(stream)).await {
        Ok(Ok(status)) => Asked::Answers(Box::new(status)),
        Ok(Err(error)) => Asked::Mute(error.to_string()),
        Err(_) => Asked::Mute(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
    }
}

async fn status(stream: UnixStream) -> anyhow::Result<Status> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/api/status")
        .header(header::HOST, "control")
        .body(Empty::<Bytes>::new())?;
    let answer = async move {
        let answer = sender.send_request(request).await?;
        anyhow::ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        match body.collect().await {
            Ok(body) => Ok(serde_json::from_slice(&body.to_bytes())?),
            Err(error) => Err(anyhow::anyhow!(error)),
        }
    };
    // The connection makes no progress by itself, and goes with us.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

/// Whether it could be asked at all.
pub(super) fn reached(asked: &Asked, findings: &mut Findings) {
    const PART: &str = "appliance";
    match asked {
        Asked::Nobody => findings.ok(PART, "none runs with these settings"),
        Asked::Answers(status) => {
            let text = format!("version {} serves {}", status.version, status.public_url);
            findings.ok(PART, text);
        }
        Asked::Forbidden => {
            let text = "an appliance runs that this account may not ask";
            findings.trouble(PART, code::NOT_ASKED.says(text));
        }
        Asked::Mute(why) => {
            let text = format!("an appliance runs and does not answer: {why}");
            findings.trouble(PART, code::MUTE.says(text));
        }
    }
}

pub(super) fn judge(status: &Status, findings: &mut Findings) {
    for listener in &status.listeners {
        let text = format!("{} serves {}", listener.address, listener.name);
        findings.ok("ports", text);
    }
    for part in &status.health.parts {
        match &part.health {
            Health::Ok => findings.ok("health", format!("{} is ok", part.name)),
            Health::Degraded { code, message } => findings.0.push(known(code, message)),
        }
    }
}

/// With the hint of the catalogue, if the code stands there.
fn known(code: &str, message: &str) -> Finding {
    let entry = CATALOGUE.iter().find(|entry| entry.code == code);
    Finding {
        severity: entry.map_or(Severity::Warning, |entry| entry.severity),
        code: Some(code.to_owned()),
        part: "health",
        message: message.to_owned(),
        hint: Some(
            entry
                .map_or("see `thon status`", |entry| entry.hint)
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn one_that_says_nonsense_or_nothing_is_told_from_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        assert!(matches!(ask(&path).await, Asked::Nobody));
        let listener = UnixListener::bind(&path).unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 500 Oh\r\n\r\n").await.unwrap();
        };
        let (asked, ()) = tokio::join!(ask(&path), serve);
        let mut findings = Findings::default();
        reached(&asked, &mut findings);
        assert_eq!(findings.codes(), ["THN-RUN-02"]);
        reached(&Asked::Forbidden, &mut findings);
        assert_eq!(findings.codes(), ["THN-RUN-02", "THN-RUN-03"]);
    }

    #[test]
    fn what_the_appliance_finds_itself_gets_the_catalogues_hint() {
        for code in [
            "THN-RUNTIME-02",
            "THN-RUNTIME-03",
            "THN-STORE-01",
            "THN-GATEWAY-01",
        ] {
            let finding = known(code, "words");
            assert!(finding.severity > Severity::Ok, "{code}");
            assert_ne!(finding.hint.as_deref(), Some("see `thon status`"), "{code}");
        }
        let finding = known("THN-NEW-99", "words");
        assert_eq!(finding.hint.as_deref(), Some("see `thon status`"));
    }
}
