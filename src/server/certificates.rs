//! The certificate of the listeners: the appliance's own, or one from files. It is looked after while
//! the appliance runs, and no connection is dropped for another one.

mod examine;
mod files;
mod own;
mod trouble;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::control::Control;
use crate::domain::health::Health;
use crate::host::interfaces;
use crate::server::catalogue;
use crate::tls::provided::{Pair, Provided, Unusable};
use crate::tls::{self, Authority, Certificates, Scope};

pub(super) use examine::{authority, provided};

use files::Files;
use own::{Own, Wanted};
use trouble::Trouble;

/// The part's name in the health report.
const PART: &str = "certificate";

/// How often somebody looks whether names or files have changed. Both looks are cheap.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What was read while the process was still allowed to.
pub(super) struct Early(Option<(Pair, Provided)>);

/// Reads the files of `ssl_provider: files` before root is given up: many a key is root's alone.
pub(super) fn read_early(config: &Config) -> anyhow::Result<Early> {
    let Some(pair) = pair(config) else {
        return Ok(Early(None));
    };
    let provided = files::read(&pair).map_err(unusable)?;
    Ok(Early(Some((pair, provided))))
}

fn pair(config: &Config) -> Option<Pair> {
    match &config.proxy.certificates {
        config::Certificates::Files { certificate, key } => Some(Pair {
            certificate: certificate.clone(),
            key: key.clone(),
        }),
        config::Certificates::Own | config::Certificates::Off => None,
    }
}

fn unusable(why: Unusable) -> super::trouble::Trouble {
    catalogue::CERT_UNUSABLE.says(format!("the certificate cannot be used: {why}"))
}

/// Whoever has a certificate for the listeners.
pub(super) struct Issuer {
    /// There is one in any case: what is not looked at costs nothing.
    pub(super) authority: Arc<Authority>,
    source: Source,
    certificates: Arc<Certificates>,
}

enum Source {
    Own(Box<Own>),
    Files(Box<Files>),
}

impl Issuer {
    pub(super) fn open(config: &Config, early: Early, now: Timestamp) -> anyhow::Result<Self> {
        let wanted = Wanted::of(config);
        let authority = Authority::open(
            &authority_dir(config),
            &authority_label(),
            &wanted.scope(),
            now,
        )
        .context("the certificate authority cannot be used")?;
        let authority = Arc::new(authority);
        let (source, first) = if let Some((pair, provided)) = early.0 {
            let (files, first) = Files::new(pair, provided, config);
            (Source::Files(Box::new(files)), first)
        } else {
            let (own, first) = Own::new(Arc::clone(&authority), config, &wanted, now)?;
            (Source::Own(Box::new(own)), first)
        };
        Ok(Self {
            authority,
            source,
            certificates: Certificates::new(first),
        })
    }

    /// Do visitors meet a certificate that only those trust who installed our authority?
    pub(super) fn is_own(&self) -> bool {
        matches!(self.source, Source::Own(_))
    }

    pub(super) fn server_config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        Ok(tls::server_config(Arc::clone(&self.certificates))?)
    }

    pub(super) async fn keep(self: Arc<Self>, control: Arc<Control>, shutdown: CancellationToken) {
        loop {
            let (issuer, control) = (Arc::clone(&self), Arc::clone(&control));
            let look = move || issuer.look(&control, Timestamp::now());
            if tokio::task::spawn_blocking(look).await.is_err() {
                tracing::error!("looking after the certificate ended early");
            }
            let pause = tokio::time::sleep(LOOK_EVERY);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// Renews what is due, and tells how it is.
    pub(super) fn look(&self, control: &Control, now: Timestamp) {
        let (next, trouble) = match &self.source {
            Source::Own(own) => own.look(now),
            Source::Files(files) => files.look(now),
        };
        if let Some(next) = next {
            self.certificates.swap(next);
        }
        control.report(PART, trouble.map_or(Health::Ok, Trouble::health));
    }
}

/// A new authority in the place of the present one, which is kept beside it.
pub(super) fn rotate(
    config: &Config,
    now: Timestamp,
) -> anyhow::Result<(Authority, Option<PathBuf>)> {
    let scope: Scope = Wanted::of(config).scope();
    Ok(Authority::rotate(
        &authority_dir(config),
        &authority_label(),
        &scope,
        now,
    )?)
}

fn authority_dir(config: &Config) -> PathBuf {
    config.state_dir.join("ca")
}

fn authority_label() -> String {
    interfaces::host_name().unwrap_or_else(|| "this host".to_owned())
}
