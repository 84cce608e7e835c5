//! Where the certificate comes from, and what that asks for.

use crate::config::note::Place;
use crate::config::settings::Settings;

/// Where the original kept its certificates, and said so in every file that it wrote.
const ORIGINAL_SSL_DIR: &str = "/etc/nginx/ssl";

pub(super) fn apply(settings: &mut Settings) {
    let provider = settings.string("proxy.ssl_provider");
    let place = settings
        .entries
        .get("proxy.ssl_provider")
        .map(|entry| entry.place.clone());
    let place = place.unwrap_or(Place::Default);
    match provider.as_str() {
        "files" => certificate_files(&place, settings),
        "none" => plain_http(&place, settings),
        "certbot" => settings.warn(
            &place,
            "proxy.ssl_provider",
            "Let's Encrypt is not in this version: the appliance's own authority is used; with certificates of your own write `files`",
        ),
        _ => {}
    }
    if provider == "files" {
        return;
    }
    for path in [
        "proxy.ssl_certificate",
        "proxy.ssl_certificate_key",
        "proxy.ssl_dir",
    ] {
        let place = settings.written(path).cloned();
        if let Some(place) = place.filter(|_| settings.text(path) != Some(ORIGINAL_SSL_DIR)) {
            settings.warn(&place, path, "is read with `ssl_provider: files` only");
        }
    }
}

/// Both files, from where they are named or from the directory.
fn certificate_files(place: &Place, settings: &mut Settings) {
    let dir = settings.path("proxy.ssl_dir");
    for (path, name) in [
        ("proxy.ssl_certificate", "fullchain.pem"),
        ("proxy.ssl_certificate_key", "privkey.pem"),
    ] {
        if settings.text(path).is_some() || !settings.sound(&[path, "proxy.ssl_dir"]) {
            continue;
        }
        match &dir {
            Some(dir) => {
                let file = dir.join(name).display().to_string();
                settings.follow(path, &file, Place::Default);
            }
            None => settings.problem(
                place,
                path,
                "`ssl_provider: files` needs it: write the absolute path of a PEM file, or `ssl_dir` with fullchain.pem and privkey.pem in it",
            ),
        }
    }
}

/// Without TLS of our own only somebody who has it may stand before us.
fn plain_http(place: &Place, settings: &mut Settings) {
    let listen: Option<std::net::SocketAddr> = settings.parsed("proxy.https_listen");
    let loopback = listen.is_some_and(|listen| listen.ip().is_loopback());
    let trusted = settings.length("proxy.trusted_proxies") > 0;
    let sound = settings.sound(&["proxy.https_listen", "proxy.trusted_proxies"]);
    if sound && !loopback && !trusted {
        settings.problem(
            place,
            "proxy.ssl_provider",
            "`none` would send sign-ins over the network unencrypted: let `proxy.https_listen` be a loopback address, for example 127.0.0.1:8443, or name the proxy that has TLS in `proxy.trusted_proxies`",
        );
    }
}
