//! Clients: a well-behaved one, one that writes whatever it is told, and a WebSocket's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;

/// Every wait in these tests ends here at the latest.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What "at once" means on a loaded machine.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);

pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire for T {}

pub(crate) async fn within<T>(wait: impl Future<Output = T>) -> T {
    timeout(PATIENCE, wait)
        .await
        .expect("this should not take so long")
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap()).collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A GET with headers; `Host` is the proxy's public name.
pub(crate) fn get(path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    request("GET", path, headers, Bytes::new())
}

pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        request = request.header("host", super::proxy::HOST);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

/// One request on a connection of its own.
pub(crate) async fn send<B>(wire: impl Wire, request: Request<B>) -> Reply
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    within(async {
        let io = TokioIo::new(wire);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let exchange = async {
            let response = sender.send_request(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Reply {
                status: head.status,
                headers: head.headers,
                body,
            }
        };
        tokio::select! {
            reply = exchange => reply,
            () = async { connection.await.ok(); std::future::pending().await } => unreachable!(),
        }
    })
    .await
}

/// Bytes as given; everything that comes back until the other side closes.
pub(crate) async fn exchange_raw(mut wire: impl Wire, bytes: &[u8]) -> String {
    within(async {
        // The other side may close before it has read everything.
        wire.write_all(bytes).await.ok();
        let mut answer = Vec::new();
        wire.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
}

/// The head of the next response, byte by byte, and nothing behind it.
pub(crate) async fn read_head(wire: &mut (impl AsyncRead + Unpin)) -> String {
    within(async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if wire.read(&mut byte).await.unwrap_or(0) == 0 {
                break;
            }
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    })
    .await
}

/// Has the other side ended the connection?
pub(crate) async fn is_cut(wire: &mut (impl AsyncRead + Unpin), patience: Duration) -> bool {
    let mut rest = Vec::new();
    timeout(patience, wire.read_to_end(&mut rest)).await.is_ok()
}

pub(crate) type Socket<W> = WebSocketStream<W>;

/// Opens a WebSocket; the status of the refusal if there is one.
pub(crate) async fn open_socket<W: Wire>(
    wire: W,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Socket<W>, StatusCode> {
    let host = headers.iter().find(|(name, _)| *name == "host");
    let host = host.map_or(super::proxy::HOST, |(_, value)| value);
    let mut request = Request::get(format!("ws://{host}{path}"))
        .header("host", host)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
        request = request.header(*name, *value);
    }
    let handshake = tokio_tungstenite::client_async(request.body(()).unwrap(), wire);
    match within(Box::pin(handshake)).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => Err(response.status()),
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn tls_connector(
    ca: rustls::RootCertStore,
    alpn: &[&str],
) -> tokio_rustls::TlsConnector {
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(ca)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    tokio_rustls::TlsConnector::from(Arc::new(config))
}
