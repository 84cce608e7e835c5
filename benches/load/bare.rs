//! What pingora itself costs: its own server, its own TLS listener, one upstream, nothing else.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use pingora::upstreams::peer::HttpPeer;

use crate::process::until_bench_ends;
use crate::tls::{CERTIFICATE, KEY};

struct Bare(SocketAddr);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

/// Pingora cannot tell a port that the kernel chose.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

pub(crate) fn run(origin: SocketAddr, directory: &Path) -> anyhow::Result<()> {
    let threads = std::thread::available_parallelism()?.get();
    let conf = ServerConf {
        threads,
        upstream_keepalive_pool_size: 2_048,
        grace_period_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare(origin));
    let file = |name| directory.join(name).to_str().map(str::to_owned);
    let certificate = file(CERTIFICATE).context("a path")?;
    let mut tls = TlsSettings::intermediate(&certificate, &file(KEY).context("a path")?)?;
    tls.enable_h2();
    let address = free_address()?;
    service.add_tls_with_settings(&address.to_string(), None, tls);
    server.add_service(service);
    println!("{address}");
    server.run(RunArgs {
        shutdown_signal: Box::new(BenchEnds),
    });
    Ok(())
}

struct BenchEnds;

#[async_trait]
impl ShutdownSignalWatch for BenchEnds {
    async fn recv(&self) -> ShutdownSignal {
        until_bench_ends().await;
        ShutdownSignal::FastShutdown
    }
}
