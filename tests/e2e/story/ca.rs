//! A participant whose browser does not trust the event yet: what the page says, what its own command
//! does, and what the authority is good for in a real browser.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::appliance::{Appliance, STAND_IN};
use super::browser::Browser;
use super::door::Door;
use super::{alone, until};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_browser_is_led_from_the_first_warning_to_ready_by_the_page_alone() {
    let _alone = alone().await;
    let mut appliance = Appliance::new(STAND_IN, "{red: [alice]}");
    appliance.run().await;
    let ports = appliance.ports().await;
    let (plain, secure) = (
        format!("http://127.0.0.1:{}/ca", ports.plain),
        format!("https://127.0.0.1:{}/ca", ports.public),
    );
    let browser = Browser::stranger().await;
    browser.goto(&plain).await;
    verdict(&browser, "Not trusted yet").await;
    browser.screenshot("ca-1-not-trusted").await;
    let text = seen(&browser, &secure).await;
    assert!(text.contains("ERR_CERT_AUTHORITY_INVALID"), "{text}");

    browser.goto(&plain).await;
    the_page_shows_what_the_command_line_shows(&browser, &appliance).await;
    the_profile_holds_the_certificate(&appliance, ports.plain).await;
    let command = command(&browser, "chromium").await;
    browser.types_into_a_terminal(&command).await;
    let remove = self::command(&browser, "chromium-remove").await;

    let browser = browser.reopened().await;
    browser.goto(&plain).await;
    verdict(&browser, "This browser gets through").await;
    browser.element("[data-go]").await.click().await.unwrap();
    verdict(&browser, "This browser is ready").await;
    browser.screenshot("ca-2-ready").await;
    every_check_is_good_and_leaves_nothing_behind(&browser).await;
    the_authority_is_good_for_the_private_network_only(&browser, &appliance).await;

    browser.types_into_a_terminal(&remove).await;
    let browser = browser.reopened().await;
    browser.goto(&plain).await;
    verdict(&browser, "Not trusted yet").await;
}

/// As certbot writes it: whoever the appliance becomes cannot read it again.
#[tokio::test]
async fn a_key_that_is_root_s_alone_is_served_and_its_renewal_is_worried_about() {
    let _alone = alone().await;
    let mut appliance = Appliance::new(STAND_IN, "{red: [alice]}");
    let live = appliance.directory().join("live");
    std::fs::create_dir(&live).unwrap();
    let (crt, key) = (live.join("fullchain.pem"), live.join("privkey.pem"));
    let made = rcgen::generate_simple_self_signed(["thon.example.net".to_owned()]).unwrap();
    std::fs::write(&crt, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&live, Permissions::from_mode(0o700)).unwrap();
    appliance.set_proxy(&format!(
        "domain: thon.example.net, ssl_provider: files, ssl_certificate: {}, ssl_certificate_key: {}",
        crt.display(),
        key.display()
    ));
    // `up` makes the user that root is given up for.
    appliance.up().await;
    // It serves what root read.
    let door = Door::new(appliance.ports().await.public, &made.cert.pem());
    assert_eq!(
        door.connect_as("thon.example.net").await,
        made.cert.der().to_vec()
    );
    let said = certificate_trouble(&appliance, "setfacl").await;
    assert!(
        said.contains("THN-CERT-02") && said.contains("fullchain.pem"),
        "{said}"
    );

    // As the message says.
    let user = nix::unistd::User::from_name("thon").unwrap().unwrap();
    for path in [&live, &crt, &key] {
        nix::unistd::chown(path.as_path(), None, Some(user.gid)).unwrap();
    }
    std::fs::set_permissions(&live, Permissions::from_mode(0o750)).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    until(SOON, async || {
        let status = appliance.status().await;
        let said = status["health"]["parts"].to_string();
        let mended = !said.contains("THN-CERT");
        mended.then_some(()).ok_or(said)
    })
    .await;
}

async fn certificate_trouble(appliance: &Appliance, with: &str) -> String {
    let told = until(SOON, async || {
        let said = appliance.thon(&["status"]).await.well();
        let line = said.lines().find(|line| line.contains(with));
        line.map(str::to_owned).ok_or(said)
    });
    told.await.0
}

async fn verdict(browser: &Browser, starts: &str) {
    until(SOON, async || {
        let said = browser
            .eval("return document.querySelector('[data-verdict]')?.textContent ?? ''")
            .await;
        let said = said.as_str().unwrap_or_default().to_owned();
        if said.starts_with(starts) {
            Ok(())
        } else {
            Err(format!("{starts}: {said} in {}", browser.text().await))
        }
    })
    .await;
}

/// The page, or the browser's own one that warns; to some drivers that is an error.
async fn seen(browser: &Browser, url: &str) -> String {
    match browser.page.goto(url).await {
        Ok(()) => browser.text().await,
        Err(error) => error.to_string(),
    }
}

/// As the page's button copies it.
async fn command(browser: &Browser, name: &str) -> String {
    let text = format!("return document.querySelector('[data-command={name}]').textContent");
    browser.eval(&text).await.as_str().unwrap().to_owned()
}

async fn the_page_shows_what_the_command_line_shows(browser: &Browser, appliance: &Appliance) {
    let shown = browser
        .eval("return document.querySelector('.fingerprint').textContent")
        .await;
    let shown = shown.as_str().unwrap().replace('\n', ":");
    let said: Value =
        serde_json::from_str(&appliance.thon(&["--json", "ca", "show"]).await.well()).unwrap();
    assert_eq!(said["sha256"], shown);
    let words = appliance.thon(&["ca", "show"]).await.well();
    assert!(
        words.contains(&shown) && words.contains("192.168.0.0/16"),
        "{words}"
    );
    let open = "return [...document.querySelectorAll('details[open]')].map(one => one.id).join()";
    assert_eq!(browser.eval(open).await, "Linux");
}

/// By Python's reader of property lists, and by openssl.
async fn the_profile_holds_the_certificate(appliance: &Appliance, port: u16) {
    let read = format!(
        "import plistlib, sys, urllib.request as r\n\
         a = r.urlopen('http://127.0.0.1:{port}/ca.mobileconfig')\n\
         assert a.headers['content-type'] == 'application/x-apple-aspen-config'\n\
         p = plistlib.loads(a.read())\n\
         assert p == plistlib.loads(r.urlopen(a.url).read())\n\
         c = p['PayloadContent'][0]\n\
         assert c['PayloadType'] == 'com.apple.security.root' and c['PayloadUUID'] != p['PayloadUUID']\n\
         sys.stdout.buffer.write(c['PayloadContent'])"
    );
    let output = Command::new("python3")
        .args(["-c", &read])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let ca = CertificateDer::from_pem_slice(appliance.ca().await.as_bytes()).unwrap();
    assert_eq!(output.stdout, ca.as_ref());
}

async fn every_check_is_good_and_leaves_nothing_behind(browser: &Browser) {
    let states = browser
        .eval(
            "return [...document.querySelectorAll('[data-check]')]\
             .map(line => line.dataset.check + ' ' + line.className).join(', ')",
        )
        .await;
    assert_eq!(
        states,
        "secure good, worker good, socket good, storage good"
    );
    let left = browser
        .eval(
            "return [(await navigator.serviceWorker.getRegistrations()).length, \
             (await indexedDB.databases()).length, localStorage.length, document.cookie].join()",
        )
        .await;
    assert_eq!(left, "0,0,0,");
}

/// Whoever steals the key can be a machine of the participant's private network, and no web site.
async fn the_authority_is_good_for_the_private_network_only(
    browser: &Browser,
    appliance: &Appliance,
) {
    let ca = appliance.directory().join("state/ca");
    for (name, shown) in [("nas.local", "forged"), ("evil.example.org", "ERR_CERT")] {
        let mut server = JoinSet::new();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at: SocketAddr = listener.local_addr().unwrap();
        server.spawn(serve(listener, forged(&ca, name)));
        let text = seen(browser, &format!("https://{name}:{}/", at.port())).await;
        assert!(text.contains(shown), "{name}: {text}");
    }
}

fn forged(ca: &Path, name: &str) -> TlsAcceptor {
    let read = |file| std::fs::read_to_string(ca.join(file)).unwrap();
    let root = CertificateDer::from_pem_slice(read("rootCA.crt").as_bytes()).unwrap();
    let key = KeyPair::from_pem(&read("rootCA.key")).unwrap();
    let issuer = Issuer::from_ca_cert_der(&root, key).unwrap();
    let leaf_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    // Of a length that browsers accept.
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    params.use_authority_key_identifier_extension = true;
    let leaf = params.signed_by(&leaf_key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone(), root], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(listener: TcpListener, tls: TlsAcceptor) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        // A browser that refuses the certificate hangs up.
        let Ok(mut stream) = tls.accept(tcp).await else {
            continue;
        };
        let mut head = [0; 1024];
        if stream.read(&mut head).await.is_ok() {
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nforged";
            stream.write_all(answer.as_bytes()).await.ok();
            stream.shutdown().await.ok();
        }
    }
}
