//! Client of the admin API: HTTP/1.1 over the appliance's control socket.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::failure::Failure;
use crate::api::ErrorEnvelope;

/// Larger answers are a mistake.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// As many as the appliance gives at a time.
const PAGE_SIZE: usize = 200;

/// Longer than the slowest call, a restart that waits for the editor to end.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// The appliance, as the one who owns its socket reaches it.
#[derive(Clone, Debug)]
pub(super) struct Client {
    socket: PathBuf,
}

impl Client {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(&self.call(Method::GET, path, Bytes::new()).await?)
    }

    /// What is no JSON.
    pub(super) async fn text(&self, path: &str) -> Result<String, Failure> {
        let answer = self.call(Method::GET, path, Bytes::new()).await?;
        String::from_utf8(answer.into())
            .map_err(|_| Failure::new("the appliance's answer is no text"))
    }

    /// Every page of a list; `open` takes a page's items out, with how many there are in all.
    pub(super) async fn every<L: DeserializeOwned, T>(
        &self,
        path: &str,
        open: impl Fn(L) -> (Vec<T>, usize),
    ) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        for page in 1.. {
            let target = format!("{path}?page={page}&page_size={PAGE_SIZE}");
            let (items, total) = open(self.get(&target).await?);
            let is_last = items.is_empty() || all.len() + items.len() >= total;
            all.extend(items);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    /// Without anything to say in the body.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(&self.call(Method::POST, path, Bytes::new()).await?)
    }

    pub(super) async fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, Failure> {
        read(&self.call(Method::POST, path, written(body)?).await?)
    }

    pub(super) async fn put<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, Failure> {
        read(&self.call(Method::PUT, path, written(body)?).await?)
    }

    /// The answer's body, which may be empty, is not looked at.
    pub(super) async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.call(Method::DELETE, path, Bytes::new()).await?;
        Ok(())
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "control")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Failure::new(format!("the request is not valid: {error}")))?;
        let (status, answer) = tokio::time::timeout(ANSWER_MAX, exchange(stream, request))
            .await
            .map_err(|_| Failure::new("the appliance did not answer in time"))?
            .map_err(|error| Failure::new(format!("the appliance broke off: {error}")))?;
        if status.is_success() {
            Ok(answer)
        } else {
            Err(refused(status, &answer))
        }
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Failure::new("the appliance is not running").hint(format!(
                    "start it with `thon up` or `systemctl start thon`; if root or another account started it, use `sudo` or that account (nobody answers at {socket})"
                ))
            }
            io::ErrorKind::PermissionDenied => {
                Failure::new(format!("you may not talk to the appliance at {socket}"))
                    .hint("use `sudo`, or the account that started it")
            }
            _ => Failure::new(format!("{socket}: {error}")),
        }
    }
}

type Exchange = Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>>;

async fn exchange(stream: UnixStream, request: Request<Full<Bytes>>) -> Exchange {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut answer = pin!(async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
        Ok((head.status, body.to_bytes()))
    });
    // The connection makes no progress by itself; it may end before the answer was looked at.
    tokio::select! {
        biased;
        answer = &mut answer => return answer,
        _ = connection => {}
    }
    answer.await
}

fn written<B: Serialize>(body: &B) -> Result<Bytes, Failure> {
    let body = serde_json::to_vec(body);
    let body = body.map_err(|error| Failure::new(format!("the request is no JSON: {error}")))?;
    Ok(body.into())
}

fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer).map_err(|error| {
        Failure::new(format!(
            "the appliance's answer was not understood: {error}"
        ))
        .hint("are the command and the appliance of the same version?")
    })
}

fn refused(status: StatusCode, answer: &[u8]) -> Failure {
    match serde_json::from_slice::<ErrorEnvelope>(answer) {
        Ok(envelope) => Failure::new(envelope.error.message),
        Err(_) => Failure::new(format!("the appliance answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_socket_means_that_nothing_runs_and_says_how_to_start() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(dir.path().join("control.sock"));
        let failure = client.get::<()>("/api/status").await.unwrap_err();
        assert_eq!(failure.message, "the appliance is not running");
        assert!(failure.hint.unwrap().contains("thon up"));
    }

    #[test]
    fn a_refusal_is_told_in_the_appliances_words() {
        let envelope = serde_json::to_vec(&ErrorEnvelope::new("conflict", "taken")).unwrap();
        assert_eq!(refused(StatusCode::CONFLICT, &envelope).message, "taken");
        let other = refused(StatusCode::BAD_GATEWAY, b"<html>");
        assert!(other.message.contains("502"));
    }
}
