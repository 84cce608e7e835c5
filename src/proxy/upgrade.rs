//! The connector for WebSocket upgrades: works around a race in pingora that tears tunnels down.
//!
//! In pingora-proxy 0.9.1 (`proxy_h1.rs`, `proxy_handle_upstream`) a `select!` takes, in random order,
//! either the upstream's response or the queued end of the request's (empty) body. If the `101` is
//! taken first, the end of the *request* is then read as the end of the *tunnel*, and the browser sees
//! `101` followed by the end of the connection. It takes an upstream whose `101` is already readable
//! when the loop begins: a fast local one, or a loaded machine; 5 to 13 % of upgrades were lost.
//!
//! The cure: a socket that shows no response before the end of the request has been processed, which
//! is when pingora flushes for the second time (once after the head, once after the body). If another
//! version flushes differently, a few fruitless polls open the gate as well, so that the worst case is
//! the old race and never a hang. `tests/it/websocket.rs` keeps the count of lost upgrades at zero.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::ext::set_tcp_keepalive;
use pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, OrErr as _, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One flush after the request's head, one after its (empty) body.
const FLUSHES_BEFORE_RESPONSE: u8 = 2;

/// Polls after which the gate opens anyway. Three were enough in every measurement.
const POLLS_MAX: u8 = 16;

/// Connects like pingora, which leaves the time limit and the names of errors to a custom connector.
#[derive(Debug)]
pub(super) struct UpgradeConnector {
    pub(super) timeout: Duration,
}

#[async_trait]
impl L4Connect for UpgradeConnector {
    async fn connect(&self, address: &PeerAddress) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::SocketError, "an editor has a TCP address");
        };
        let tcp = self.dial(*address).await?;
        let socket = UpgradeSocket {
            tcp,
            flushes: 0,
            polls: 0,
        };
        Ok(Stream::from(VirtualSocketStream::new(Box::new(socket))))
    }
}

impl UpgradeConnector {
    async fn dial(&self, address: SocketAddr) -> Result<TcpStream> {
        match timeout(self.timeout, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => Ok(tcp),
            Ok(Err(error)) => {
                let kind = match error.kind() {
                    io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
                    io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
                    io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                        ErrorType::ConnectNoRoute
                    }
                    _ => ErrorType::ConnectError,
                };
                Error::e_because(kind, "connecting to an editor for an upgrade", error)
            }
            Err(elapsed) => Error::e_because(
                ErrorType::ConnectTimedout,
                "connecting to an editor for an upgrade",
                elapsed,
            ),
        }
    }
}

#[derive(Debug)]
struct UpgradeSocket {
    tcp: TcpStream,
    flushes: u8,
    polls: u8,
}

impl UpgradeSocket {
    /// May the response be looked at?
    fn is_open(&mut self) -> bool {
        if self.flushes >= FLUSHES_BEFORE_RESPONSE || self.polls >= POLLS_MAX {
            return true;
        }
        self.polls += 1;
        false
    }
}

impl AsyncRead for UpgradeSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_open() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for UpgradeSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes = self.flushes.saturating_add(1);
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl VirtualSocket for UpgradeSocket {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.tcp.set_nodelay(true),
            VirtualSockOpt::KeepAlive(keepalive) => set_tcp_keepalive(&self.tcp, &keepalive)
                .or_err(ErrorType::SocketError, "setting TCP keepalive")
                .map_err(io::Error::other),
            _ => Ok(()),
        }
    }
}
