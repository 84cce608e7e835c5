//! What the edge itself says to a client whose request never became one: an answer with a sentence, a
//! line in the access log, and the end of the connection.
//!
//! Pingora answers what it cannot parse before any of our phases runs, with a bare status and no line
//! in the log. It never writes between requests otherwise, so such a write is replaced by ours.

use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;

/// What is read off, so that the client's kernel does not throw the answer away with the connection.
/// The deadline is the head's.
const LEFTOVER_BYTES_MAX: usize = 1 << 20;

/// Why a request never became one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    HeadTooLarge,
    Malformed,
    /// CONNECT: we are no proxy of that kind.
    NoTunnel,
}

impl Verdict {
    /// Of the answer that pingora begins with these bytes.
    pub(super) fn of(answer: &[u8]) -> Self {
        match answer.get(9..12) {
            Some(b"405") => Self::NoTunnel,
            _ => Self::Malformed,
        }
    }

    const fn words(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::HeadTooLarge => (
                431,
                "Request Header Fields Too Large",
                "The request's headers are too large. Clearing this site's cookies helps.\n",
            ),
            Self::Malformed => (400, "Bad Request", "The request is malformed.\n"),
            Self::NoTunnel => (
                405,
                "Method Not Allowed",
                "CONNECT is not understood here: this is not that kind of proxy.\n",
            ),
        }
    }

    fn answer(self) -> String {
        let (status, name, text) = self.words();
        let mut answer = format!("HTTP/1.1 {status} {name}\r\n");
        for line in [
            "Content-Type: text/plain; charset=utf-8",
            "Cache-Control: no-store",
            "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
        ] {
            answer.push_str(line);
            answer.push_str("\r\n");
        }
        // Writing to a String cannot fail.
        write!(answer, "Content-Length: {}\r\n\r\n{text}", text.len()).ok();
        answer
    }
}

/// An answer on its way out.
#[derive(Debug)]
pub(super) struct LastWords {
    answer: Vec<u8>,
    said: usize,
    is_shut: bool,
    leftover: usize,
}

impl LastWords {
    /// Writes the access line as well.
    pub(super) fn new(verdict: Verdict, connection: &Connection) -> Self {
        let (status, ..) = verdict.words();
        tracing::event!(
            target: "thon::access",
            tracing::Level::INFO,
            listener.name = connection.listener,
            peer.addr = connection.peer.0.map(tracing::field::display),
            http.status = status,
            outcome = "client: no request",
            "request"
        );
        Self {
            answer: verdict.answer().into_bytes(),
            said: 0,
            is_shut: false,
            leftover: 0,
        }
    }

    /// Ready when everything is on its way.
    pub(super) fn poll_say<T>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        T: AsyncWrite + Unpin,
    {
        while let Some(rest) = self.answer.get(self.said..).filter(|rest| !rest.is_empty()) {
            let n = ready!(Pin::new(&mut *transport).poll_write(cx, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.said += n;
        }
        Pin::new(transport).poll_flush(cx)
    }

    /// Ready when the client has had every chance to read the answer.
    pub(super) fn poll_part<T>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        ready!(self.poll_say(transport, cx))?;
        if !self.is_shut {
            ready!(Pin::new(&mut *transport).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        let mut bytes = [0; 4096];
        while self.leftover < LEFTOVER_BYTES_MAX {
            let mut buf = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *transport).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                break;
            }
            self.leftover += buf.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_is_a_whole_answer_with_a_sentence() {
        for verdict in [Verdict::HeadTooLarge, Verdict::Malformed, Verdict::NoTunnel] {
            let answer = verdict.answer();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains(&format!("Content-Length: {}", body.len())),
                "{answer}"
            );
            assert!(body.ends_with(".\n"), "{answer}");
        }
        assert_eq!(Verdict::of(b"HTTP/1.1 405 Method"), Verdict::NoTunnel);
        assert_eq!(Verdict::of(b""), Verdict::Malformed);
    }
}
