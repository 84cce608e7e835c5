//! The WebSocket by which `/ca` finds out whether a browser gets one through: it says one short
//! message back and ends. Anybody may open it, so everything about it has a bound.

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use parking_lot::Mutex;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use sha1::{Digest as _, Sha1};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::access::Initiator;
use super::authority::Authority;
use super::is_websocket;
use super::page::Reader;
use super::refusal::Refusal;
use super::visitor;
use crate::edge::Caller;

const PATH: &str = "/ca/test/socket";

/// At the same time, from everybody. A browser holds one for as long as a round trip takes, so the one
/// that is open longest makes room: whoever holds many keeps nobody else from the test.
const OPEN_MAX: usize = 64;

/// From the answer to the end, however slowly the other side speaks.
const LIFETIME: Duration = Duration::from_secs(10);

/// A control frame's worth; more needs another form of length.
const MESSAGE_BYTES_MAX: usize = 125;

/// Two bytes of head, four of mask.
const FRAME_BYTES_MAX: usize = 6 + MESSAGE_BYTES_MAX;

/// RFC 6455, section 1.3.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const TEXT: u8 = 0x81;

/// A close frame that says nothing more than 1000.
const GOODBYE: [u8; 4] = [0x88, 0x02, 0x03, 0xE8];

#[derive(Default)]
pub(super) struct SelfTest {
    open: Mutex<Open>,
}

/// Those that are open, the oldest first.
#[derive(Default)]
struct Open {
    begun: u64,
    ends: VecDeque<(u64, CancellationToken)>,
}

/// One conversation, counted for as long as this lives.
pub(super) struct Turn<'a> {
    of: &'a SelfTest,
    number: u64,
    end: CancellationToken,
    accept: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut open = self.of.open.lock();
        open.ends.retain(|(number, _)| *number != self.number);
    }
}

/// Is this request for it? Anything else under the path is the portal's.
pub(super) fn is_asked(session: &Session) -> bool {
    session.req_header().uri.path() == PATH && is_websocket(session)
}

impl SelfTest {
    /// A place and what to answer, before anything is written.
    pub(super) fn admit(&self, session: &Session, caller: &Caller) -> Result<Turn<'_>, Refusal> {
        let header = session.req_header();
        let authority = Authority::of(header, caller).ok_or(Refusal::BadHost)?;
        let ask = visitor::ask(
            &header.method,
            &header.headers,
            Reader::Program,
            true,
            &authority,
        );
        if ask.initiator == Initiator::Foreign {
            return Err(Refusal::Foreign);
        }
        let accept = accept(header).ok_or(Refusal::Malformed)?;
        Ok(self.begin(accept))
    }

    fn begin(&self, accept: String) -> Turn<'_> {
        let end = CancellationToken::new();
        let mut open = self.open.lock();
        if open.ends.len() >= OPEN_MAX
            && let Some((_, oldest)) = open.ends.pop_front()
        {
            oldest.cancel();
        }
        open.begun += 1;
        let number = open.begun;
        open.ends.push_back((number, end.clone()));
        Turn {
            of: self,
            number,
            end,
            accept,
        }
    }
}

/// Says back what was said. The connection ends with it.
pub(super) async fn converse(session: &mut Session, turn: &Turn<'_>) -> Result<()> {
    session.set_keepalive(None);
    session.set_read_timeout(Some(LIFETIME));
    session.set_write_timeout(Some(LIFETIME));
    let mut head = ResponseHeader::build(StatusCode::SWITCHING_PROTOCOLS, Some(3))?;
    head.insert_header(CONNECTION, "Upgrade")?;
    head.insert_header(UPGRADE, "websocket")?;
    head.insert_header(SEC_WEBSOCKET_ACCEPT, &turn.accept)?;
    let said = turn.end.run_until_cancelled(exchange(session, head));
    match timeout(LIFETIME, said).await {
        Ok(said) => said.unwrap_or(Ok(())),
        Err(_) => Error::e_explain(ErrorType::ReadTimedout, "the test took too long"),
    }
}

async fn exchange(session: &mut Session, head: ResponseHeader) -> Result<()> {
    session.write_response_header(Box::new(head), false).await?;
    let mut read = Vec::new();
    let message = loop {
        match Message::of(&read) {
            Message::Whole(message) => break Some(message),
            Message::Wrong => break None,
            Message::Part => {}
        }
        let Some(bytes) = session.read_request_body().await? else {
            break None;
        };
        let room = FRAME_BYTES_MAX.saturating_sub(read.len());
        read.extend(bytes.iter().take(room));
    };
    let mut answer = Vec::new();
    if let Some(message) = message {
        answer.push(TEXT);
        answer.push(u8::try_from(message.len()).unwrap_or_default());
        answer.extend(message);
    }
    answer.extend(GOODBYE);
    session
        .write_response_body(Some(Bytes::from(answer)), false)
        .await?;
    session.write_response_body(None, true).await
}

fn accept(header: &RequestHeader) -> Option<String> {
    let version = header.headers.get(SEC_WEBSOCKET_VERSION)?;
    let key = header.headers.get(SEC_WEBSOCKET_KEY)?.as_bytes();
    if version != "13" || STANDARD.decode(key).ok()?.len() != 16 {
        return None;
    }
    let digest = Sha1::new().chain_update(key).chain_update(MAGIC).finalize();
    Some(STANDARD.encode(digest))
}

/// The first frame of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Message {
    Part,
    Whole(Vec<u8>),
    /// Nothing that our page sends.
    Wrong,
}

impl Message {
    fn of(read: &[u8]) -> Self {
        let (kind, len, rest) = match read {
            [] | [TEXT] => return Self::Part,
            [kind, len, rest @ ..] => (*kind, *len, rest),
            [_] => return Self::Wrong,
        };
        // The high bit says that the payload is masked, as a client's must be.
        let len = usize::from(len).wrapping_sub(0x80);
        if kind != TEXT || len > MESSAGE_BYTES_MAX {
            return Self::Wrong;
        }
        let Some((mask, payload)) = rest.split_at_checked(4) else {
            return Self::Part;
        };
        match payload.get(..len) {
            None => Self::Part,
            Some(payload) => {
                let masked = payload.iter().zip(mask.iter().cycle());
                Self::Whole(masked.map(|(byte, mask)| byte ^ mask).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_handshake_is_answered_as_the_standard_says() {
        let mut header = RequestHeader::build("GET", PATH.as_bytes(), None).unwrap();
        assert_eq!(accept(&header), None);
        header.insert_header(SEC_WEBSOCKET_VERSION, "13").unwrap();
        header
            .insert_header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .unwrap();
        // The example of RFC 6455, section 1.3.
        assert_eq!(
            accept(&header).as_deref(),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        header.insert_header(SEC_WEBSOCKET_KEY, "short").unwrap();
        assert_eq!(accept(&header), None);
    }

    proptest! {
        #[test]
        fn a_message_is_read_however_it_is_cut(text in "[ -~]{0,125}", mask: [u8; 4], cut in 0_usize..131) {
            let masked = text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
            let len = 0x80 | u8::try_from(text.len()).unwrap();
            let frame: Vec<u8> = [TEXT, len].into_iter().chain(mask).chain(masked).collect();
            prop_assert_eq!(Message::of(&frame), Message::Whole(text.into_bytes()));
            if cut < frame.len() {
                prop_assert_eq!(Message::of(&frame[..cut]), Message::Part);
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            if let Message::Whole(message) = Message::of(&bytes) {
                prop_assert!(message.len() <= MESSAGE_BYTES_MAX);
            }
        }
    }
}
