//! The authority's files and the certificate that the settings name: whole, in time, and for this domain.

use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::findings::Findings;
use crate::config::{Certificates, Config};
use crate::server::ground::ca_files;
use crate::server::trouble::{Entry, Trouble};
use crate::server::{catalogue as code, clock, ground};
use crate::tls::inspect::{Inspected, inspect};

const CA_ENDS_SOON: SignedDuration = SignedDuration::from_hours(60 * 24);
const CERTIFICATE_ENDS_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A chain with its key takes a few KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

pub(super) fn judge(config: &Config, now: Timestamp, findings: &mut Findings) {
    let [certificate, key] = ca_files(config);
    findings.add("authority", authority(&certificate, &key, now));
    if let Certificates::Files { certificate, key } = &config.proxy.certificates {
        let domain = config.proxy.domain.as_deref();
        findings.add("certificate", own(certificate, key, domain, now));
    }
}

fn authority(certificate: &Path, key: &Path, now: Timestamp) -> Result<String, Trouble> {
    match (certificate.exists(), key.exists()) {
        (false, false) => return Ok("it will be made at the first start".to_owned()),
        (true, true) => {}
        (has_certificate, _) => {
            let missing = if has_certificate { key } else { certificate };
            let text = format!("{} is missing, its counterpart is there", missing.display());
            return Err(code::CA_DAMAGED.says(text));
        }
    }
    ground::key_is_private(key)?;
    let seen = read(certificate, &code::CA_DAMAGED)?;
    clock::after("the authority's certificate", seen.not_before, now)?;
    if now > seen.not_after {
        return Err(code::CA_TIME.says(format!(
            "{} ended on {}",
            certificate.display(),
            seen.not_after
        )));
    }
    let text = format!(
        "{} is valid until {}",
        certificate.display(),
        seen.not_after
    );
    if now + CA_ENDS_SOON > seen.not_after {
        return Err(code::CA_ENDS.says(text));
    }
    Ok(text)
}

fn own(
    certificate: &Path,
    key: &Path,
    domain: Option<&str>,
    now: Timestamp,
) -> Result<String, Trouble> {
    let seen = read(certificate, &code::CERT_UNUSABLE)?;
    contents(key, &code::CERT_UNUSABLE)?;
    let text = format!(
        "{} is valid until {}",
        certificate.display(),
        seen.not_after
    );
    if now < seen.not_before || now > seen.not_after {
        return Err(code::CERT_TIME.says(format!(
            "{} is valid from {} to {}, and it is {now:.0}",
            certificate.display(),
            seen.not_before,
            seen.not_after
        )));
    }
    if let Some(domain) = domain
        && !seen.is_for(domain)
    {
        return Err(code::CERT_NAMES.says(format!(
            "{} is for {}, and not for {domain}",
            certificate.display(),
            seen.dns.join(", ")
        )));
    }
    if now + CERTIFICATE_ENDS_SOON > seen.not_after {
        return Err(code::CERT_ENDS.says(text));
    }
    Ok(text)
}

fn read(path: &Path, otherwise: &'static Entry) -> Result<Inspected, Trouble> {
    let pem = contents(path, otherwise)?;
    inspect(&pem).map_err(|error| {
        let text = format!("{} cannot be read: {error}", path.display());
        otherwise.says(text)
    })
}

fn contents(path: &Path, otherwise: &'static Entry) -> Result<Vec<u8>, Trouble> {
    let wrong = |why: String| otherwise.says(format!("{}: {why}", path.display()));
    let meta = fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if meta.len() > FILE_BYTES_MAX || !meta.is_file() {
        return Err(wrong("it is no file, or larger than 1 MiB".to_owned()));
    }
    fs::read(path).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::tls::Authority;
    use crate::tls::authority::Names;

    fn code_of(seen: Result<String, Trouble>) -> &'static str {
        seen.unwrap_err().entry.code
    }

    #[test]
    fn an_authority_is_looked_at_in_every_way() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let ca = dir.path().join("ca");
        let [crt, key] = ["rootCA.crt", "rootCA.key"].map(|name| ca.join(name));
        assert!(authority(&crt, &key, now).is_ok(), "none yet");
        Authority::open(&ca, "host", now).unwrap();
        assert!(authority(&crt, &key, now).is_ok());
        let until = read(&crt, &code::CA_DAMAGED).unwrap().not_after;
        let day = SignedDuration::from_hours(24);
        assert_eq!(code_of(authority(&crt, &key, until - day)), "THN-CA-04");
        assert_eq!(code_of(authority(&crt, &key, until + day)), "THN-CA-03");
        let before = now - day * 3;
        assert_eq!(code_of(authority(&crt, &key, before)), "THN-CLOCK-03");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(code_of(authority(&crt, &key, now)), "THN-CA-02");
        fs::remove_file(&key).unwrap();
        assert_eq!(code_of(authority(&crt, &key, now)), "THN-CA-01");
    }

    #[test]
    fn a_certificate_of_ones_own_is_looked_at_in_every_way() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let names = Names::new(["thon.example.org".to_owned()], []);
        let authority = Authority::open(&dir.path().join("ca"), "host", now).unwrap();
        let (issued, current) = authority.issue(&names, now).unwrap();
        let (crt, key) = (dir.path().join("crt"), dir.path().join("key"));
        let look = |domain, now| own(&crt, &key, domain, now);
        assert_eq!(code_of(look(None, now)), "THN-CERT-11");
        fs::write(&crt, pem(&issued.cert[0])).unwrap();
        assert_eq!(code_of(look(None, now)), "THN-CERT-11", "no key");
        fs::write(&key, "key").unwrap();
        let domain = Some("thon.example.org");
        assert!(look(domain, now).is_ok());
        let other = Some("other.example.org");
        assert_eq!(code_of(look(other, now)), "THN-CERT-14");
        let day = SignedDuration::from_hours(24);
        let end = current.not_after;
        assert_eq!(code_of(look(domain, end - day)), "THN-CERT-13");
        assert_eq!(code_of(look(domain, end + day)), "THN-CERT-12");
        assert_eq!(code_of(look(domain, now - day * 30)), "THN-CERT-12");
    }

    fn pem(der: &[u8]) -> String {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }
}
