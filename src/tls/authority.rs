//! The appliance's own certificate authority: made once, kept in files, signs the leaf certificates.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

use crate::tls::TlsError;
use crate::tls::renewal::Current;

/// Ten years: an authority that ends in the middle of an event helps nobody.
const CA_LIFETIME: SignedDuration = SignedDuration::from_hours(3650 * 24);

/// Browsers refuse leaves of more than 398 days; ninety are renewed without anybody noticing.
const LEAF_LIFETIME: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Participants' laptops have wrong clocks.
const BACKDATED: SignedDuration = SignedDuration::from_hours(24);

const CERTIFICATE: &str = "rootCA.crt";
const KEY: &str = "rootCA.key";

/// The names and addresses that a leaf certificate is for, each once and in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    dns: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Names {
    pub fn new(
        dns: impl IntoIterator<Item = String>,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        Self {
            dns: dns.into_iter().collect(),
            addresses: addresses.into_iter().collect(),
        }
    }
}

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    path: PathBuf,
}

impl Authority {
    /// Reads `rootCA.crt` and `rootCA.key` from `dir`, or makes both if neither exists. Half of a
    /// pair, or one that does not fit, is an error: to overwrite it would end the trust of every
    /// browser that has it.
    pub fn open(dir: &Path, label: &str, now: Timestamp) -> Result<Self, TlsError> {
        let (crt, key) = (dir.join(CERTIFICATE), dir.join(KEY));
        match (crt.exists(), key.exists()) {
            (true, true) => Self::read(&crt, &key),
            (false, false) => Self::make(dir, label, now),
            (has_crt, _) => {
                let missing = if has_crt { &key } else { &crt };
                Err(TlsError::Damaged(format!(
                    "{} is missing although its counterpart exists: restore it, or move both files away to start a new authority that every browser must install again",
                    missing.display()
                )))
            }
        }
    }

    fn read(crt: &Path, key: &Path) -> Result<Self, TlsError> {
        let damaged = |path: &Path, why: &dyn ToString| {
            TlsError::Damaged(format!(
                "{} cannot be used: {}",
                path.display(),
                why.to_string()
            ))
        };
        let pem = fs::read_to_string(crt).map_err(|error| damaged(crt, &error))?;
        let certificate =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| damaged(crt, &error))?;
        let key_pem = fs::read_to_string(key).map_err(|error| damaged(key, &error))?;
        let pair = KeyPair::from_pem(&key_pem).map_err(|error| damaged(key, &error))?;
        // The public key stands in the certificate as it is: no parser is needed to compare them.
        let spki = pair.subject_public_key_info();
        if !certificate.windows(spki.len()).any(|window| window == spki) {
            return Err(damaged(key, &"it does not belong to rootCA.crt"));
        }
        let issuer =
            Issuer::from_ca_cert_der(&certificate, pair).map_err(|error| damaged(crt, &error))?;
        Ok(Self {
            issuer,
            certificate,
            pem,
            path: crt.to_owned(),
        })
    }

    /// In a directory of another name first, so that a process that is killed leaves no half of a
    /// pair behind.
    fn make(dir: &Path, label: &str, now: Timestamp) -> Result<Self, TlsError> {
        let failed = |error: rcgen::Error| TlsError::Failed(error.to_string());
        let pair = KeyPair::generate().map_err(failed)?;
        let certificate = ca_params(label, now).self_signed(&pair).map_err(failed)?;
        let fresh = dir.with_extension("new");
        let written = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&fresh)
            .and_then(|()| write_private(&fresh.join(KEY), pair.serialize_pem().as_bytes()))
            .and_then(|()| write_private(&fresh.join(CERTIFICATE), certificate.pem().as_bytes()))
            .and_then(|()| replace(&fresh, dir));
        written.map_err(|error| {
            TlsError::Failed(format!(
                "cannot write the authority to {}: {error}",
                dir.display()
            ))
        })?;
        Self::read(&dir.join(CERTIFICATE), &dir.join(KEY))
    }

    /// What participants install: one PEM certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the certificate, as browsers and tools show it: `AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.certificate);
        let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }

    /// A fresh leaf certificate for these names.
    pub fn issue(
        &self,
        names: &Names,
        now: Timestamp,
    ) -> Result<(CertifiedKey, Current), TlsError> {
        let failed = |error: &dyn ToString| TlsError::Failed(error.to_string());
        let current = Current {
            names: names.clone(),
            not_before: now - BACKDATED,
            not_after: now + LEAF_LIFETIME,
        };
        let pair = KeyPair::generate().map_err(|error| failed(&error))?;
        let leaf = leaf_params(&current)
            .and_then(|params| params.signed_by(&pair, &self.issuer))
            .map_err(|error| failed(&error))?;
        let key = PrivateKeyDer::try_from(pair.serialize_der()).map_err(|error| failed(&error))?;
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| failed(&error))?;
        Ok((certified, current))
    }
}

fn ca_params(label: &str, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("THON authority of {label}"));
    params
        .distinguished_name
        .push(DnType::OrganizationName, "THON");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date(now - BACKDATED);
    params.not_after = date(now + CA_LIFETIME);
    params
}

fn leaf_params(current: &Current) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    let dns = current
        .names
        .dns
        .iter()
        .map(|name| Ok(SanType::DnsName(name.as_str().try_into()?)));
    let addresses = current
        .names
        .addresses
        .iter()
        .map(|ip| Ok(SanType::IpAddress(*ip)));
    params.subject_alt_names = dns.chain(addresses).collect::<Result<_, rcgen::Error>>()?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "THON");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date(current.not_before);
    params.not_after = date(current.not_after);
    Ok(params)
}

fn date(at: Timestamp) -> time::OffsetDateTime {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    (UNIX_EPOCH + Duration::from_secs(seconds)).into()
}

/// All of the file or nothing, readable by its owner only.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    replace(&temporary, path)
}

/// A directory never takes the place of one that holds something.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    // The new name is durable once the directory is.
    to.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn names() -> Names {
        Names::new(["localhost".to_owned()], ["127.0.0.1".parse().unwrap()])
    }

    #[test]
    fn the_authority_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca");
        let first = Authority::open(&ca, "host", Timestamp::now()).unwrap();
        let second = Authority::open(&ca, "host", Timestamp::now()).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        let mode = fs::metadata(ca.join("rootCA.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        second.issue(&names(), Timestamp::now()).unwrap();
    }

    #[test]
    fn killed_while_it_was_made_it_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca");
        let half = dir.path().join("ca.new");
        fs::create_dir(&half).unwrap();
        fs::write(half.join("rootCA.key"), "half of a k").unwrap();
        fs::write(half.join("rootCA.new"), "half of a c").unwrap();
        let made = Authority::open(&ca, "host", Timestamp::now()).unwrap();
        let again = Authority::open(&ca, "host", Timestamp::now()).unwrap();
        assert_eq!(made.fingerprint(), again.fingerprint());
        assert!(!half.exists());
    }

    #[test]
    fn half_of_a_pair_or_a_foreign_key_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
        Authority::open(&ours, "host", Timestamp::now()).unwrap();
        Authority::open(&theirs, "host", Timestamp::now()).unwrap();
        fs::copy(theirs.join("rootCA.key"), ours.join("rootCA.key")).unwrap();
        assert!(matches!(
            Authority::open(&ours, "h", Timestamp::now()),
            Err(TlsError::Damaged(_))
        ));
        fs::remove_file(ours.join("rootCA.key")).unwrap();
        let before = fs::read(ours.join("rootCA.crt")).unwrap();
        assert!(matches!(
            Authority::open(&ours, "h", Timestamp::now()),
            Err(TlsError::Damaged(_))
        ));
        assert_eq!(fs::read(ours.join("rootCA.crt")).unwrap(), before);
    }
}
