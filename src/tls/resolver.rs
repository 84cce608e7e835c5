//! The snapshot that a handshake reads.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificate of the moment. Swapping it changes the next handshake and no open connection.
pub struct Certificates(ArcSwap<CertifiedKey>);

impl Certificates {
    pub fn new(first: CertifiedKey) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(first)))
    }

    pub fn swap(&self, next: CertifiedKey) {
        self.0.store(Arc::new(next));
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // One certificate carries every name that we have; visitors by address send no name at all.
        Some(self.0.load_full())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}
