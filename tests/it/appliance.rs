//! The whole appliance in one process: its listeners, who may talk to which, and how it ends.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use thon::config::env::FixedVars;
use thon::config::{self, Certificates, Config};
use thon::control::Launch;
use thon::domain::audit::Actor;
use thon::runtime::fake::Fake;
use thon::server::Appliance;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::support::client::{AT_ONCE, Reply, get, is_cut, request, send, tls_connector, within};

struct House {
    dir: TempDir,
    config: Config,
}

impl House {
    fn with_subnet(subnet: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let settings = format!(
            "groups: {{red: [alice]}}\nstate_dir: {at}/state\nruntime_dir: {at}/run\n\
             proxy: {{https_listen: '127.0.0.1:0', http_listen: '127.0.0.1:0'}}\n\
             dashboard: {{host: 127.0.0.1, port: 0}}\ngateway: {{listen: '127.0.0.1:0'}}\n\
             sandbox: {{subnet: {subnet}}}\n"
        );
        let path = dir.path().join("thon.yaml");
        std::fs::write(&path, settings).unwrap();
        let config = config::load(Some(&path), &FixedVars::default()).unwrap();
        Self { dir, config }
    }

    async fn start(&self) -> anyhow::Result<Appliance> {
        let fake = Fake::new(self.config.sandbox.subnet);
        Appliance::start_with(&self.config, |_| Arc::new(fake)).await
    }

    async fn over_tls(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let mut trusted = rustls::RootCertStore::empty();
        let pem = std::fs::read(self.dir.path().join("state/ca/rootCA.crt")).unwrap();
        trusted
            .add(CertificateDer::from_pem_slice(&pem).unwrap())
            .unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tcp = TcpStream::connect(address).await?;
        tls_connector(trusted, &["http/1.1"])
            .connect(name, tcp)
            .await
    }

    async fn ask(&self, address: SocketAddr, path: &str) -> Reply {
        let wire = self.over_tls(address).await.unwrap();
        send(wire, get(path, &[("host", "localhost")])).await
    }
}

fn address(appliance: &Appliance, name: &str) -> SocketAddr {
    let listeners = appliance.listeners();
    listeners
        .into_iter()
        .find(|listener| listener.name == name)
        .unwrap()
        .address
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn every_listener_answers_where_it_says_it_is() {
    let house = House::with_subnet("10.201.0.0/24");
    let appliance = house.start().await.unwrap();
    for name in ["public", "admin"] {
        let reply = house.ask(address(&appliance, name), "/health").await;
        assert_eq!(reply.status, 200, "{name}");
    }
    let plain = TcpStream::connect(address(&appliance, "plain"))
        .await
        .unwrap();
    let reply = send(plain, get("/w/red/alice/?x=1", &[("host", "thon.test")])).await;
    assert_eq!(reply.status, 308);
    let https = address(&appliance, "public").port();
    assert_eq!(
        reply.header("location"),
        format!("https://thon.test:{https}/w/red/alice/?x=1")
    );
    let gateway = TcpStream::connect(address(&appliance, "gateway"))
        .await
        .unwrap();
    let reply = send(gateway, get("/v1/models", &[("host", "llm.internal")])).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json()["error"]["code"], "gateway_not_available");
    let socket = UnixStream::connect(house.config.control_socket())
        .await
        .unwrap();
    let reply = send(socket, get("/api/status", &[("host", "thon")])).await;
    let listeners = reply.json()["listeners"].as_array().unwrap().clone();
    assert!(
        listeners
            .iter()
            .all(|listener| !listener["address"].as_str().unwrap().ends_with(":0"))
    );
    appliance.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_reaches_nothing_of_the_admin_api() {
    let house = House::with_subnet("10.201.0.0/24");
    let appliance = house.start().await.unwrap();
    for path in [
        "/",
        "/api/status",
        "/api/instances",
        "/api/invites",
        "/api/launch",
        "/docs",
        "/metrics",
    ] {
        let reply = house.ask(address(&appliance, "admin"), path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.json()["error"]["code"], "not_found", "{path}");
    }
    for path in ["/api/status", "/api/instances"] {
        assert_eq!(
            house.ask(address(&appliance, "public"), path).await.status,
            404,
            "{path}"
        );
    }
    appliance.stop().await;
}

/// The loopback plays the sandboxes' network here.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_runs_in_a_sandbox_talks_to_the_gateway_only() {
    let house = House::with_subnet("127.0.0.0/8");
    let appliance = house.start().await.unwrap();
    for name in ["public", "admin"] {
        assert!(
            house.over_tls(address(&appliance, name)).await.is_err(),
            "{name}"
        );
    }
    let mut plain = TcpStream::connect(address(&appliance, "plain"))
        .await
        .unwrap();
    assert!(is_cut(&mut plain, std::time::Duration::from_secs(5)).await);
    let gateway = TcpStream::connect(address(&appliance, "gateway"))
        .await
        .unwrap();
    assert_eq!(
        send(gateway, get("/v1/models", &[("host", "llm.internal")]))
            .await
            .status,
        503
    );
    appliance.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_its_owners_alone_and_a_second_appliance_is_refused() {
    let house = House::with_subnet("10.201.0.0/24");
    let appliance = house.start().await.unwrap();
    let at = house.dir.path();
    for (path, expected) in [
        ("state", 0o700),
        ("run", 0o700),
        ("state/thon.redb", 0o600),
        ("state/ca", 0o700),
        ("state/ca/rootCA.key", 0o600),
        ("run/control.sock", 0o600),
    ] {
        assert_eq!(mode(&at.join(path)), expected, "{path}");
    }
    let error = house
        .start()
        .await
        .err()
        .map(|error| format!("{error:#}"))
        .unwrap();
    assert!(error.contains("an appliance runs already"), "{error}");
    within(appliance.stop()).await;
    within(house.start()).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_an_error_that_names_the_key() {
    let mut house = House::with_subnet("10.201.0.0/24");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    house.config.proxy.https_listen = taken.local_addr().unwrap();
    let error = house
        .start()
        .await
        .err()
        .map(|error| format!("{error:#}"))
        .unwrap();
    assert!(
        error.contains("`proxy.https_listen`") && error.contains("in use"),
        "{error}"
    );
    assert!(
        !house.dir.path().join("state").exists(),
        "nothing was written"
    );
}

/// Containers keep their addresses when the settings name another range; so does the filter.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_a_range_that_the_settings_have_left_is_kept_out_as_well() {
    let mut house = House::with_subnet("127.9.0.0/24");
    let appliance = house.start().await.unwrap();
    let everybody = Launch::default();
    let launch = appliance.control().launch(&everybody, Actor::Control);
    launch.await.unwrap();
    appliance.stop().await;

    house.config.sandbox.subnet = "10.201.0.0/24".parse().unwrap();
    let appliance = house.start().await.unwrap();
    let alice = "red/alice".parse().unwrap();
    let alice = appliance.control().instance(&alice);
    let sandbox = alice.await.unwrap().instance.address;
    assert!(sandbox.to_string().starts_with("127.9.0."), "{sandbox}");
    for name in ["public", "plain", "admin"] {
        let mut wire = from(sandbox.into(), address(&appliance, name)).await;
        assert!(is_cut(&mut wire, AT_ONCE).await, "{name}");
    }
    let neighbour = "127.9.0.77".parse().unwrap();
    let mut wire = from(neighbour, address(&appliance, "plain")).await;
    assert!(!is_cut(&mut wire, AT_ONCE / 4).await);
    let gateway = from(sandbox.into(), address(&appliance, "gateway")).await;
    let reply = send(gateway, get("/v1/models", &[("host", "llm.internal")])).await;
    assert_eq!(reply.status, 503);
    appliance.stop().await;
}

async fn from(source: std::net::IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(source, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_it_serves_this_machine_and_its_links_say_so() {
    let mut house = House::with_subnet("10.201.0.0/24");
    house.config.proxy.certificates = Certificates::Off;
    let appliance = house.start().await.unwrap();
    let public = address(&appliance, "public");
    assert_eq!(appliance.public_url(), format!("http://{public}"));
    let listeners = appliance.listeners();
    let listed = listeners.iter().find(|listener| listener.name == "public");
    assert!(!listed.unwrap().tls);

    let host = format!("localhost:{}", public.port());
    let alice = "red/alice".parse().unwrap();
    let invite = appliance
        .control()
        .rotate_invite(&alice, Actor::Control)
        .await;
    let path = format!("/join/{}", invite.unwrap().code.expose());
    let form = |origin: &str| {
        let headers = [("host", host.as_str()), ("origin", origin), FORM];
        request("POST", &path, &headers, "")
    };
    let wire = TcpStream::connect(public).await.unwrap();
    let reply = send(wire, form(&format!("https://{host}"))).await;
    assert_eq!(reply.status, 403);
    let wire = TcpStream::connect(public).await.unwrap();
    let reply = send(wire, form(&format!("http://{host}"))).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert!(reply.header("set-cookie").starts_with("__Host-thon="));

    let plain = TcpStream::connect(address(&appliance, "plain"))
        .await
        .unwrap();
    let reply = send(plain, get("/x", &[("host", "localhost")])).await;
    assert_eq!(reply.header("location"), format!("http://{host}/x"));
    assert_eq!(
        house
            .ask(address(&appliance, "admin"), "/health")
            .await
            .status,
        200
    );
    appliance.stop().await;
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_a_listener_that_serves_nobody_does_not_start() {
    let mut house = House::with_subnet("10.201.0.0/24");
    house.config.proxy.certificates = Certificates::Off;
    house.config.proxy.https_listen = "0.0.0.0:0".parse().unwrap();
    let error = house.start().await.err().unwrap().to_string();
    assert!(error.contains("`proxy.trusted_proxies`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_links_lead_to_the_proxy_and_nothing_goes_round_in_circles() {
    let mut house = House::with_subnet("10.201.0.0/24");
    house.config.proxy.certificates = Certificates::Off;
    house.config.proxy.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    house.config.proxy.domain = Some("hack.example".to_owned());
    let appliance = house.start().await.unwrap();
    assert_eq!(appliance.public_url(), "https://hack.example");
    let ask = async |proto| {
        let wire = TcpStream::connect(address(&appliance, "plain"))
            .await
            .unwrap();
        let headers = [("host", "hack.example"), ("x-forwarded-proto", proto)];
        send(wire, get("/x", &headers)).await
    };
    let reply = ask("http").await;
    assert_eq!(reply.status, 308);
    assert_eq!(reply.header("location"), "https://hack.example/x");
    let reply = ask("https").await;
    assert_eq!(reply.status, 421);
    assert!(
        reply.text().contains("proxy.https_listen"),
        "{}",
        reply.text()
    );
    appliance.stop().await;
}
