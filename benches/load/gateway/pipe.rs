//! nginx as a plain way to a model: nothing is kept back, connections are kept.

use std::net::SocketAddr;
use std::path::Path;

use crate::bare::free_address;
use crate::nginx;
use crate::process::Process;

pub(crate) async fn start(
    upstream: SocketAddr,
    directory: &Path,
) -> anyhow::Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let configuration = configuration(upstream, address, directory);
    let process = nginx::start_with(&configuration, address, directory).await?;
    Ok((process, address))
}

fn configuration(upstream: SocketAddr, address: SocketAddr, directory: &Path) -> String {
    let at = directory.display();
    format!(
        "daemon off;
worker_processes auto;
worker_rlimit_nofile 20000;
user root;
pid {at}/nginx.pid;
error_log {at}/error.log;
events {{ worker_connections 9000; }}
http {{
  access_log {at}/access.log;
  client_body_temp_path {at}/body;
  proxy_temp_path {at}/proxy;
  fastcgi_temp_path {at}/fastcgi;
  uwsgi_temp_path {at}/uwsgi;
  scgi_temp_path {at}/scgi;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  upstream model {{ server {upstream}; keepalive 2000; keepalive_requests 1000000000; }}
  server {{
    listen {address};
    location / {{
      proxy_pass http://model;
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_buffering off;
      proxy_read_timeout 600;
    }}
  }}
}}
"
    )
}
