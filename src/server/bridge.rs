//! The gateway's listener on the instances' bridge: bound when the bridge appears. Docker being
//! away is no reason not to start, and a bridge that comes back gets its listener again.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::control::{Control, Network};
use crate::domain::health::Health;
use crate::edge::{self, Door, Edge, Fronts, PeerFilter};
use crate::gateway::{self, Gateway};
use crate::server::listeners::Register;

/// Between two attempts to bind an address that is not there yet.
const TRY_EVERY: Duration = Duration::from_secs(2);

pub(super) struct BridgeListener {
    pub(super) edge: Arc<Edge>,
    pub(super) control: Arc<Control>,
    pub(super) register: Register,
    pub(super) port: u16,
    pub(super) gateway: Option<Arc<Gateway>>,
}

impl BridgeListener {
    pub(super) async fn keep(self, shutdown: CancellationToken) {
        let following = self.follow();
        shutdown.run_until_cancelled(following).await;
    }

    /// A socket outlives its address: when the same bridge is made again, it hears again. So only a
    /// new address needs a new one.
    async fn follow(&self) {
        let mut networks = self.control.network();
        let mut bound: Option<Network> = None;
        loop {
            let network = *networks.borrow_and_update();
            if let Some(network) = network
                && bound.is_none_or(|before| before.gateway != network.gateway)
            {
                self.listen(network).await;
                bound = Some(network);
            }
            if networks.changed().await.is_err() {
                return;
            }
        }
    }

    async fn listen(&self, network: Network) {
        let address = SocketAddr::new(IpAddr::V4(network.gateway), self.port);
        loop {
            match edge::bind(address) {
                Ok(socket) => {
                    self.register.add("gateway", &socket, false);
                    let door = Door {
                        name: "gateway",
                        tls: None,
                        peers: PeerFilter::OnlyFrom(network.subnet),
                        fronts: Fronts::default(),
                    };
                    self.edge
                        .serve_router(socket, door, gateway::router(self.gateway.clone()));
                    self.control.report("gateway", Health::Ok);
                    return;
                }
                Err(error) => {
                    let health = Health::degraded("THN-GATEWAY-01", error.to_string());
                    self.control.report("gateway", health);
                }
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }
}
