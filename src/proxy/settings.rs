//! What the public door is told by `server`, and pingora's configuration made of it.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use pingora::server::configuration::ServerConf;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::edge::Limits;

/// A connection that the editor closed under us is worth one more try, and no more.
const TRIES_MAX: usize = 2;

#[derive(Clone, Debug)]
pub struct Settings {
    /// A PEM file with at least one certificate, the appliance's own CA for example. Pingora would
    /// otherwise read the host's whole bundle and panic at one it cannot parse.
    pub ca_file: PathBuf,
    /// Worker threads of the runtime; sizes pools.
    pub threads: usize,
    /// For how long browsers shall insist on TLS. Only for a name whose certificate the world trusts:
    /// with an own CA it would take away the visitor's way past the warning.
    pub hsts: Option<Duration>,
    pub limits: Limits,
    pub patience: Patience,
    /// Bodies for the portal; sandboxes have no limit, and the gateway has one of its own. Handlers may
    /// set lower ones.
    pub bridged_body_bytes_max: usize,
}

/// How long an editor may take. WebSockets have no limit.
#[derive(Clone, Debug)]
pub struct Patience {
    /// An editor is on this machine: it accepts at once or not at all.
    pub connect: Duration,
    /// Silence while somebody looks at a blank tab. A paused container accepts and says nothing.
    pub page: Duration,
    /// Silence in any other plain response; above every long poll and quiet event stream.
    pub fetch: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            page: Duration::from_secs(30),
            fetch: Duration::from_mins(30),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct CaFileError {
    path: PathBuf,
    reason: String,
}

impl Settings {
    pub fn new(ca_file: PathBuf) -> Self {
        Self {
            ca_file,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            hsts: None,
            limits: Limits::default().within_descriptors(),
            patience: Patience::default(),
            bridged_body_bytes_max: 32 << 20,
        }
    }

    pub(super) fn hsts(&self) -> Option<HeaderValue> {
        let seconds = self.hsts?.as_secs();
        HeaderValue::from_str(&format!("max-age={seconds}")).ok()
    }

    pub(super) fn server_conf(&self) -> Result<ServerConf, CaFileError> {
        let ca_file = self.checked_ca_file().map_err(|reason| CaFileError {
            path: self.ca_file.clone(),
            reason,
        })?;
        Ok(ServerConf {
            ca_file: Some(ca_file),
            threads: self.threads.max(1),
            max_retries: TRIES_MAX,
            upstream_keepalive_pool_size: self.pool_size(),
            ..ServerConf::default()
        })
    }

    /// Pingora multiplies it by the threads; all of them together take descriptors.
    fn pool_size(&self) -> usize {
        (self.limits.idle_upstreams_max / self.threads.max(1)).max(1)
    }

    /// What pingora does with the file, without the panic.
    fn checked_ca_file(&self) -> Result<String, String> {
        let path = self
            .ca_file
            .to_str()
            .ok_or("the path is not valid UTF-8")?
            .to_owned();
        let certificates = CertificateDer::pem_file_iter(&self.ca_file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| error.to_string())?;
        let (added, ignored) = RootCertStore::empty().add_parsable_certificates(certificates);
        if added == 0 || ignored > 0 {
            return Err("it must hold certificates, and only valid ones".to_owned());
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_of_all_threads_together_stay_within_the_descriptors() {
        let mut settings = Settings::new(PathBuf::new());
        settings.limits = Limits::default();
        settings.threads = 2;
        assert_eq!(settings.pool_size(), 2_048);
        settings.threads = 64;
        assert_eq!(settings.pool_size(), 64);
        settings.limits.idle_upstreams_max = 1;
        assert_eq!(settings.pool_size(), 1);
    }

    #[test]
    fn a_bad_certificate_file_is_an_error_and_not_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let conf = || Settings::new(path.clone()).server_conf();
        assert!(conf().is_err());
        std::fs::write(
            &path,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        assert!(conf().is_err());
        let good = rcgen::generate_simple_self_signed(["thon.test".to_owned()]).unwrap();
        std::fs::write(&path, good.cert.pem()).unwrap();
        assert!(conf().is_ok());
    }
}
