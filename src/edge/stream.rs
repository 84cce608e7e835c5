//! `EdgeStream`: an accepted connection's bytes, plain or TLS, as pingora and hyper take them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::connection::Connection;
use super::gather::Gather;
use super::last_words::{LastWords, Verdict};
use super::transport::Transport;

#[derive(Debug)]
pub(super) struct EdgeStream {
    transport: Gather<Transport>,
    connection: Arc<Connection>,
    digest: Option<Arc<ProxyDigest>>,
    kill: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// What ends the conversation in place of an answer.
    last_words: Option<Box<LastWords>>,
    /// Cancelled when the stream goes.
    gone: CancellationToken,
}

impl EdgeStream {
    pub(super) fn new(transport: Transport, connection: Arc<Connection>) -> Self {
        Self {
            transport: Gather::new(transport),
            connection,
            digest: None,
            kill: None,
            last_words: None,
            gone: CancellationToken::new(),
        }
    }

    /// For pingora: puts the connection where a session's digest can find it, the only foreign slot
    /// that works for HTTP/1 and HTTP/2 alike.
    pub(super) fn with_digest(mut self) -> pingora::Result<Self> {
        let user_data: Box<dyn std::any::Any + Send + Sync> =
            Box::new(Arc::clone(&self.connection));
        let nothing = Box::new(ResponseHeader::build(200, Some(0))?);
        self.digest = Some(Arc::new(ProxyDigest::new(nothing, Some(user_data))));
        Ok(self)
    }

    /// For pingora's HTTP/1, which writes head and body apart and flushes at the end. HTTP/2 gathers by
    /// itself.
    pub(super) fn gathering(mut self) -> Self {
        if self.alpn() != Some(b"h2") {
            self.transport.turn_on();
        }
        self
    }

    /// For hyper, which hands the stream of an upgraded connection to whoever asked for it, out of
    /// our task's reach: reads fail once `kill` is cancelled.
    pub(super) fn with_kill(mut self, kill: CancellationToken) -> Self {
        self.kill = Some(Box::pin(kill.cancelled_owned()));
        self
    }

    pub(super) fn connection(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }

    pub(super) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.transport.inner().alpn()
    }

    /// Pingora only: it answers a request that it cannot read before it tells anybody, and writes
    /// nothing else between requests. Hyper may still be writing the end of an answer there.
    fn is_unread_answer(&self) -> bool {
        self.digest.is_some() && self.connection.pace.is_between_requests()
    }

    /// Says ours in place of `bytes`, which count as written.
    fn poll_replaced(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let connection = &self.connection;
        let words = self
            .last_words
            .get_or_insert_with(|| Box::new(LastWords::new(Verdict::of(bytes), connection)));
        ready!(words.poll_say(&mut self.transport, cx))?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn refuse_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = &self.connection;
        let words = self
            .last_words
            .get_or_insert_with(|| Box::new(LastWords::new(Verdict::HeadTooLarge, connection)));
        ready!(words.poll_part(&mut self.transport, cx))?;
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }

    fn is_killed(&mut self, cx: &mut Context<'_>) -> bool {
        self.kill
            .as_mut()
            .is_some_and(|kill| kill.as_mut().poll(cx).is_ready())
    }
}

impl Drop for EdgeStream {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl AsyncRead for EdgeStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_killed(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if this.last_words.is_some() {
            return this.refuse_head(cx);
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.transport).poll_read(cx, buf);
        if matches!(polled, Poll::Ready(Ok(()))) {
            let read = this.connection.pace.read(buf.filled().len() - before);
            if read.is_err() {
                buf.set_filled(before);
                return this.refuse_head(cx);
            }
        }
        polled
    }
}

impl AsyncWrite for EdgeStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_unread_answer() {
            return self.poll_replaced(cx, bytes);
        }
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match &mut this.last_words {
            Some(words) => words.poll_part(&mut this.transport, cx),
            None => Pin::new(&mut this.transport).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_unread_answer() {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_replaced(cx, first.map_or(&[], |slice| slice));
        }
        Pin::new(&mut self.transport).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for EdgeStream {
    async fn shutdown(&mut self) {
        // The peer may be gone already; then there is nobody left to say goodbye to.
        AsyncWriteExt::shutdown(self).await.ok();
    }
}

impl UniqueID for EdgeStream {
    fn id(&self) -> UniqueIDType {
        self.transport.inner().descriptor()
    }
}

impl Ssl for EdgeStream {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.alpn()? {
            b"h2" => Some(ALPN::H2),
            b"http/1.1" => Some(ALPN::H1),
            _ => None,
        }
    }
}

impl GetTimingDigest for EdgeStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for EdgeStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.digest.clone()
    }
}

impl GetSocketDigest for EdgeStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl Peek for EdgeStream {}
