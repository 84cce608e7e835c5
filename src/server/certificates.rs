//! The certificate of the listeners: made at the start, renewed before it ends, made anew when the
//! host gets another name or address. No connection is dropped for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::host::interfaces;
use crate::tls::authority::Names;
use crate::tls::renewal::{self, Current};
use crate::tls::{self, Authority, Certificates};

/// How often the host is asked for its names; a renewal is due weeks before it is urgent.
const LOOK_EVERY: Duration = Duration::from_mins(1);

pub(super) struct Issuer {
    pub(super) authority: Authority,
    certificates: Arc<Certificates>,
    current: Mutex<Current>,
    config: Config,
}

impl Issuer {
    pub(super) fn open(config: &Config, now: Timestamp) -> anyhow::Result<Self> {
        let dir = config.state_dir.join("ca");
        let label = interfaces::host_name().unwrap_or_else(|| "this host".to_owned());
        let authority = Authority::open(&dir, &label, now)
            .context("the certificate authority cannot be used")?;
        let (first, current) = authority.issue(&names(config), now)?;
        Ok(Self {
            authority,
            certificates: Certificates::new(first),
            current: Mutex::new(current),
            config: config.clone(),
        })
    }

    pub(super) fn server_config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        Ok(tls::server_config(Arc::clone(&self.certificates))?)
    }

    pub(super) async fn keep(self: Arc<Self>, shutdown: CancellationToken) {
        while shutdown
            .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
            .await
            .is_some()
        {
            if let Err(error) = self.renew_if_due(Timestamp::now()) {
                tracing::error!("the certificate was not renewed: {error}");
            }
        }
    }

    fn renew_if_due(&self, now: Timestamp) -> anyhow::Result<()> {
        let names = names(&self.config);
        if !renewal::due(&self.current.lock(), &names, now) {
            return Ok(());
        }
        let (next, current) = self.authority.issue(&names, now)?;
        self.certificates.swap(next);
        tracing::info!(certificate.until = %current.not_after, "the certificate was renewed");
        *self.current.lock() = current;
        Ok(())
    }
}

/// Everything that a browser may have typed to get here.
fn names(config: &Config) -> Names {
    let dns = [
        Some("localhost".to_owned()),
        interfaces::host_name(),
        config.proxy.domain.clone(),
    ];
    let loopback = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let addresses = interfaces::addresses(config.sandbox.subnet)
        .into_iter()
        .map(IpAddr::V4)
        .chain(loopback);
    let listening = [config.proxy.https_listen, config.dashboard.listen]
        .map(|listen| listen.ip())
        .into_iter()
        .filter(|ip| !ip.is_unspecified());
    // A host name that is no DNS name (`my_host`) cannot stand in a certificate, and nobody can
    // visit it either.
    let valid = |name: &String| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
    };
    Names::new(
        dns.into_iter()
            .flatten()
            .filter(|name| !name.is_empty())
            .filter(valid),
        addresses.chain(listening).chain(config.external_ip),
    )
}
