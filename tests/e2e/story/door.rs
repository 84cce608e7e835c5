//! `Door`: the public listener as a program meets it. Paths are sent as they are written.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WebSocketError;

const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) struct Door {
    address: SocketAddr,
    tls: TlsConnector,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

pub(crate) type Socket = WebSocketStream<TlsStream<TcpStream>>;

impl Door {
    pub(crate) fn new(port: u16, ca_pem: &str) -> Self {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn origin(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The certificate that is presented to whoever asks for this name.
    pub(crate) async fn connect_as(&self, name: &str) -> Vec<u8> {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = self.tls.connect(name, tcp).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::IpAddress(self.address.ip().into());
        self.tls.connect(name, tcp).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let exchange = self.exchange(method, path, headers, body);
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        answer.unwrap_or_else(|_| panic!("{path} was not answered within {PATIENCE:?}"))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let stream = TokioIo::new(self.connect().await.unwrap());
        let (mut sender, connection) = http1::handshake(stream).await.unwrap();
        // Ends with its one request.
        let mut task = JoinSet::new();
        task.spawn(connection.with_upgrades());
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", self.host());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let answer = sender.send_request(request.body(body).unwrap()).await;
        let (head, body) = answer.unwrap().into_parts();
        // A switched protocol has no body that ends.
        let body = if head.status == 101 {
            Bytes::new()
        } else {
            body.collect().await.unwrap().to_bytes()
        };
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// As a browser's window asks for a page.
    pub(crate) async fn page(&self, path: &str, cookie: &str) -> Answer {
        let headers = [("Cookie", cookie), ("Accept", "text/html")];
        self.send(Method::GET, path, &headers, "").await
    }

    pub(crate) async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.send(Method::GET, path, &[("Cookie", cookie)], "")
            .await
    }

    pub(crate) async fn put(&self, path: &str, cookie: &str, body: &str) -> Answer {
        self.send(Method::PUT, path, &[("Cookie", cookie)], body)
            .await
    }

    /// Opens the link and says yes; gives back the session's cookie.
    pub(crate) async fn sign_in(&self, link: &str) -> String {
        let path = link
            .strip_prefix(&self.origin())
            .unwrap_or_else(|| panic!("the link {link} does not lead to {}", self.origin()));
        let origin = self.origin();
        let headers = [
            ("Origin", origin.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let answer = self.send(Method::POST, path, &headers, "").await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// An open WebSocket, or the status of the refusal.
    pub(crate) async fn websocket(&self, path: &str, cookie: &str) -> Result<Socket, u16> {
        let stream = self.connect().await.unwrap();
        let request = Request::builder()
            .uri(format!("wss://{}{path}", self.address))
            .header("Host", self.host())
            .header("Origin", self.origin())
            .header("Cookie", cookie)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(socket),
            Err(WebSocketError::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{path}: {error}"),
        }
    }
}
