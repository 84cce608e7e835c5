//! The appliance behind nginx, which ends TLS, with the configuration that the documents show.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::Method;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;

use super::appliance::{Appliance, STAND_IN};
use super::door::Door;
use super::{alone, until};

const EXAMPLE: &str = include_str!("../../../docs/examples/nginx.conf");

/// Where it connects from; visitors of this test are at another address of this machine.
const NGINX: &str = "127.0.0.9";

/// What the example says of the place that it is for.
const LISTEN: &str = "listen 443 ssl http2;";
const UPSTREAM: &str = "server 127.0.0.1:8443;";
const CERTIFICATE: &str = "/etc/ssl/hack.example.org.crt";
const KEY: &str = "/etc/ssl/hack.example.org.key";

/// nginx with the example, in the foreground; it ends with this value.
struct Nginx {
    directory: TempDir,
    port: u16,
    ca: String,
    _child: Child,
}

impl Nginx {
    async fn before(upstream: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (certificate, secret) = ("certificate.pem", "key.pem");
        let at = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(at(certificate), key.cert.pem()).unwrap();
        std::fs::write(at(secret), key.signing_key.serialize_pem()).unwrap();
        let port = free_port();
        let server = [
            (LISTEN, format!("listen 127.0.0.1:{port} ssl http2;")),
            (UPSTREAM, format!("server 127.0.0.1:{upstream};")),
            (CERTIFICATE, at(certificate)),
            (KEY, at(secret)),
        ]
        .iter()
        .fold(EXAMPLE.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "the example has no `{from}`");
            text.replace(from, to)
        });
        let home = directory.path().display();
        let settings = format!(
            "daemon off; pid {home}/pid; error_log stderr; worker_processes 1;\n\
             events {{}}\n\
             http {{\naccess_log off; proxy_bind {NGINX};\n{}\n{server}\n}}\n",
            temporary(directory.path()),
        );
        std::fs::write(at("nginx.conf"), settings).unwrap();
        let child = Command::new("nginx")
            .args(["-c", &at("nginx.conf"), "-p", &home.to_string()])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("nginx: tests/setup installs it");
        until(Duration::from_secs(10), async || {
            let open = TcpStream::connect(("127.0.0.1", port)).await;
            open.map(drop).map_err(|error| error.to_string())
        })
        .await;
        let ca = key.cert.pem();
        Self {
            directory,
            port,
            ca,
            _child: child,
        }
    }

    fn door(&self) -> Door {
        Door::new(self.port, &self.ca)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with an orderly word only.
        let pid = std::fs::read_to_string(self.directory.path().join("pid"));
        if let Some(pid) = pid.ok().and_then(|pid| pid.trim().parse().ok()) {
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).ok();
        }
    }
}

/// Nobody else may take it between here and nginx; then the test fails and says so.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn temporary(home: &Path) -> String {
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|part| format!("{part}_temp_path {}/{part};", home.display()))
        .join("\n")
}

const FRONTED: &str =
    "ssl_provider: none, trusted_proxies: [127.0.0.9/32], domain: hack.example.org";

#[tokio::test]
async fn behind_nginx_everything_works_and_nobody_is_believed_but_nginx() {
    let _alone = alone().await;
    let mut appliance = Appliance::new(STAND_IN, "{red: [alice]}");
    appliance.set_proxy(FRONTED);
    let links = appliance.up().await;
    let link = &links["red/alice"];
    assert!(link.starts_with("https://hack.example.org/join/"), "{link}");

    let nginx = Nginx::before(appliance.ports().await.public).await;
    let door = nginx.door();
    let link = link.replace("https://hack.example.org", &door.origin());
    let cookie = door.sign_in(&link).await;
    let page = door.page("/w/red/alice/", &cookie).await;
    assert_eq!(page.status, 200, "{page:?}");
    the_editor_is_told_of_the_visitor(&door, &cookie).await;
    a_socket_echoes(&door, &cookie).await;
    an_upload_arrives(&door, &cookie).await;
    past_nginx_nobody_is_believed(&appliance, &cookie).await;
}

async fn the_editor_is_told_of_the_visitor(door: &Door, cookie: &str) {
    let claims = [
        ("Cookie", cookie),
        ("X-Forwarded-For", "203.0.113.66"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=203.0.113.66;host=evil.example"),
    ];
    let seen = door
        .send(Method::GET, "/w/red/alice/__head", &claims, "")
        .await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let told = seen.body.to_lowercase();
    let host = door.origin().replace("https://", "");
    assert!(told.contains(&host), "{told}");
    assert!(told.contains("x-forwarded-proto: https\r\n"), "{told}");
    assert!(told.contains("x-forwarded-for: 127.0.0.1\r\n"), "{told}");
    for claim in ["evil", "\nforwarded:"] {
        assert!(!told.contains(claim), "{claim}: {told}");
    }
}

async fn a_socket_echoes(door: &Door, cookie: &str) {
    let mut socket = door.websocket("/w/red/alice/", cookie).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    let echo = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
    assert_eq!(echo.unwrap().unwrap().unwrap(), Message::text("hello"));
}

async fn an_upload_arrives(door: &Door, cookie: &str) {
    let body = "x".repeat(3 << 20);
    let put = door.put("/w/red/alice/__upload", cookie, &body).await;
    assert_eq!(put.status, 200, "{put:?}");
    assert!(put.body.contains("\"bytes\":3145728"), "{put:?}");
}

/// From an address that the settings do not name, with everything that nginx would say.
async fn past_nginx_nobody_is_believed(appliance: &Appliance, cookie: &str) {
    let public = appliance.ports().await.public;
    let ask = async |source: [u8; 4]| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let to = ([127, 0, 0, 1], public).into();
        let mut wire = socket.connect(to).await.unwrap();
        let head = format!(
            "GET /w/red/alice/ HTTP/1.1\r\nHost: hack.example.org\r\nCookie: {cookie}\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-For: 127.0.0.1\r\nConnection: close\r\n\r\n"
        );
        wire.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        wire.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let stranger = ask([127, 0, 0, 2]).await;
    assert!(stranger.starts_with("HTTP/1.1 403"), "{stranger}");
    assert!(stranger.contains("plain_http"), "{stranger}");
    let front = ask([127, 0, 0, 9]).await;
    assert!(front.starts_with("HTTP/1.1 200"), "{front}");
}
