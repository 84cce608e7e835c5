//! The appliance's own certificate authority.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a client has to trust, and how people compare it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaView {
    /// Where the certificate is on the appliance's host.
    pub path: PathBuf,
    /// `AB:CD:…`
    pub sha256: String,
    pub pem: String,
}

impl CaView {
    /// `None` when the text holds no certificate.
    pub fn new(path: PathBuf, pem: String) -> Option<Self> {
        let sha256 = fingerprint(&pem)?;
        Some(Self { path, sha256, pem })
    }
}

/// SHA-256 over the first certificate of a PEM text.
fn fingerprint(pem: &str) -> Option<String> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.split_whitespace().collect();
    let der = STANDARD.decode(body).ok()?;
    let pairs: Vec<String> = Sha256::digest(der)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    Some(pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_taken_over_the_certificate_not_its_wrapping() {
        // SHA-256 of "abc", whatever the line breaks.
        let expected = "BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:\
                        B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";
        for body in ["YWJj", "YW\nJj\n", "\r\nYWJj\r\n"] {
            let pem = format!("-----BEGIN CERTIFICATE-----{body}-----END CERTIFICATE-----\n");
            assert_eq!(fingerprint(&pem).as_deref(), Some(expected));
        }
        assert_eq!(fingerprint("no certificate"), None);
    }
}
