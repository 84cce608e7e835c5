//! The appliance's own certificate authority: made once, kept in files, signs the leaf certificates.

use std::io;
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
use crate::tls::bounded;
use crate::tls::durable::Prepared;
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
        let kept = Self::prepare(dir, label, scope, now)?
            .replace(now)
            .map_err(|error| not_written(dir, &error))?;
        let made = Self::read(&dir.join(CERTIFICATE), &dir.join(KEY))?;
        Ok((made, kept))
    }

    fn read(crt: &Path, key: &Path) -> Result<Self, TlsError> {
        let damaged = |path: &Path, why: &dyn ToString| {
            TlsError::Damaged(format!(
                "{} cannot be used: {}",
                path.display(),
                why.to_string()
            ))
        };
        let pem = text(crt).map_err(|error| damaged(crt, &error))?;
        let certificate =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| damaged(crt, &error))?;
        let key_pem = text(key).map_err(|error| damaged(key, &error))?;
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
        Self::prepare(dir, label, scope, now)?
            .take_place()
            .map_err(|error| not_written(dir, &error))?;
        Self::read(&dir.join(CERTIFICATE), &dir.join(KEY))
    }

    /// A new pair, on the disk and not in use yet.
    fn prepare(
        dir: &Path,
        label: &str,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<Prepared, TlsError> {
        let failed = |error: rcgen::Error| TlsError::Failed(error.to_string());
        let pair = KeyPair::generate().map_err(failed)?;
        let params = ca_params(label, scope, now);
        let certificate = params.self_signed(&pair).map_err(failed)?;
        let (key, pem) = (pair.serialize_pem(), certificate.pem());
        let files = [(KEY, key.as_bytes()), (CERTIFICATE, pem.as_bytes())];
        Prepared::write(dir, files).map_err(|error| not_written(dir, &error))
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

fn not_written(dir: &Path, error: &io::Error) -> TlsError {
    let dir = dir.display();
    TlsError::Failed(format!("cannot write the authority to {dir}: {error}"))
}

fn text(path: &Path) -> io::Result<String> {
    let (bytes, _) = bounded::read(path)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text"))
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
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

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
    fn rotate(dir: &Path) -> Result<(Authority, Option<PathBuf>), TlsError> {
        Authority::rotate(dir, "host", &Scope::covering(&names(), &names()), now())
    }

    #[test]
    fn an_authority_that_cannot_be_exchanged_stays() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca");
        let before = open(&ca).unwrap().fingerprint();
        let at = now();
        // The name that it would be kept under is taken.
        let stamp = at.strftime("until-%Y%m%dT%H%M%SZ").to_string();
        fs::create_dir(ca.with_extension(stamp)).unwrap();
        let scope = Scope::covering(&names(), &names());
        assert!(Authority::rotate(&ca, "host", &scope, at).is_err());
        assert_eq!(open(&ca).unwrap().fingerprint(), before);
        assert!(!ca.with_extension("new").exists(), "no key is left over");
    }

    #[test]
    fn a_link_in_the_way_is_removed_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, outside) = (dir.path().join("ca"), dir.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("rootCA.new"), "theirs").unwrap();
        let before = open(&ca).unwrap().fingerprint();
        symlink(&outside, ca.with_extension("new")).unwrap();
        let (made, kept) = rotate(&ca).unwrap();
        assert_eq!(open(&ca).unwrap().fingerprint(), made.fingerprint());
        assert_eq!(open(&kept.unwrap()).unwrap().fingerprint(), before);
        assert!(ca.symlink_metadata().unwrap().is_dir());
        let there: Vec<_> = fs::read_dir(&outside).unwrap().collect();
        assert_eq!(there.len(), 1);
        assert_eq!(fs::read(outside.join("rootCA.new")).unwrap(), b"theirs");
    }

    #[test]
    fn what_root_makes_in_another_s_directory_is_that_one_s_at_once() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let dir = tempfile::tempdir().unwrap();
        let me = fs::metadata(dir.path()).unwrap().uid();
        let owner = if me == 0 { 4_000 } else { me };
        chown(dir.path(), Some(owner), None).unwrap();
        let ca = dir.path().join("ca");
        open(&ca).unwrap();
        for made in [&ca, &ca.join(KEY), &ca.join(CERTIFICATE)] {
            assert_eq!(fs::metadata(made).unwrap().uid(), owner);
        }
    }

    #[test]
    fn a_pipe_or_something_endless_in_a_file_s_place_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca");
        open(&ca).unwrap();
        let key = ca.join(KEY);
        fs::remove_file(&key).unwrap();
        nix::unistd::mkfifo(&key, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(open(&ca), Err(TlsError::Damaged(_))));
        fs::remove_file(&key).unwrap();
        symlink("/dev/zero", &key).unwrap();
        assert!(matches!(open(&ca), Err(TlsError::Damaged(_))));
        fs::remove_file(&key).unwrap();
        fs::File::create(&key).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(open(&ca), Err(TlsError::Damaged(_))));
    }
}
