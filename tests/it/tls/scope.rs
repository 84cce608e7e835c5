//! What a stolen key is good for, by real verifiers.

use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use tempfile::TempDir;
use thon::tls::{self, Authority, Names, Scope};

use super::house::{DAY, names, text};
/// An authority and whoever stole its key.
struct Stolen {
    dir: TempDir,
    authority: Authority,
}

impl Stolen {
    fn new() -> Self {
        tls::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let scope = Scope::covering(
            &names(&["thon.example.net"], &["203.0.113.7"]),
            &names(&["gpu-1"], &["192.0.2.4", "2001:db8:1:2::7"]),
        );
        let ca = dir.path().join("ca");
        let authority = Authority::open(&ca, "host", &scope, Timestamp::now()).unwrap();
        Self { dir, authority }
    }

    fn root(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).unwrap()
    }

    /// Signed with the files alone, past everything that `Authority` refuses.
    fn forged(&self, name: &str) -> CertificateDer<'static> {
        let key = std::fs::read_to_string(self.dir.path().join("ca/rootCA.key")).unwrap();
        let key = KeyPair::from_pem(&key).unwrap();
        let issuer = Issuer::from_ca_cert_der(&self.root(), key).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![match name.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(name.try_into().unwrap()),
        }];
        let leaf = KeyPair::generate().unwrap();
        params.signed_by(&leaf, &issuer).unwrap().der().clone()
    }

    fn verified(&self, leaf: &CertificateDer<'_>, name: &str) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root()).unwrap();
        let verifier = WebPkiServerVerifier::builder(Arc::new(roots))
            .build()
            .unwrap();
        let name = ServerName::try_from(name).unwrap();
        let verified = verifier.verify_server_cert(leaf, &[], &name, &[], UnixTime::now());
        verified.map(|_| ())
    }

    fn openssl(&self, leaf: &CertificateDer<'_>) -> String {
        let (root, file) = (self.authority.path(), self.dir.path().join("leaf.der"));
        std::fs::write(&file, leaf).unwrap();
        let pem = self.dir.path().join("leaf.pem");
        let run = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).output();
            let output = output.expect("openssl starts; tests/setup installs it");
            format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
        };
        let (root, file, pem) = (text(root), text(&file), text(&pem));
        run(&["x509", "-inform", "DER", "-in", file, "-out", pem]);
        run(&["verify", "-purpose", "sslserver", "-CAfile", root, pem])
    }
}

#[test]
fn a_stolen_key_is_of_no_use_outside_the_private_network() {
    let stolen = Stolen::new();
    for name in [
        "thon.example.net",
        "gpu-1",
        "nas.local",
        "192.168.1.9",
        "203.0.113.7",
        "fd00::9",
    ] {
        let leaf = stolen.forged(name);
        stolen.verified(&leaf, name).unwrap();
        let said = stolen.openssl(&leaf);
        assert!(said.contains("leaf.pem: OK"), "{name}: {said}");
    }
    for name in [
        "example.org",
        "example.net",
        "198.51.100.7",
        "2001:db8:1:3::7",
        "gpu-1.example.org",
    ] {
        let leaf = stolen.forged(name);
        let refused = stolen.verified(&leaf, name).unwrap_err();
        let words = format!("{refused:?}");
        assert!(words.contains("NameConstraintViolation"), "{name}: {words}");
        let said = stolen.openssl(&leaf);
        assert!(
            said.contains("permitted subtree violation"),
            "{name}: {said}"
        );
    }
}

#[test]
fn a_leaf_holds_what_the_authority_permits_and_works_for_all_of_it() {
    let stolen = Stolen::new();
    let asked = names(
        &["localhost", "thon.example.net", "other.example"],
        &["127.0.0.1", "::1", "203.0.113.7", "198.51.100.7"],
    );
    let (leaf, current) = stolen.authority.issue(&asked, Timestamp::now()).unwrap();
    assert_eq!(
        current.left_out,
        names(&["other.example"], &["198.51.100.7"])
    );
    let leaf = leaf.end_entity_cert().unwrap();
    for name in [
        "localhost",
        "thon.example.net",
        "127.0.0.1",
        "::1",
        "203.0.113.7",
    ] {
        stolen.verified(leaf, name).unwrap();
    }
    for name in ["other.example", "198.51.100.7"] {
        let refused = stolen.verified(leaf, name).unwrap_err();
        assert!(
            matches!(
                refused,
                rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName
                        | CertificateError::NotValidForNameContext { .. }
                )
            ),
            "{refused:?}"
        );
    }
}

#[test]
fn an_authority_without_bounds_goes_on_being_used_and_says_that_it_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca");
    let old = Authority::open(&ca, "host", &Scope::Everything, Timestamp::now()).unwrap();
    let narrow = Scope::covering(&Names::default(), &Names::default());
    let again = Authority::open(&ca, "host", &narrow, Timestamp::now()).unwrap();
    assert_eq!(old.fingerprint(), again.fingerprint());
    assert_eq!(again.scope(), &Scope::Everything);
    let asked = names(&["anything.example"], &["198.51.100.7"]);
    let (_, current) = again.issue(&asked, Timestamp::now()).unwrap();
    assert!(current.left_out.is_empty());
}

#[test]
fn a_clock_that_is_far_off_gives_a_leaf_within_the_authority_s_time() {
    let stolen = Stolen::new();
    let time = stolen.authority.validity();
    for now in [Timestamp::UNIX_EPOCH, Timestamp::now() + DAY * 20_000] {
        let (_, current) = stolen
            .authority
            .issue(&names(&["localhost"], &[]), now)
            .unwrap();
        assert!(current.validity.from >= time.from && current.validity.until <= time.until);
        assert!(current.validity.from <= current.validity.until);
    }
}
