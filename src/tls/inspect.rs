//! What a certificate file says of itself: from when until when it is valid, and for whom.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::tls::TlsError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Lower case; `*.example.org` stands for one name below it.
    pub dns: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

impl Inspected {
    pub fn is_for(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.dns.iter().any(|own| match own.strip_prefix("*.") {
            Some(parent) => name
                .split_once('.')
                .is_some_and(|(first, rest)| !first.is_empty() && rest == parent),
            None => *own == name,
        })
    }
}

/// The first certificate of a PEM file.
pub fn inspect(pem: &[u8]) -> Result<Inspected, TlsError> {
    let damaged = |error: &dyn ToString| TlsError::Damaged(error.to_string());
    let der = CertificateDer::from_pem_slice(pem).map_err(|error| damaged(&error))?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| damaged(&error))?;
    let time = |seconds| Timestamp::from_second(seconds).map_err(|error| damaged(&error));
    let (mut dns, mut addresses) = (Vec::new(), Vec::new());
    let names = parsed.subject_alternative_name();
    for name in names
        .ok()
        .flatten()
        .iter()
        .flat_map(|names| &names.value.general_names)
    {
        match name {
            GeneralName::DNSName(name) => dns.push(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
            _ => {}
        }
    }
    let validity = parsed.validity();
    Ok(Inspected {
        not_before: time(validity.not_before.timestamp())?,
        not_after: time(validity.not_after.timestamp())?,
        dns,
        addresses,
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    #[test]
    fn names_addresses_and_times_are_read() {
        let names = ["Thon.example.org", "*.thon.example.org", "192.0.2.7"];
        let mut params = CertificateParams::new(names.map(str::to_owned).to_vec()).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 3, 1);
        let pem = params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .pem();
        let seen = inspect(pem.as_bytes()).unwrap();
        assert_eq!(seen.not_before, "2026-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(seen.not_after, "2026-03-01T00:00:00Z".parse().unwrap());
        assert_eq!(seen.addresses, ["192.0.2.7".parse::<IpAddr>().unwrap()]);
        for (name, is) in [
            ("thon.example.org", true),
            ("THON.example.org", true),
            ("a.thon.example.org", true),
            ("a.b.thon.example.org", false),
            ("example.org", false),
            (".thon.example.org", false),
        ] {
            assert_eq!(seen.is_for(name), is, "{name}");
        }
        assert!(inspect(b"nonsense").is_err());
        assert!(inspect(&pem.as_bytes()[..pem.len() / 2]).is_err());
    }
}
