//! A certificate of somebody else's, from a pair of PEM files.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use sha2::{Digest as _, Sha256};

use crate::tls::bounded;
use crate::tls::renewal::Validity;

/// Longer chains are a mistake, and every handshake would carry them.
const CHAIN_MAX: usize = 10;

/// Where the pair is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Which file, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct Unusable {
    pub path: PathBuf,
    pub reason: String,
    /// It is there, and this process may not read it.
    pub is_forbidden: bool,
}

/// What was in the files at one moment.
pub struct Contents {
    pair: Pair,
    certificate: Vec<u8>,
    key: Vec<u8>,
    /// Everybody on this host can read the key.
    pub key_is_open: bool,
}

/// A pair that fits.
pub struct Provided {
    pub certified: CertifiedKey,
    pub validity: Validity,
}

impl Pair {
    /// Both files as they are, links followed: tools that renew certificates exchange links.
    pub fn read(&self) -> Result<Contents, Unusable> {
        let (certificate, _) = read(&self.certificate)?;
        let (key, mode) = read(&self.key)?;
        Ok(Contents {
            pair: self.clone(),
            certificate,
            key,
            key_is_open: mode & 0o004 != 0,
        })
    }
}

impl Contents {
    /// Tells one content from another.
    pub fn digest(&self) -> [u8; 32] {
        let parts = [&self.certificate, &self.key].map(Sha256::digest);
        Sha256::digest(parts.concat()).into()
    }

    /// Checks that both are what they should be, and that one belongs to the other. Whether the time
    /// and the names are right is another matter: a certificate that ended is still a certificate.
    pub fn load(&self) -> Result<Provided, Unusable> {
        let of_certificate = |reason: String| unusable(&self.pair.certificate, reason);
        let of_key = |reason: String| unusable(&self.pair.key, reason);
        let chain = chain(&self.certificate).map_err(of_certificate)?;
        let validity = chain
            .first()
            .ok_or_else(|| "it holds no certificate in PEM form".to_owned())
            .and_then(validity)
            .map_err(of_certificate)?;
        let key =
            PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| of_key(no_key(&self.key)))?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => of_key(format!(
                "it does not belong to the first certificate in {}",
                self.pair.certificate.display()
            )),
            error => of_key(format!("it cannot be used: {error}")),
        })?;
        Ok(Provided {
            certified,
            validity,
        })
    }
}

impl Provided {
    pub fn covers_name(&self, name: &str) -> bool {
        ServerName::try_from(name).is_ok_and(|name| self.covers(&name))
    }

    pub fn covers_address(&self, address: IpAddr) -> bool {
        self.covers(&ServerName::IpAddress(address.into()))
    }

    fn covers(&self, name: &ServerName<'_>) -> bool {
        let leaf = self.certified.end_entity_cert().ok();
        leaf.and_then(|leaf| ParsedCertificate::try_from(leaf).ok())
            .is_some_and(|leaf| verify_server_name(&leaf, name).is_ok())
    }
}

fn unusable(path: &Path, reason: String) -> Unusable {
    Unusable {
        path: path.to_owned(),
        reason,
        is_forbidden: false,
    }
}

/// With the mode.
fn read(path: &Path) -> Result<(Vec<u8>, u32), Unusable> {
    bounded::read(path).map_err(|error| {
        let is_forbidden = error.kind() == io::ErrorKind::PermissionDenied;
        // What is not the system's word has a sentence of its own.
        let reason = match error.raw_os_error() {
            Some(_) => format!("it cannot be read: {error}"),
            None => error.to_string(),
        };
        Unusable {
            is_forbidden,
            ..unusable(path, reason)
        }
    })
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("it is damaged: {error}"))?;
    if chain.len() > CHAIN_MAX {
        return Err(format!("it holds more than {CHAIN_MAX} certificates"));
    }
    Ok(chain)
}

fn validity(leaf: &CertificateDer<'_>) -> Result<Validity, String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|error| format!("its first certificate is damaged: {error}"))?;
    Validity::of(&parsed)
}

fn no_key(pem: &[u8]) -> String {
    let is_encrypted = pem
        .windows(b"ENCRYPTED".len())
        .any(|window| window == b"ENCRYPTED");
    if is_encrypted {
        "it is encrypted; decrypt it with `openssl pkey -in FILE -out FILE.plain`".to_owned()
    } else {
        "it holds no private key in PEM form (PKCS#8, PKCS#1 or SEC1)".to_owned()
    }
}

/// A key must not get into a log by an accident.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents")
            .field("pair", &self.pair)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Provided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provided")
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}
