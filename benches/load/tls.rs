//! One certificate for the peers that bring none, and a client that believes everybody's.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const CERTIFICATE: &str = "certificate.pem";
pub(crate) const KEY: &str = "key.pem";

/// P-256, as THON's own: a handshake costs everybody the same.
pub(crate) fn write_certificate(directory: &Path) -> anyhow::Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(directory.join(CERTIFICATE), made.cert.pem())?;
    std::fs::write(directory.join(KEY), made.signing_key.serialize_pem())?;
    Ok(())
}

/// Trusts the certificates of these files.
pub(crate) fn connector<'a>(files: impl Iterator<Item = &'a Path>) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for file in files {
        roots.add(CertificateDer::from_pem_file(file).context("a certificate")?)?;
    }
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

pub(crate) async fn connect(
    connector: &TlsConnector,
    tcp: TcpStream,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost")?;
    Ok(connector.connect(name, tcp).await?)
}
