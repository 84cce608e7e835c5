//! Debian's nginx, with the site that the original generated, and with connections kept to upstream.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::bare::free_address;
use crate::process::Process;
use crate::tls::{CERTIFICATE, KEY};

/// What the peers differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// `Connection: upgrade` on every request, so each one opens a connection to upstream.
    Original,
    /// The same, as its manual would have it.
    KeepAlive,
}

pub(crate) async fn start(
    site: Site,
    origin: SocketAddr,
    directory: &Path,
) -> anyhow::Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let configuration = configuration(site, origin, address, directory);
    let process = start_with(&configuration, address, directory).await?;
    Ok((process, address))
}

/// Returns when it listens at the address that its configuration says.
pub(crate) async fn start_with(
    configuration: &str,
    address: SocketAddr,
    directory: &Path,
) -> anyhow::Result<Process> {
    let program = program()?;
    let path = directory.join("nginx.conf");
    tokio::fs::write(&path, configuration).await?;
    let log = directory.join("start.log");
    let arguments = ["-c".as_ref(), path.as_os_str()];
    let process = Process::program(&program, &arguments, &log)?;
    for _ in 0..500 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return Ok(process);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    anyhow::bail!("nginx does not start: {}", std::fs::read_to_string(log)?)
}

/// Where `benches/run` put it, or the machine's own.
fn program() -> anyhow::Result<PathBuf> {
    let unpacked = std::env::current_exe()?
        .ancestors()
        .map(|directory| directory.join("bench/nginx/usr/sbin/nginx"))
        .find(|path| path.exists());
    let installed = || Some(PathBuf::from("/usr/sbin/nginx")).filter(|path| path.exists());
    unpacked
        .or_else(installed)
        .context("there is no nginx: benches/run fetches it")
}

fn configuration(site: Site, origin: SocketAddr, address: SocketAddr, directory: &Path) -> String {
    let at = directory.display();
    let (upstream, connection) = match site {
        Site::Original => (format!("http://{origin}/"), "\"upgrade\""),
        Site::KeepAlive => ("http://origin/".to_owned(), "$connection_upgrade"),
    };
    format!(
        "daemon off;
worker_processes auto;
worker_rlimit_nofile 20000;
user root;
pid {at}/nginx.pid;
error_log {at}/error.log;
events {{ worker_connections 19000; }}
http {{
  access_log {at}/access.log;
  client_body_temp_path {at}/body;
  proxy_temp_path {at}/proxy;
  fastcgi_temp_path {at}/fastcgi;
  uwsgi_temp_path {at}/uwsgi;
  scgi_temp_path {at}/scgi;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream origin {{ server {origin}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen {address} ssl http2;
    server_name _;
    ssl_certificate {at}/{CERTIFICATE};
    ssl_certificate_key {at}/{KEY};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers HIGH:!aNULL:!MD5;
    location /w/red/alice/ {{
      proxy_pass {upstream};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection {connection};
      proxy_set_header Host $http_host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header Accept-Encoding gzip;
      proxy_redirect default;
      add_header Service-Worker-Allowed /;
      proxy_read_timeout 86400;
      proxy_send_timeout 86400;
      proxy_buffering off;
      proxy_request_buffering off;
    }}
  }}
}}
"
    )
}
