//! Certificates: what the authority can sign for, renewal under open connections, files that change.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use tempfile::TempDir;
use thon::config;
use thon::config::env::FixedVars;
use thon::domain::health::Health;
use thon::runtime::fake::Fake;
use thon::server::{Appliance, rotate_authority};
use thon::tls::{self, Authority, Names, Scope};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{
    Reply, get, open_socket, read_head, request, send, tls_connector, within,
};

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn names(dns: &[&str], addresses: &[&str]) -> Names {
    Names::new(
        dns.iter().map(|name| (*name).to_owned()),
        addresses.iter().map(|ip| ip.parse().unwrap()),
    )
}

// --- what the authority can sign for -------------------------------------------------------------

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

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
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

// --- the appliance ---------------------------------------------------------------------------------

struct House {
    dir: TempDir,
    /// Further keys of `proxy`.
    proxy: String,
}

impl House {
    fn new(proxy: &str) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            proxy: proxy.to_owned(),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn config(&self) -> config::Config {
        let at = self.dir.path().display();
        let settings = format!(
            "groups: {{red: [alice]}}\nstate_dir: {at}/state\nruntime_dir: {at}/run\n\
             proxy: {{https_listen: '127.0.0.1:0', http_listen: '127.0.0.1:0', {}}}\n\
             dashboard: {{host: 127.0.0.1, port: 0}}\ngateway: {{listen: '127.0.0.1:0'}}\n",
            self.proxy
        );
        let path = self.at("thon.yaml");
        std::fs::write(&path, settings).unwrap();
        config::load(Some(&path), &FixedVars::default()).unwrap()
    }

    async fn start(&self) -> Appliance {
        self.try_start().await.unwrap()
    }

    async fn try_start(&self) -> anyhow::Result<Appliance> {
        let config = self.config();
        let fake = Fake::new(config.sandbox.subnet);
        Appliance::start_with(&config, |_| Arc::new(fake)).await
    }

    /// `ssl_provider: files`, with these two.
    fn with_files() -> Self {
        let mut house = Self::new("");
        let (certificate, key) = (house.at("tls.crt"), house.at("tls.key"));
        house.proxy = format!(
            "domain: thon.example.net, ssl_provider: files, ssl_certificate: {}, ssl_certificate_key: {}",
            certificate.display(),
            key.display()
        );
        house
    }

    fn put(&self, pair: &Pair) {
        std::fs::write(self.at("tls.crt"), &pair.certificate).unwrap();
        std::fs::write(self.at("tls.key"), &pair.key).unwrap();
    }
}

fn address(appliance: &Appliance, name: &str) -> SocketAddr {
    let mut listeners = appliance.listeners().into_iter();
    listeners
        .find(|listener| listener.name == name)
        .unwrap()
        .address
}

/// Whatever it presents.
async fn connect(at: SocketAddr) -> TlsStream<TcpStream> {
    let connector = {
        let mut config = rustls::ClientConfig::builder()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(Anybody));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        tokio_rustls::TlsConnector::from(Arc::new(config))
    };
    let tcp = TcpStream::connect(at).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    within(connector.connect(name, tcp)).await.unwrap()
}

fn presented(wire: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    wire.get_ref().1.peer_certificates().unwrap()[0].clone()
}

async fn leaf_at(at: SocketAddr) -> CertificateDer<'static> {
    presented(&connect(at).await)
}

fn trouble(appliance: &Appliance) -> Option<(String, String)> {
    let report = appliance.control().health();
    let health = report.into_iter().find(|(part, _)| *part == "certificate");
    match health.map(|(_, health)| health) {
        Some(Health::Degraded { code, message }) => Some((code, message)),
        _ => None,
    }
}

async fn ask(at: SocketAddr, path: &str) -> Reply {
    send(connect(at).await, get(path, &[("host", "localhost")])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_drops_no_connection_and_the_next_handshake_sees_it() {
    let house = House::new("");
    let appliance = house.start().await;
    let public = address(&appliance, "public");
    let mut kept = connect(public).await;
    let first = presented(&kept);
    ask_again(&mut kept).await;
    let headers = [("host", "localhost"), ("origin", "https://localhost")];
    let socket = open_socket(connect(public).await, "/ca/test/socket", &headers).await;
    let mut socket = socket.unwrap();

    appliance.look_after_certificate(Timestamp::now() + DAY * 70);

    assert_ne!(leaf_at(public).await, first);
    ask_again(&mut kept).await;
    socket.send(Message::text("still here")).await.unwrap();
    let said = within(socket.next()).await.unwrap().unwrap();
    assert_eq!(said.to_text().unwrap(), "still here");
    within(appliance.stop()).await;
}

/// One request on a connection that stays.
async fn ask_again(wire: &mut TlsStream<TcpStream>) {
    let ask = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    wire.write_all(ask).await.unwrap();
    wire.flush().await.unwrap();
    let head = read_head(wire).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let len = head.lines().find_map(|line| {
        let (name, len) = line.split_once(": ")?;
        let is_len = name.eq_ignore_ascii_case("content-length");
        is_len.then(|| len.parse().unwrap())
    });
    let mut body = vec![0; len.unwrap()];
    within(wire.read_exact(&mut body)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_authority_may_not_sign_for_is_said_and_never_makes_another() {
    let mut house = House::new("domain: first.example.net");
    let appliance = house.start().await;
    assert_eq!(trouble(&appliance), None);
    within(appliance.stop()).await;
    let before = std::fs::read(house.at("state/ca/rootCA.crt")).unwrap();

    house.proxy = "domain: second.example.net".to_owned();
    let appliance = house.start().await;
    appliance.look_after_certificate(Timestamp::now());
    let (code, message) = trouble(&appliance).unwrap();
    assert_eq!(code, "THN-CERT-01");
    assert!(message.contains("second.example.net") && message.contains("thon ca rotate"));
    // What it may sign for still works.
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&before).unwrap())
        .unwrap();
    let tcp = TcpStream::connect(address(&appliance, "public"))
        .await
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    tls_connector(roots, &[]).connect(name, tcp).await.unwrap();
    // And nobody exchanges an authority under a running appliance.
    let refused = format!("{:#}", rotate_authority(&house.config()).unwrap_err());
    assert!(refused.contains("an appliance runs already"), "{refused}");
    within(appliance.stop()).await;
    assert_eq!(
        std::fs::read(house.at("state/ca/rootCA.crt")).unwrap(),
        before
    );

    let rotated = rotate_authority(&house.config()).unwrap();
    let kept = rotated.kept.unwrap();
    assert_eq!(std::fs::read(kept.join("rootCA.crt")).unwrap(), before);
    assert!(kept.join("rootCA.key").exists());
    assert!(
        rotated
            .ca
            .permits
            .unwrap()
            .contains(&"second.example.net".to_owned())
    );
    let appliance = house.start().await;
    appliance.look_after_certificate(Timestamp::now());
    assert_eq!(trouble(&appliance), None);
    within(appliance.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_s_own_time_is_told_and_nothing_is_overwritten() {
    let house = House::new("");
    let appliance = house.start().await;
    let before = std::fs::read(house.at("state/ca/rootCA.crt")).unwrap();
    let first = leaf_at(address(&appliance, "public")).await;
    for (days, words) in [(-30, "clock"), (800, "ended on")] {
        let (code, message) = told_in(&appliance, days).await;
        assert_eq!(code, "THN-CERT-03");
        assert!(message.contains(words), "{days}: {message}");
        let leaf = leaf_at(address(&appliance, "public")).await;
        assert_eq!(leaf, first, "{days}");
    }
    let (code, message) = told_in(&appliance, 700).await;
    assert!(
        code == "THN-CERT-03" && message.contains("ends on"),
        "{message}"
    );
    assert_eq!(
        std::fs::read(house.at("state/ca/rootCA.crt")).unwrap(),
        before
    );
    within(appliance.stop()).await;
}

/// What is said this many days from now. The appliance itself looks too, by the real clock.
async fn told_in(appliance: &Appliance, days: i32) -> (String, String) {
    within(async {
        loop {
            appliance.look_after_certificate(Timestamp::now() + DAY * days);
            if let Some(told) = trouble(appliance) {
                return told;
            }
        }
    })
    .await
}

// --- a certificate from files ------------------------------------------------------------------------

struct Pair {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

impl Pair {
    fn new(name: &str) -> Self {
        Self::valid(name, -1, 60)
    }

    /// In days from now.
    fn valid(name: &str, from: i32, until: i32) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        let at = |days| {
            let seconds = (Timestamp::now() + DAY * days).as_second();
            let since = std::time::Duration::from_secs(u64::try_from(seconds).unwrap());
            std::time::SystemTime::UNIX_EPOCH + since
        };
        params.not_before = at(from).into();
        params.not_after = at(until).into();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_from_files_is_read_again_when_it_changes() {
    tls::install_provider();
    let house = House::with_files();
    let (first, second) = (Pair::new("thon.example.net"), Pair::new("thon.example.net"));
    house.put(&first);
    let appliance = house.start().await;
    let (public, admin) = (address(&appliance, "public"), address(&appliance, "admin"));
    assert_eq!(leaf_at(public).await, first.der);
    assert_eq!(leaf_at(admin).await, first.der);
    let mut kept = connect(public).await;

    house.put(&second);
    appliance.look_after_certificate(Timestamp::now());
    assert_eq!(leaf_at(public).await, second.der);
    assert_eq!(trouble(&appliance), None);
    ask_again(&mut kept).await;
    within(appliance.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_pair_keeps_the_one_from_before_and_is_told() {
    tls::install_provider();
    let house = House::with_files();
    let (first, other) = (Pair::new("thon.example.net"), Pair::new("thon.example.net"));
    house.put(&first);
    let appliance = house.start().await;
    let public = address(&appliance, "public");
    let ended = Pair::valid("thon.example.net", -60, -1);
    for (certificate, key, words) in [
        (&other.certificate, &first.key, "does not belong"),
        (&other.certificate[..200].to_owned(), &other.key, "tls.crt"),
        (&String::new(), &other.key, "no certificate"),
        (&other.certificate, &String::new(), "no private key"),
        (&ended.certificate, &ended.key, "ended already"),
    ] {
        std::fs::write(house.at("tls.crt"), certificate).unwrap();
        std::fs::write(house.at("tls.key"), key).unwrap();
        appliance.look_after_certificate(Timestamp::now());
        appliance.look_after_certificate(Timestamp::now());
        let (code, message) = trouble(&appliance).unwrap();
        assert_eq!(code, "THN-CERT-02");
        assert!(message.contains(words), "{words}: {message}");
        assert_eq!(leaf_at(public).await, first.der, "{words}");
    }
    house.put(&other);
    appliance.look_after_certificate(Timestamp::now());
    assert_eq!(trouble(&appliance), None);
    assert_eq!(leaf_at(public).await, other.der);
    within(appliance.stop()).await;
}

/// As certbot's `live/` and Kubernetes' `..data` do it.
#[tokio::test(flavor = "multi_thread")]
async fn links_that_are_exchanged_lead_to_the_new_pair() {
    tls::install_provider();
    let house = House::with_files();
    let pairs = ["one", "two"].map(|name| (name, Pair::new("thon.example.net")));
    for (name, pair) in &pairs {
        std::fs::create_dir(house.at(name)).unwrap();
        std::fs::write(house.at(name).join("tls.crt"), &pair.certificate).unwrap();
        std::fs::write(house.at(name).join("tls.key"), &pair.key).unwrap();
    }
    let link = |to: &str| {
        std::os::unix::fs::symlink(to, house.at("..data.new")).unwrap();
        std::fs::rename(house.at("..data.new"), house.at("..data")).unwrap();
    };
    link("one");
    for file in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(format!("..data/{file}"), house.at(file)).unwrap();
    }
    let appliance = house.start().await;
    let public = address(&appliance, "public");
    assert_eq!(leaf_at(public).await, pairs[0].1.der);
    link("two");
    appliance.look_after_certificate(Timestamp::now());
    assert_eq!(leaf_at(public).await, pairs[1].1.der);
    within(appliance.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_certificate_from_files_is_told_before_it_hurts() {
    tls::install_provider();
    for (pair, code, words) in [
        (
            Pair::valid("thon.example.net", -1, 10),
            "THN-CERT-03",
            "ends on",
        ),
        (
            Pair::valid("thon.example.net", -9, -1),
            "THN-CERT-03",
            "ended on",
        ),
        (
            Pair::valid("thon.example.net", 2, 90),
            "THN-CERT-03",
            "clock",
        ),
        (
            Pair::new("other.example.net"),
            "THN-CERT-01",
            "thon.example.net",
        ),
    ] {
        let house = House::with_files();
        house.put(&pair);
        let appliance = house.start().await;
        appliance.look_after_certificate(Timestamp::now());
        let told = trouble(&appliance).unwrap();
        assert_eq!(told.0, code);
        assert!(told.1.contains(words), "{told:?}");
        within(appliance.stop()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_stop_the_start_and_are_named() {
    tls::install_provider();
    let house = House::with_files();
    let error = |started: anyhow::Result<Appliance>| format!("{:#}", started.err().unwrap());
    let missing = error(house.try_start().await);
    assert!(
        missing.contains("tls.crt") && missing.contains("proxy.ssl_certificate"),
        "{missing}"
    );
    let (one, two) = (Pair::new("thon.example.net"), Pair::new("thon.example.net"));
    std::fs::write(house.at("tls.crt"), &one.certificate).unwrap();
    for (key, words) in [
        (two.key.clone(), "does not belong"),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
                .to_owned(),
            "encrypted",
        ),
        ("x".repeat(300 << 10), "larger"),
    ] {
        std::fs::write(house.at("tls.key"), key).unwrap();
        let refused = error(house.try_start().await);
        assert!(
            refused.contains("tls.key") && refused.contains(words),
            "{refused}"
        );
    }
    std::fs::remove_file(house.at("tls.key")).unwrap();
    nix::unistd::mkfifo(&house.at("tls.key"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let refused = error(within(house.try_start()).await);
    assert!(refused.contains("it is no file"), "{refused}");
}

/// The kinds of keys that tools write.
#[tokio::test(flavor = "multi_thread")]
async fn every_usual_form_of_a_key_is_read() {
    tls::install_provider();
    let house = House::with_files();
    let (crt, key) = (house.at("tls.crt"), house.at("tls.key"));
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    for (make, marker) in [
        (
            &["genrsa", "-traditional", "2048"][..],
            "BEGIN RSA PRIVATE KEY",
        ),
        (
            &["ecparam", "-genkey", "-noout", "-name", "prime256v1"],
            "BEGIN EC PRIVATE KEY",
        ),
        (&["genpkey", "-algorithm", "ED25519"], "BEGIN PRIVATE KEY"),
    ] {
        let mut make = make.to_vec();
        let out = ["-out", text(&key)];
        // `genrsa` wants its size last.
        let at = if make[0] == "genrsa" {
            make.len() - 1
        } else {
            make.len()
        };
        make.splice(at..at, out);
        openssl(&make);
        assert!(std::fs::read_to_string(&key).unwrap().contains(marker));
        openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            text(&key),
            "-out",
            text(&crt),
            "-days",
            "60",
            "-subj",
            "/CN=thon",
            "-addext",
            "subjectAltName=DNS:thon.example.net",
        ]);
        let appliance = house.start().await;
        let expected = CertificateDer::from_pem_file(&crt).unwrap();
        assert_eq!(
            leaf_at(address(&appliance, "public")).await,
            expected,
            "{marker}"
        );
        within(appliance.stop()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_certificate_from_files_there_is_nothing_to_install() {
    tls::install_provider();
    let house = House::with_files();
    house.put(&Pair::new("thon.example.net"));
    let appliance = house.start().await;
    let public = address(&appliance, "public");
    let page = ask(public, "/ca").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("Nothing to install") && !page.text().contains("certutil"));
    for path in ["/ca.crt", "/ca.mobileconfig"] {
        let file = ask(public, path).await;
        assert_eq!(file.status, StatusCode::NOT_FOUND);
        assert!(file.text().contains("trusts already"), "{path}");
    }
    within(appliance.stop()).await;
}

// --- the self-test's WebSocket -----------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn the_test_s_websocket_says_one_message_back_and_ends() {
    let house = House::new("");
    let appliance = house.start().await;
    let public = address(&appliance, "public");
    let ours = [("host", "localhost"), ("origin", "https://localhost")];
    let mut socket = open_socket(connect(public).await, "/ca/test/socket", &ours)
        .await
        .unwrap();
    socket.send(Message::text("are you there?")).await.unwrap();
    let said = within(socket.next()).await.unwrap().unwrap();
    assert_eq!(said, Message::text("are you there?"));
    let said = within(socket.next()).await.unwrap().unwrap();
    assert!(said.is_close(), "{said:?}");

    let foreign = [("host", "localhost"), ("origin", "https://evil.example")];
    let refused = open_socket(connect(public).await, "/ca/test/socket", &foreign).await;
    assert_eq!(refused.err(), Some(StatusCode::FORBIDDEN));
    let plain = request("GET", "/ca/test/socket", &[("host", "localhost")], "");
    assert_eq!(
        send(connect(public).await, plain).await.status,
        StatusCode::NOT_FOUND
    );
    within(appliance.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_test_s_websocket_is_bounded_in_number_and_in_bytes() {
    let house = House::new("");
    let appliance = house.start().await;
    let public = address(&appliance, "public");
    let ours = [("host", "localhost"), ("origin", "https://localhost")];
    let mut open = Vec::new();
    for _ in 0..64 {
        let socket = open_socket(connect(public).await, "/ca/test/socket", &ours).await;
        open.push(socket.unwrap());
    }
    let refused = open_socket(connect(public).await, "/ca/test/socket", &ours).await;
    assert_eq!(refused.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
    // Whoever says too much is cut off, and makes room.
    let mut long = open.pop().unwrap();
    long.send(Message::text("x".repeat(126))).await.unwrap();
    let said = within(long.next()).await.unwrap().unwrap();
    assert!(said.is_close(), "{said:?}");
    drop(long);
    within(async {
        while open_socket(connect(public).await, "/ca/test/socket", &ours)
            .await
            .is_err()
        {}
    })
    .await;
    drop(open);
    within(appliance.stop()).await;
}

/// For [`connect`], which looks at the certificate by itself.
#[derive(Debug)]
struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
