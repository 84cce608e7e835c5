//! The accept loop: admits connections, shakes hands, and gives each to its own watched task.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use pingora::protocols::TcpKeepalive;
use pingora::protocols::l4::ext::set_tcp_keepalive;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::admission::{Admission, Ticket};
use super::aside::Aside;
use super::bind::Socket;
use super::caller::{Fronts, Scheme};
use super::connection::{Arrival, Connection, Peer};
use super::filter::PeerFilter;
use super::stream::EdgeStream;
use super::transport::Transport;
use super::wire::Wire;

/// Out of descriptors, most likely: connections that end give some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How the ACME server's connection names itself; it ends with the handshake.
const ACME_TLS: &[u8] = b"acme-tls/1";

/// What serves a connection until it ends.
pub(super) trait Serve: Send + Sync + 'static {
    fn serve(&self, stream: EdgeStream) -> impl Future<Output = ()> + Send;
}

pub(super) struct Acceptor<S> {
    pub(super) shared: Arc<Shared>,
    pub(super) name: &'static str,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) peers: PeerFilter,
    pub(super) fronts: Fronts,
    /// For them: many people's requests on one HTTP/2 connection would all end with one of them.
    pub(super) fronts_tls: Option<Arc<ServerConfig>>,
    pub(super) is_local: bool,
    pub(super) admission: Arc<Admission>,
    pub(super) service: S,
}

impl<S: Serve> Acceptor<S> {
    /// Accepts until `closed`, then lets go of the socket.
    pub(super) async fn run(self: Arc<Self>, socket: Socket, closed: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = closed.cancelled() => return self.empty_backlog(&socket),
                accepted = accept(&socket) => accepted,
            };
            match accepted {
                Ok((incoming, peer)) => self.admit(incoming, peer),
                Err(error) => {
                    if self.admission.may_tell() {
                        tracing::warn!(listener.name = self.name, %error, "cannot accept a connection");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Connections that the kernel has completed would be reset when the socket closes.
    fn empty_backlog(self: &Arc<Self>, socket: &Socket) {
        while let Some(Ok((incoming, peer))) = accept(socket).now_or_never() {
            self.admit(incoming, peer);
        }
    }

    fn admit(self: &Arc<Self>, incoming: Incoming, peer: Peer) {
        let address = peer.0.map(|socket| socket.ip());
        if address.is_some_and(|address| !self.peers.admits(address)) {
            tracing::debug!(listener.name = self.name, peer.addr = ?address, "a sandbox is kept out");
            return;
        }
        // Everybody behind a proxy comes from its address.
        let counted = address.filter(|address| !self.fronts.contains(*address));
        match self.admission.admit(counted) {
            Ok(ticket) => {
                let acceptor = Arc::clone(self);
                self.shared
                    .tasks
                    .spawn(async move { acceptor.contain(incoming, peer, ticket).await });
            }
            Err(full) if self.admission.may_tell() => tracing::warn!(
                listener.name = self.name,
                peer.addr = ?address,
                connections.open = self.admission.open(),
                "connections are refused: {full:?} has reached its limit"
            ),
            Err(_) => {}
        }
    }

    /// A panic ends its connection only.
    async fn contain(&self, incoming: Incoming, peer: Peer, ticket: Ticket) {
        let served = AssertUnwindSafe(self.serve(incoming, peer, ticket)).catch_unwind();
        if served.await.is_err() {
            tracing::error!(listener.name = self.name, peer.addr = ?peer.0, "a connection's task panicked");
        }
    }

    async fn serve(&self, incoming: Incoming, peer: Peer, ticket: Ticket) {
        let limits = &self.shared.limits;
        let arrival = self.arrival(peer);
        let tls = match arrival.fronts {
            Some(_) => &self.fronts_tls,
            None => &self.tls,
        };
        let Some(transport) = self.shake_hands(incoming, tls.as_ref()).await else {
            return;
        };
        let connection = Connection::new(peer, self.name, arrival, limits, ticket);
        let stream = EdgeStream::new(transport, Arc::clone(&connection));
        if stream.alpn() == Some(ACME_TLS) {
            return;
        }
        if stream.alpn() == Some(b"h2") {
            connection.pace.multiplex();
        }
        let over = async {
            tokio::select! {
                biased;
                () = self.shared.kill.cancelled() => {}
                () = connection.ended() => {}
                () = connection.pace.overdue(limits) => {}
            }
        };
        let served = self.service.serve(stream);
        tokio::select! {
            biased;
            () = Aside::new(Box::pin(over)) => {}
            () = served => {}
        }
    }

    fn arrival(&self, peer: Peer) -> Arrival {
        let is_front = peer
            .0
            .is_some_and(|socket| self.fronts.contains(socket.ip()));
        Arrival {
            scheme: match self.tls {
                Some(_) => Scheme::Https,
                None => Scheme::Http,
            },
            fronts: is_front.then(|| self.fronts.clone()),
            is_local: self.is_local,
        }
    }

    async fn shake_hands(
        &self,
        incoming: Incoming,
        tls: Option<&Arc<ServerConfig>>,
    ) -> Option<Transport> {
        let tcp = match incoming {
            Incoming::Unix(unix) => return Some(Transport::Unix(unix)),
            Incoming::Tcp(tcp) => tcp,
        };
        tune(&tcp);
        let Some(tls) = tls else {
            return Some(Transport::Tcp(tcp));
        };
        let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(Wire(tcp));
        match timeout(self.shared.limits.handshake_timeout, handshake).await {
            Ok(Ok(stream)) => Some(Transport::Tls(Box::new(stream))),
            // Scanners and browsers that distrust the certificate: nothing to be done here.
            Ok(Err(error)) => {
                tracing::debug!(listener.name = self.name, %error, "the TLS handshake failed");
                None
            }
            Err(_) => None,
        }
    }
}

pub(super) enum Incoming {
    Tcp(TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn accept(socket: &Socket) -> std::io::Result<(Incoming, Peer)> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            Ok((Incoming::Tcp(stream), Peer(Some(canonical(peer)))))
        }
        Socket::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            Ok((Incoming::Unix(stream), Peer(None)))
        }
    }
}

/// A listener on `[::]` sees v4 peers as mapped addresses; nobody else should have to know.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// A laptop that was closed mid-session is noticed after two minutes, not after two hours.
fn tune(tcp: &TcpStream) {
    let keepalive = TcpKeepalive {
        idle: Duration::from_mins(1),
        interval: Duration::from_secs(15),
        count: 4,
        user_timeout: Duration::from_mins(2),
    };
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    if let Err(error) = set_tcp_keepalive(tcp, &keepalive) {
        tracing::debug!(%error, "cannot set TCP keepalive");
    }
}
