//! An appliance with settings of the test's own, and what it presents.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tempfile::TempDir;
use thon::config;
use thon::config::env::FixedVars;
use thon::domain::health::Health;
use thon::runtime::fake::Fake;
use thon::server::Appliance;
use thon::tls::Names;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::client::{Reply, get, read_head, send, within};

pub(super) const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn names(dns: &[&str], addresses: &[&str]) -> Names {
    Names::new(
        dns.iter().map(|name| (*name).to_owned()),
        addresses.iter().map(|ip| ip.parse().unwrap()),
    )
}

pub(super) struct House {
    dir: TempDir,
    /// Further keys of `proxy`.
    pub(super) proxy: String,
}

impl House {
    pub(super) fn new(proxy: &str) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            proxy: proxy.to_owned(),
        }
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(super) fn config(&self) -> config::Config {
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

    pub(super) async fn start(&self) -> Appliance {
        self.try_start().await.unwrap()
    }

    pub(super) async fn try_start(&self) -> anyhow::Result<Appliance> {
        let config = self.config();
        let fake = Fake::new(config.sandbox.subnet);
        Appliance::start_with(&config, |_| Arc::new(fake)).await
    }

    /// `ssl_provider: files`, with these two.
    pub(super) fn with_files() -> Self {
        let mut house = Self::new("");
        let (certificate, key) = (house.at("tls.crt"), house.at("tls.key"));
        house.proxy = format!(
            "domain: thon.example.net, ssl_provider: files, ssl_certificate: {}, ssl_certificate_key: {}",
            certificate.display(),
            key.display()
        );
        house
    }
}

pub(super) fn address(appliance: &Appliance, name: &str) -> SocketAddr {
    let mut listeners = appliance.listeners().into_iter();
    listeners
        .find(|listener| listener.name == name)
        .unwrap()
        .address
}

/// Whatever it presents.
pub(super) async fn connect(at: SocketAddr) -> TlsStream<TcpStream> {
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

pub(super) fn presented(wire: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    wire.get_ref().1.peer_certificates().unwrap()[0].clone()
}

pub(super) async fn leaf_at(at: SocketAddr) -> CertificateDer<'static> {
    presented(&connect(at).await)
}

pub(super) fn trouble(appliance: &Appliance) -> Option<(String, String)> {
    let report = appliance.control().health();
    let health = report.into_iter().find(|(part, _)| *part == "certificate");
    match health.map(|(_, health)| health) {
        Some(Health::Degraded { code, message }) => Some((code, message)),
        _ => None,
    }
}

pub(super) async fn ask(at: SocketAddr, path: &str) -> Reply {
    send(connect(at).await, get(path, &[("host", "localhost")])).await
}

/// For [`connect`], which looks at the certificate by itself.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// One request on a connection that stays.
pub(super) async fn ask_again(wire: &mut TlsStream<TcpStream>) {
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

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
