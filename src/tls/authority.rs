//! The appliance's own certificate authority: made once, kept in files, signs the leaf certificates.

use std::fs;
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
use crate::tls::durable::{move_away, write_pair};
use crate::tls::names::Names;
use crate::tls::renewal::{Current, Validity};
use crate::tls::scope::Scope;

/// Two years: longer than any event and the next one, and not for ever in browsers whose owners
/// forgot to remove it.
const CA_LIFETIME: SignedDuration = SignedDuration::from_hours(730 * 24);

/// Browsers refuse leaves of more than 398 days; ninety are renewed without anybody noticing.
const LEAF_LIFETIME: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Participants' laptops have wrong clocks.
const BACKDATED: SignedDuration = SignedDuration::from_hours(24);

const CERTIFICATE: &str = "rootCA.crt";
const KEY: &str = "rootCA.key";

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    path: PathBuf,
    validity: Validity,
    scope: Scope,
}

impl Authority {
    /// Reads `rootCA.crt` and `rootCA.key` from `dir`, or makes both for this scope if neither
    /// exists. Half of a pair, or one that does not fit, is an error: to overwrite it would end the
    /// trust of every browser that has it.
    pub fn open(dir: &Path, label: &str, scope: &Scope, now: Timestamp) -> Result<Self, TlsError> {
        match Self::existing(dir)? {
            Some(authority) => Ok(authority),
            None => Self::make(dir, label, scope, now),
        }
    }

    /// The one in `dir`, if there is one. Writes nothing.
    pub fn existing(dir: &Path) -> Result<Option<Self>, TlsError> {
        let (crt, key) = (dir.join(CERTIFICATE), dir.join(KEY));
        match (crt.exists(), key.exists()) {
            (true, true) => Self::read(&crt, &key).map(Some),
            (false, false) => Ok(None),
            (has_crt, _) => {
                let missing = if has_crt { &key } else { &crt };
                Err(TlsError::Damaged(format!(
                    "{} is missing although its counterpart exists: restore it, or move both files away to start a new authority that every browser must install again",
                    missing.display()
                )))
            }
        }
    }

    /// A new one. Whatever was there is kept in a directory beside it, whose name is given back.
    pub fn rotate(
        dir: &Path,
        label: &str,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<(Self, Option<PathBuf>), TlsError> {
        let kept = move_away(dir, now)
            .map_err(|error| TlsError::Failed(format!("cannot move {}: {error}", dir.display())))?;
        Ok((Self::make(dir, label, scope, now)?, kept))
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
        let (validity, scope) = facts(&certificate).map_err(|error| damaged(crt, &error))?;
        let issuer =
            Issuer::from_ca_cert_der(&certificate, pair).map_err(|error| damaged(crt, &error))?;
        Ok(Self {
            issuer,
            certificate,
            pem,
            path: crt.to_owned(),
            validity,
            scope,
        })
    }

    fn make(dir: &Path, label: &str, scope: &Scope, now: Timestamp) -> Result<Self, TlsError> {
        let failed = |error: rcgen::Error| TlsError::Failed(error.to_string());
        let pair = KeyPair::generate().map_err(failed)?;
        let params = ca_params(label, scope, now);
        let certificate = params.self_signed(&pair).map_err(failed)?;
        let (key, pem) = (pair.serialize_pem(), certificate.pem());
        let files = [(KEY, key.as_bytes()), (CERTIFICATE, pem.as_bytes())];
        write_pair(dir, files).map_err(|error| {
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

    pub fn validity(&self) -> Validity {
        self.validity
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// SHA-256 of the certificate, as browsers and tools show it: `AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.certificate);
        let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }

    fn leaf_time(&self, now: Timestamp) -> Validity {
        let Validity { from, until } = self.validity;
        let start = (now - BACKDATED).clamp(from, until);
        Validity {
            from: start,
            until: (start + BACKDATED + LEAF_LIFETIME).min(until),
        }
    }

    /// A fresh leaf certificate for those of these names that the authority is permitted to sign for:
    /// with one more, verifiers would refuse it for all.
    ///
    /// It is valid within the authority's own time. A clock that is far off gives a leaf that is of no
    /// use then, and another one as soon as the clock is right.
    pub fn issue(
        &self,
        names: &Names,
        now: Timestamp,
    ) -> Result<(CertifiedKey, Current), TlsError> {
        let failed = |error: &dyn ToString| TlsError::Failed(error.to_string());
        let (permitted, left_out) = self.scope.split(names);
        let current = Current {
            names: names.clone(),
            left_out,
            validity: self.leaf_time(now),
        };
        let pair = KeyPair::generate().map_err(|error| failed(&error))?;
        let leaf = leaf_params(&permitted, current.validity)
            .and_then(|params| params.signed_by(&pair, &self.issuer))
            .map_err(|error| failed(&error))?;
        let key = PrivateKeyDer::try_from(pair.serialize_der()).map_err(|error| failed(&error))?;
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| failed(&error))?;
        Ok((certified, current))
    }
}

fn facts(certificate: &CertificateDer<'_>) -> Result<(Validity, Scope), String> {
    let (_, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    Ok((Validity::of(&parsed)?, Scope::of(&parsed)?))
}

fn ca_params(label: &str, scope: &Scope, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // The date tells two authorities of one host apart in a browser's list.
    let date = now.strftime("%Y-%m-%d");
    let name = format!("THON authority of {label}, {date}");
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "THON");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Whoever has it trusts it for web servers, not for programs and letters.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.name_constraints = scope.constraints();
    params.not_before = date_time(now - BACKDATED);
    params.not_after = date_time(now + CA_LIFETIME);
    params
}

fn leaf_params(names: &Names, validity: Validity) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    let dns = names
        .dns()
        .map(|name| Ok(SanType::DnsName(name.try_into()?)));
    let addresses = names.addresses().map(|ip| Ok(SanType::IpAddress(ip)));
    params.subject_alt_names = dns.chain(addresses).collect::<Result<_, rcgen::Error>>()?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "THON");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time(validity.from);
    params.not_after = date_time(validity.until);
    Ok(params)
}

fn date_time(at: Timestamp) -> time::OffsetDateTime {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    (UNIX_EPOCH + Duration::from_secs(seconds)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn open(dir: &Path) -> Result<Authority, TlsError> {
        Authority::open(dir, "host", &Scope::covering(&names(), &names()), now())
    }

    fn now() -> Timestamp {
        Timestamp::now()
    }

    fn names() -> Names {
        Names::new(["localhost".to_owned()], ["127.0.0.1".parse().unwrap()])
    }

    #[test]
    fn the_authority_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca");
        let first = open(&ca).unwrap();
        let second = open(&ca).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        let mode = fs::metadata(ca.join("rootCA.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        second.issue(&names(), now()).unwrap();
    }

    #[test]
    fn killed_while_it_was_made_it_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca");
        let half = dir.path().join("ca.new");
        fs::create_dir(&half).unwrap();
        fs::write(half.join("rootCA.key"), "half of a k").unwrap();
        fs::write(half.join("rootCA.new"), "half of a c").unwrap();
        let made = open(&ca).unwrap();
        let again = open(&ca).unwrap();
        assert_eq!(made.fingerprint(), again.fingerprint());
        assert!(!half.exists());
    }

    #[test]
    fn half_of_a_pair_or_a_foreign_key_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
        open(&ours).unwrap();
        open(&theirs).unwrap();
        fs::copy(theirs.join("rootCA.key"), ours.join("rootCA.key")).unwrap();
        assert!(matches!(open(&ours), Err(TlsError::Damaged(_))));
        fs::remove_file(ours.join("rootCA.key")).unwrap();
        let before = fs::read(ours.join("rootCA.crt")).unwrap();
        assert!(matches!(open(&ours), Err(TlsError::Damaged(_))));
        assert_eq!(fs::read(ours.join("rootCA.crt")).unwrap(), before);
    }
}
