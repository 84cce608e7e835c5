//! What an authority is known by: fingerprints, a name, and numbers that stay the same.

use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::portal::Ca;
use crate::portal::pages::CaWords;

/// Pairs of digits in a line of the fingerprint: the first and the last line are 128 bits, and nobody
/// finds another certificate with the same.
const LINE_PAIRS: usize = 8;

pub(super) struct Identity<'a> {
    ca: &'a Ca,
    pub(super) der: Vec<u8>,
}

impl<'a> Identity<'a> {
    pub(super) fn of(ca: &'a Ca) -> Self {
        let der = CertificateDer::from_pem_slice(ca.pem.as_bytes());
        Self {
            ca,
            der: der.map(|der| der.to_vec()).unwrap_or_default(),
        }
    }

    /// `thon-1a2b3c4d`: fit for a file, a database and a list.
    pub(super) fn name(&self) -> String {
        let short: String = hex(&Sha256::digest(&self.der)).chars().take(8).collect();
        format!("thon-{}", short.to_lowercase())
    }

    /// The same for the same certificate, so that an installed profile is replaced and not doubled.
    pub(super) fn uuid(&self, of: &str) -> String {
        let digest = Sha256::new()
            .chain_update(of)
            .chain_update(&self.der)
            .finalize();
        let digits = hex(&digest);
        let part = |from, to| digits.get(from..to).unwrap_or_default();
        // Version 8: made from a hash by a rule of one's own.
        format!(
            "{}-{}-8{}-A{}-{}",
            part(0, 8),
            part(8, 12),
            part(13, 16),
            part(17, 20),
            part(20, 32)
        )
    }

    pub(super) fn words(&self, url: String) -> CaWords {
        let pairs: Vec<&str> = self.ca.sha256.split(':').collect();
        CaWords {
            lines: pairs
                .chunks(LINE_PAIRS)
                .map(|line| line.join(":"))
                .collect(),
            url,
            name: self.name(),
            thumbprint: hex(&Sha1::digest(&self.der)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02X}").ok();
        text
    })
}
