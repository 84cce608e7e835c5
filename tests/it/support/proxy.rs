//! The public door, assembled as `server` does it, with participants and their instances.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use thon::auth::{cookie, token};
use thon::domain::instance::{Access, Phase};
use thon::domain::secret::Secret;
use thon::edge::{Door, Edge, Fronts, Limits, Listening, PeerFilter, bind};
use thon::gateway;
use thon::proxy::{Patience, Public, Settings};
use thon::routing::{Activity, LiveSession, Route, State, Table, TableHandle, Target};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::client::tls_connector;

/// The appliance's public name.
pub(crate) const HOST: &str = "pub.example";

/// The editors' cookie.
pub(crate) const EDITOR_COOKIE: &str = "argon2-of-the-secret";

pub(crate) struct Front {
    pub(crate) edge: Edge,
    pub(crate) public: Listening,
    pub(crate) secure: Listening,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    table: TableHandle,
    routes: Mutex<HashMap<String, Arc<Route>>>,
    sessions: Mutex<HashMap<[u8; 32], Arc<LiveSession>>>,
    ca: rustls::RootCertStore,
    ids: AtomicU64,
    _dir: TempDir,
}

/// A signed-in browser.
pub(crate) struct Browser {
    pub(crate) cookie: String,
    pub(crate) session: Arc<LiveSession>,
}

/// Everything a test may want to be different.
pub(crate) struct Plan {
    pub(crate) limits: Limits,
    pub(crate) patience: Patience,
    pub(crate) peers: PeerFilter,
    pub(crate) fronts: Fronts,
    pub(crate) listen: &'static str,
    pub(crate) portal: Router,
    pub(crate) body_bytes_max: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            limits: Limits {
                settle_time: Duration::from_millis(10),
                ..Limits::default()
            },
            patience: Patience::default(),
            peers: PeerFilter::Everybody,
            fronts: Fronts::default(),
            listen: "127.0.0.1:0",
            portal: Router::new().fallback(|| async { "portal" }),
            body_bytes_max: 32 << 20,
        }
    }
}

impl Front {
    pub(crate) async fn start() -> Self {
        Self::planned(Plan::default()).await
    }

    pub(crate) async fn with_portal(portal: Router) -> Self {
        Self::planned(Plan {
            portal,
            ..Plan::default()
        })
        .await
    }

    /// One listener with TLS, and one without for tests that write bytes by hand.
    pub(crate) async fn planned(plan: Plan) -> Self {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let dir = tempfile::tempdir().unwrap();
        let certificate = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        let ca_file = dir.path().join("ca.pem");
        tokio::fs::write(&ca_file, certificate.cert.pem())
            .await
            .unwrap();
        let mut ca = rustls::RootCertStore::empty();
        ca.add(certificate.cert.der().clone()).unwrap();

        let table = TableHandle::default();
        let settings = Settings {
            limits: plan.limits.clone(),
            patience: plan.patience,
            bridged_body_bytes_max: plan.body_bytes_max,
            ..Settings::new(ca_file)
        };
        let proxy =
            Public::start(table.clone(), plan.portal, gateway::router(None), settings).unwrap();
        let edge = Edge::new(plan.limits);
        let any = plan.listen.parse().unwrap();
        let (plain, tls) = (bind(any).unwrap(), bind(any).unwrap());
        let near = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = [&plain, &tls].map(|bound| near(bound.local_addr().unwrap().port()));
        let door = |tls| Door {
            name: "public",
            tls,
            peers: plan.peers.clone(),
            fronts: plan.fronts.clone(),
        };
        let public = edge.serve_public(plain, door(None), Arc::clone(&proxy));
        let key = certificate.signing_key.serialize_der();
        let config = server_config(certificate.cert.der().clone(), key);
        let secure = edge.serve_public(tls, door(Some(config)), proxy);
        Self {
            edge,
            public,
            secure,
            plain: addresses[0],
            tls: addresses[1],
            table,
            routes: Mutex::default(),
            sessions: Mutex::default(),
            ca,
            ids: AtomicU64::new(1),
            _dir: dir,
        }
    }

    pub(crate) fn sign_in(&self, user: &str) -> Browser {
        let token = token::session_token();
        let session = Arc::new(LiveSession::new(
            self.id().parse().unwrap(),
            user.parse().unwrap(),
            Duration::ZERO,
            tokio::time::Instant::now(),
        ));
        let hash = token::hash(token.expose());
        self.sessions.lock().insert(hash, Arc::clone(&session));
        self.publish();
        Browser {
            cookie: format!("{}={}", cookie::PARTICIPANT, token.expose()),
            session,
        }
    }

    /// The participant's instance answers at `address`.
    pub(crate) fn serve(&self, owner: &str, access: Access, address: SocketAddr) -> Arc<Route> {
        let generation = self.ids.load(Ordering::Relaxed);
        let container = format!("container of {owner}");
        self.route(
            owner,
            access,
            State::Serving(Arc::new(Target {
                address,
                key: Target::key_of(&container, generation),
                container,
                generation,
                cookie: Secret::new(EDITOR_COOKIE),
                withdrawn: CancellationToken::new(),
            })),
        )
    }

    pub(crate) fn wait(&self, owner: &str, phase: Phase, reason: Option<&str>) -> Arc<Route> {
        let reason = reason.map(str::to_owned);
        self.route(owner, Access::Owner, State::Waiting { phase, reason })
    }

    pub(crate) fn route(&self, owner: &str, access: Access, state: State) -> Arc<Route> {
        let route = Arc::new(Route {
            owner: owner.parse().unwrap(),
            prefix: format!("/w/{owner}"),
            instance: self.id().parse().unwrap(),
            access,
            state,
            activity: Arc::new(Activity::default()),
        });
        self.routes
            .lock()
            .insert(owner.to_owned(), Arc::clone(&route));
        self.publish();
        route
    }

    fn publish(&self) {
        let routes = Arc::new(self.routes.lock().clone());
        let sessions = Arc::new(self.sessions.lock().clone());
        self.table.publish(Table::new(routes, sessions));
    }

    fn id(&self) -> String {
        format!("{:016x}", self.ids.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) async fn wire(&self) -> TcpStream {
        TcpStream::connect(self.plain).await.unwrap()
    }

    pub(crate) async fn tls_wire(
        &self,
        alpn: &[&str],
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let tcp = TcpStream::connect(self.tls).await.unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        tls_connector(self.ca.clone(), alpn)
            .connect(name, tcp)
            .await
            .unwrap()
    }
}

/// What the `tls` room will make.
pub(crate) fn server_config(
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
) -> Arc<rustls::ServerConfig> {
    let key = PrivateKeyDer::try_from(key).unwrap();
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"acme-tls/1".to_vec()];
    Arc::new(config)
}

/// The target that a route leads to.
pub(crate) fn target(route: &Route) -> &Target {
    match &route.state {
        State::Serving(target) => target,
        State::Waiting { .. } => panic!("the route leads nowhere"),
    }
}
