//! A certificate of somebody else's, in two files.

use std::process::Command;

use http::StatusCode;
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thon::server::Appliance;
use thon::tls;

use super::house::{DAY, House, address, ask, ask_again, connect, leaf_at, text, trouble};
use crate::support::client::within;

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
    put(&house, &first);
    let appliance = house.start().await;
    let (public, admin) = (address(&appliance, "public"), address(&appliance, "admin"));
    assert_eq!(leaf_at(public).await, first.der);
    assert_eq!(leaf_at(admin).await, first.der);
    let mut kept = connect(public).await;

    put(&house, &second);
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
    put(&house, &first);
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
    put(&house, &other);
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
            "THN-CERT-04",
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
        put(&house, &pair);
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
        missing.contains("tls.crt") && missing.contains("THN-CERT-02"),
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
    put(&house, &Pair::new("thon.example.net"));
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

fn put(house: &House, pair: &Pair) {
    std::fs::write(house.at("tls.crt"), &pair.certificate).unwrap();
    std::fs::write(house.at("tls.key"), &pair.key).unwrap();
}
