//! Which door gets which listener, and what it is told of the others.

use std::iter;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::Parts;
use super::links::{self, Advertised};
use super::listeners::{Ports, Register, Sockets};
use crate::admin::{self, AdminState, Facts, Live};
use crate::api::CaView;
use crate::config::{Certificates, Config};
use crate::control::Control;
use crate::edge::{Door, Edge, Fronts, PeerFilter};
use crate::gateway::{self, Gateway};
use crate::portal::{self, Ca, Portal};
use crate::telemetry::metrics::Metrics;
use crate::{proxy, tls};

impl Parts<'_> {
    pub(super) fn open_doors(
        &self,
        edge: &Edge,
        sockets: Sockets,
        state: AdminState,
        gateway: Option<&Arc<Gateway>>,
    ) -> anyhow::Result<()> {
        let tls = self.issuer.server_config()?;
        // Independent of any firewall: whatever runs in a sandbox talks to the gateway only.
        let outsiders = PeerFilter::not_from(self.sandboxes.iter().copied());
        let fronts = Fronts::new(&self.config.proxy.trusted_proxies);
        let door = |name, tls, peers: &PeerFilter| Door {
            name,
            tls,
            peers: peers.clone(),
            fronts: fronts.clone(),
        };
        // A sandbox in a range that is trusted must not speak for another one.
        let inner = |name| Door {
            name,
            tls: None,
            peers: PeerFilter::Everybody,
            fronts: Fronts::default(),
        };
        let public_tls = match self.config.proxy.certificates {
            Certificates::Off => None,
            Certificates::Own | Certificates::Files { .. } => Some(Arc::clone(&tls)),
        };
        let ports = sockets.ports();
        let portal = self.portal(ports.plain);
        let (scheme, port) = links::onward(&self.config.proxy, ports.public);
        let plain = portal::plain_router(portal.clone(), scheme, port);
        let public = proxy::Public::start(
            self.table.clone(),
            portal::router(portal),
            gateway::router(gateway.cloned()),
            proxy::Settings::new(self.issuer.authority.path().to_owned()),
        )?;
        edge.serve_public(
            sockets.public,
            door("public", public_tls, &outsiders),
            public,
        );
        edge.serve_router(sockets.plain, door("plain", None, &outsiders), plain);
        let admin = admin::public_admin_router(state.clone());
        edge.serve_router(sockets.admin, door("admin", Some(tls), &outsiders), admin);
        edge.serve_router(
            sockets.gateway,
            inner("gateway"),
            gateway::router(gateway.cloned()),
        );
        let control = admin::control_router(state);
        edge.serve_router(sockets.control, inner("control"), control);
        Ok(())
    }

    fn portal(&self, plain_port: u16) -> Portal {
        let ca = self.participants_install_it().then(|| Ca {
            pem: self.issuer.authority.pem().into(),
            sha256: self.issuer.authority.fingerprint().into(),
            plain_port,
        });
        Portal {
            control: Arc::clone(&self.control),
            ca,
        }
    }

    /// With somebody else's certificate, or somebody else's TLS in front, there is nothing to install.
    fn participants_install_it(&self) -> bool {
        self.issuer.is_own() && self.config.proxy.certificates != Certificates::Off
    }

    pub(super) fn facts(&self, register: &Register, ports: Ports, public: Advertised) -> Facts {
        let authority = &self.issuer.authority;
        let listen = self.config.dashboard.listen.ip();
        let admin = Advertised::new(self.config, listen, ports.admin);
        let listeners = register.clone();
        let control = Arc::clone(&self.control);
        Facts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: Timestamp::now(),
            config_path: self.config.source.clone(),
            store_path: self.config.store_path(),
            public_url: Box::new(move || public.url()),
            admin_url: Box::new(move || admin.url()),
            ca: self.issuer.is_own().then(|| ca_view(authority)),
            listeners: Box::new(move || listeners.list()),
            ready: Box::new(move || control.ready()),
            live: Live::default(),
            metrics: Metrics::new(env!("CARGO_PKG_VERSION")),
            metrics_token: self.config.dashboard.metrics_token.clone(),
        }
    }
}

pub(super) fn ca_view(authority: &tls::Authority) -> CaView {
    let validity = authority.validity();
    CaView {
        path: authority.path().to_owned(),
        sha256: authority.fingerprint(),
        not_before: validity.from,
        not_after: validity.until,
        permits: authority.scope().words(),
        pem: authority.pem().to_owned(),
    }
}

/// The settings may name another range than the one that running containers are in.
pub(super) async fn sandboxes(config: &Config, control: &Control) -> anyhow::Result<Vec<IpNet>> {
    let subnet = config.sandbox.subnet;
    let instances = control.instances().await?;
    let elsewhere = instances
        .into_iter()
        .map(|status| IpAddr::V4(status.instance.address))
        .filter(|address| !subnet.contains(*address))
        .map(IpNet::from);
    Ok(iter::once(subnet.into()).chain(elsewhere).collect())
}
