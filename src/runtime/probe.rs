//! Asks an editor whether it answers.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::domain::instance::EDITOR_COOKIE;
use crate::domain::secret::Secret;
use crate::runtime::RuntimeError;

const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// The workbench page is some 10 kB.
const BODY_BYTES_MAX: usize = 1 << 20;

/// `/healthz` says that it listens; `/` makes it load the workbench, which takes most of a second
/// that the first visitor would wait.
pub async fn ready(
    endpoint: SocketAddr,
    cookie: &Secret,
    deadline: Duration,
) -> Result<(), RuntimeError> {
    let late = |_| unavailable(format!("the editor did not answer within {deadline:?}"));
    tokio::time::timeout(deadline, asked(endpoint, cookie))
        .await
        .map_err(late)?
}

async fn asked(endpoint: SocketAddr, cookie: &Secret) -> Result<(), RuntimeError> {
    let health = get(endpoint, "/healthz", None).await?;
    if health.status != StatusCode::OK {
        return Err(unavailable(format!(
            "the editor answers {} to /healthz",
            health.status
        )));
    }
    let page = get(endpoint, "/", Some(cookie)).await?;
    if page.status.is_server_error() {
        return Err(unavailable(format!("the editor answers {}", page.status)));
    }
    if page.asks_for_a_password {
        return Err(RuntimeError::Refused(
            "the editor does not accept the password that THON gave it: recreate the instance"
                .to_owned(),
        ));
    }
    Ok(())
}

struct Answer {
    status: StatusCode,
    asks_for_a_password: bool,
}

/// A connection each: one that stays open counts as a visitor and keeps the editor's clock going.
async fn get(
    endpoint: SocketAddr,
    path: &str,
    cookie: Option<&Secret>,
) -> Result<Answer, RuntimeError> {
    let stream = tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(endpoint))
        .await
        .map_err(|_| unavailable("the editor does not accept a connection".to_owned()))?
        .map_err(|error| unavailable(format!("the editor does not listen yet: {error}")))?;
    let broken = |error: hyper::Error| unavailable(format!("the editor hung up: {error}"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let exchange = async {
        let response = sender
            .send_request(request(endpoint, path, cookie)?)
            .await
            .map_err(broken)?;
        let answer = Answer {
            status: response.status(),
            asks_for_a_password: leads_to_login(response.headers()),
        };
        // An answer cut short is good enough: what counts is that it was made.
        drop(
            Limited::new(response.into_body(), BODY_BYTES_MAX)
                .collect()
                .await,
        );
        Ok(answer)
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end first, with the answer already received.
        _ = connection => exchange.await,
    }
}

fn request(
    endpoint: SocketAddr,
    path: &str,
    cookie: Option<&Secret>,
) -> Result<Request<Empty<Bytes>>, RuntimeError> {
    let mut request = Request::get(path)
        .header(header::HOST, endpoint.to_string())
        .header(header::CONNECTION, "close")
        .header(header::ACCEPT, "text/html");
    if let Some(cookie) = cookie {
        let mut value = HeaderValue::from_str(&format!("{EDITOR_COOKIE}={}", encoded(cookie)))
            .map_err(|error| RuntimeError::Refused(error.to_string()))?;
        value.set_sensitive(true);
        request = request.header(header::COOKIE, value);
    }
    request
        .body(Empty::new())
        .map_err(|error| RuntimeError::Refused(error.to_string()))
}

/// RFC 6265's cookie-octets as they are, everything else and `%` percent-encoded: the editor
/// decodes what it reads.
fn encoded(cookie: &Secret) -> String {
    let mut text = String::new();
    for byte in cookie.expose().bytes() {
        match byte {
            b'"' | b',' | b';' | b'\\' | b'%' | 0..=0x20 | 0x7f.. => {
                text.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
            }
            plain => text.push(char::from(plain)),
        }
    }
    text
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

fn leads_to_login(headers: &http::HeaderMap) -> bool {
    headers
        .get(header::LOCATION)
        .and_then(|location| location.to_str().ok())
        .and_then(|location| location.split('?').next())
        .is_some_and(|path| path.ends_with("login"))
}

fn unavailable(why: String) -> RuntimeError {
    RuntimeError::Unavailable(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_sent_so_that_the_editor_reads_it_back() {
        let hash = Secret::new("$argon2id$v=19$m=65536,t=3,p=4$c2Fs+/A$aGFzaA");
        assert_eq!(
            encoded(&hash),
            "$argon2id$v=19$m=65536%2ct=3%2cp=4$c2Fs+/A$aGFzaA"
        );
        assert_eq!(encoded(&Secret::new("a;b\r\n%ä")), "a%3bb%0d%0a%25%c3%a4");
    }
}
