//! Certificates for the listeners.

pub mod authority;
mod bounded;
mod durable;
pub mod names;
pub mod provided;
pub mod renewal;
pub mod resolver;
pub mod scope;

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;

pub use authority::Authority;
pub use names::Names;
pub use resolver::Certificates;
pub use scope::Scope;

/// Named by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is damaged or incomplete: a person must look; nothing was overwritten.
    #[error("{0}")]
    Damaged(String),
    #[error("{0}")]
    Failed(String),
}

/// Makes ring the one provider of the process. Every rustls user would otherwise need to be told.
pub fn install_provider() {
    // An error says that a provider is installed already; ours is the only one compiled in.
    drop(ring::default_provider().install_default());
}

/// The handshake of every TLS listener: the certificate of the moment, HTTP/2 or 1.1.
pub fn server_config(certificates: Arc<Certificates>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Failed(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
