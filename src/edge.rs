//! Accept loops, handshake, connection limits and deadlines, kill switch, drain; hands streams to whoever serves HTTP.
//!
//! Pingora's own server, services and listeners are not used: they cannot tell a bound port, bound a
//! request's head as a whole, end one connection, or drain only as long as there is something to
//! drain. A connection is one task here; whatever ends it (the peer, a deadline, a revoked session,
//! the end of the process) drops that task's future, and with it everything the connection holds.

mod accept;
mod admission;
mod aside;
mod bind;
mod caller;
mod connection;
mod filter;
mod gather;
mod last_words;
mod limits;
mod pace;
mod public;
mod router;
mod shield;
mod stall;
mod stream;
mod transport;
mod wire;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use parking_lot::Mutex;
use pingora::apps::HttpServerApp;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use bind::{BindError, Bound, Place, bind, bind_unix};
pub use caller::{Caller, Fronts, Scheme};
pub use connection::{Connection, InFlight, Peer, Receiving, Spelled};
pub use filter::PeerFilter;
pub use limits::Limits;
pub use public::connection_of;
pub use shield::{STRICT_CSP, shield};

use accept::{Acceptor, Serve};
use admission::Admission;

/// How long a killed connection's task may take to notice.
const KILL_TIME: Duration = Duration::from_secs(2);

type Cleanup = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Every listener of the process and the connections that came in by them.
pub struct Edge {
    shared: Arc<Shared>,
    shutdown: watch::Sender<bool>,
    cleanups: Mutex<Vec<Cleanup>>,
}

/// How a listener receives its peers.
#[derive(Clone)]
pub struct Door {
    /// For logs.
    pub name: &'static str,
    /// Without it the listener speaks plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    pub peers: PeerFilter,
    /// Who is believed about where a request came from.
    pub fronts: Fronts,
}

/// A listener that accepts; dropping it changes nothing.
#[derive(Debug)]
pub struct Listening {
    admission: Arc<Admission>,
    pub place: Place,
}

/// What was still open when time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    pub cut: usize,
}

struct Shared {
    limits: Limits,
    tasks: TaskTracker,
    /// Stop accepting.
    close: CancellationToken,
    /// Finish the requests in flight, begin no other.
    drain: CancellationToken,
    /// End every connection.
    kill: CancellationToken,
}

impl Edge {
    pub fn new(limits: Limits) -> Self {
        Self {
            shared: Arc::new(Shared {
                limits,
                tasks: TaskTracker::new(),
                close: CancellationToken::new(),
                drain: CancellationToken::new(),
                kill: CancellationToken::new(),
            }),
            shutdown: watch::Sender::new(false),
            cleanups: Mutex::default(),
        }
    }

    /// Serves a listener with pingora's proxy. Call it inside the runtime.
    pub fn serve_public<A>(&self, bound: Bound, door: Door, app: Arc<A>) -> Listening
    where
        A: HttpServerApp + Send + Sync + 'static,
    {
        let for_cleanup = Arc::clone(&app);
        self.cleanups.lock().push(Box::new(move || {
            let app = Arc::clone(&for_cleanup);
            Box::pin(async move { app.http_cleanup().await })
        }));
        let service = public::Application {
            app,
            shutdown: self.shutdown.subscribe(),
        };
        let connections_max = self.shared.limits.connections_max;
        self.listen(bound, door, connections_max, service)
    }

    /// Serves a listener with an axum router. Handlers find [`Peer`] among the request's extensions.
    /// Call it inside the runtime.
    pub fn serve_router(&self, bound: Bound, mut door: Door, router: Router) -> Listening {
        door.tls = door.tls.map(|config| Arc::new(only_http1(&config)));
        let service = router::Routed {
            shared: Arc::clone(&self.shared),
            router,
        };
        let connections_max = self.shared.limits.router_connections_max;
        self.listen(bound, door, connections_max, service)
    }

    fn listen<S: Serve>(
        &self,
        bound: Bound,
        door: Door,
        connections_max: usize,
        service: S,
    ) -> Listening {
        let place = bound.place().clone();
        tracing::info!(listener.name = door.name, listener.place = %place, "listening");
        let admission = Admission::new(
            connections_max,
            self.shared.limits.connections_per_address_max,
        );
        let fronts_tls = door.tls.as_ref().map(|config| Arc::new(only_http1(config)));
        let acceptor = Arc::new(Acceptor {
            shared: Arc::clone(&self.shared),
            name: door.name,
            tls: door.tls,
            peers: door.peers,
            fronts: door.fronts,
            fronts_tls,
            is_local: is_local(&place),
            admission: Arc::clone(&admission),
            service,
        });
        let closed = self.shared.close.clone();
        self.shared.tasks.spawn(acceptor.run(bound.socket, closed));
        Listening { admission, place }
    }

    /// Stops accepting, lets requests in flight finish until `deadline` has passed, then cuts what is
    /// left. Open WebSockets take the whole time.
    pub async fn stop(&self, deadline: Duration) -> Drained {
        self.shared.close.cancel();
        self.shutdown.send_replace(true);
        sleep(self.shared.limits.settle_time.min(deadline)).await;
        self.shared.drain.cancel();
        let cleanups: Vec<_> = self.cleanups.lock().iter().map(|clean| clean()).collect();
        for cleanup in cleanups {
            cleanup.await;
        }
        self.shared.tasks.close();
        if timeout(deadline, self.shared.tasks.wait()).await.is_ok() {
            return Drained { cut: 0 };
        }
        let cut = self.shared.tasks.len();
        self.shared.kill.cancel();
        if timeout(KILL_TIME, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!(
                tasks.left = self.shared.tasks.len(),
                "connections outlive their end"
            );
        }
        Drained { cut }
    }
}

impl Listening {
    pub fn open_connections(&self) -> usize {
        self.admission.open()
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("tasks", &self.shared.tasks.len())
            .finish_non_exhaustive()
    }
}

fn is_local(place: &Place) -> bool {
    match place {
        Place::Tcp(address) => address.ip().to_canonical().is_loopback(),
        Place::Unix(_) => true,
    }
}

/// Whoever is offered HTTP/2 speaks it; routers would not understand, and proxies shall not.
fn only_http1(config: &ServerConfig) -> ServerConfig {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}
