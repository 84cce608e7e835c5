//! What stands in for a container: a well-behaved editor, a hostile server, and a too fast one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::task::AbortOnDropHandle;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// An HTTP server with the behaviours that the tests need; it goes when it is dropped.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
pub(crate) struct Shared {
    /// Events for `/sse`.
    pub(crate) events: Mutex<Option<mpsc::Receiver<String>>>,
    /// Body bytes that have arrived at `/upload`.
    pub(crate) uploaded: watch::Sender<usize>,
    /// Requests to `/hang` that are being waited for.
    pub(crate) hanging: watch::Sender<usize>,
    pub(crate) requests: AtomicUsize,
    pub(crate) connections: AtomicUsize,
}

impl Origin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let task = accept(listener, Arc::clone(&shared));
        Self {
            address,
            shared,
            _task: AbortOnDropHandle::new(spawn(task)),
        }
    }

    /// The sender's events come out of `/sse`.
    pub(crate) async fn events(&self) -> mpsc::Sender<String> {
        let (sender, receiver) = mpsc::channel(1);
        *self.shared.events.lock().await = Some(receiver);
        sender
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's servers end with the test's runtime"
)]
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&shared);
        spawn(async move {
            let answer = service_fn(|request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(request, shared).await) }
            });
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .with_upgrades()
                .await
                .ok();
        });
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Answer {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    match request.uri().path() {
        "/ws" => websocket(request),
        "/sse" => events(&shared).await,
        "/upload" => upload(request, &shared).await,
        "/hang" => hang(&shared).await,
        "/evil" => evil(),
        "/login" => with(&[(
            "set-cookie",
            "code-server-session=hash; Path=/; SameSite=Lax",
        )]),
        "/_static/out/browser/serviceWorker.js" | "/evil/sw.js" => {
            with(&[("service-worker-allowed", "/")])
        }
        "/big" => full(Bytes::from(vec![b'x'; 3 << 20])),
        _ => echo(&request),
    }
}

/// What the server saw.
fn echo(request: &Request<Incoming>) -> Answer {
    let headers: Vec<(&str, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.as_str(),
                String::from_utf8_lossy(value.as_bytes()).into(),
            )
        })
        .collect();
    let seen = serde_json::json!({
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "headers": headers,
    });
    full(Bytes::from(seen.to_string()))
}

fn full(body: Bytes) -> Answer {
    Response::new(Full::new(body).boxed_unsync())
}

fn with(headers: &[(&'static str, &'static str)]) -> Answer {
    let mut answer = full(Bytes::from_static(b"ok"));
    for (name, value) in headers {
        answer.headers_mut().append(*name, value.parse().unwrap());
    }
    answer
}

fn evil() -> Answer {
    with(&[
        ("set-cookie", "__Host-thon=evil; Path=/; Secure"),
        ("set-cookie", "code-server-session=evil; Path=/"),
        ("set-cookie", "tossed=1; Domain=pub.example; Path=/"),
        ("service-worker-allowed", "/"),
        ("clear-site-data", "\"*\""),
        ("alt-svc", "h3=\":443\""),
        ("strict-transport-security", "max-age=1"),
    ])
}

async fn events(shared: &Shared) -> Answer {
    let receiver = shared.events.lock().await.take().unwrap();
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
        let event = receiver.recv().await?;
        Some((Ok(Frame::data(Bytes::from(event))), receiver))
    });
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    answer
        .headers_mut()
        .insert("content-type", "text/event-stream".parse().unwrap());
    answer
}

async fn upload(request: Request<Incoming>, shared: &Shared) -> Answer {
    let mut body = request.into_body();
    let mut total = 0;
    while let Some(Ok(frame)) = body.frame().await {
        total += frame.data_ref().map_or(0, Bytes::len);
        shared.uploaded.send_replace(total);
    }
    full(Bytes::from(total.to_string()))
}

/// Never answers; counts who waits.
async fn hang(shared: &Shared) -> Answer {
    struct Waiting<'a>(&'a watch::Sender<usize>);
    impl Drop for Waiting<'_> {
        fn drop(&mut self) {
            self.0.send_modify(|waiting| *waiting -= 1);
        }
    }
    shared.hanging.send_modify(|waiting| *waiting += 1);
    let _waiting = Waiting(&shared.hanging);
    std::future::pending().await
}

/// code-server's own check, in its order: `Forwarded`, `X-Forwarded-Host`, `Host`.
fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_lowercase())
    };
    let Some(origin) = text("origin") else {
        return true;
    };
    let forwarded = text("forwarded").and_then(|forwarded| {
        let host = forwarded
            .split([';', ','])
            .find_map(|part| part.trim().strip_prefix("host="))?;
        Some(host.to_owned())
    });
    let forwarded_host = text("x-forwarded-host")
        .and_then(|hosts| hosts.split(',').next().map(|host| host.trim().to_owned()));
    let host = forwarded.or(forwarded_host).or_else(|| text("host"));
    // As `new URL(origin).host` does it.
    let own = origin
        .strip_prefix("https://")
        .map(|own| own.trim_end_matches(":443"));
    own == host.as_deref()
}

fn websocket(mut request: Request<Incoming>) -> Answer {
    let mut answer = full(Bytes::new());
    let key = request.headers().get("sec-websocket-key").cloned();
    let Some(key) = key.filter(|_| is_own_origin(request.headers())) else {
        *answer.status_mut() = StatusCode::FORBIDDEN;
        return answer;
    };
    let upgraded = hyper::upgrade::on(&mut request);
    spawn(async move {
        let Ok(io) = upgraded.await else { return };
        let mut socket =
            WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() || socket.send(message).await.is_err() {
                return;
            }
        }
    });
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert("connection", "Upgrade".parse().unwrap());
    headers.insert("upgrade", "websocket".parse().unwrap());
    let accept = derive_accept_key(key.as_bytes());
    headers.insert("sec-websocket-accept", accept.parse().unwrap());
    answer
}

/// Reads a head and says the next line of its script, connection by connection; closes at the end of
/// each. Gives back how many heads it has read.
pub(crate) async fn scripted(
    script: Vec<Vec<&'static str>>,
) -> (SocketAddr, Arc<AtomicUsize>, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(AtomicUsize::new(0));
    let read = Arc::clone(&heads);
    let task = spawn(async move {
        for lines in script {
            let (mut stream, _) = listener.accept().await.unwrap();
            for line in lines {
                read_to_end_of_head(&mut stream).await.ok();
                read.fetch_add(1, Ordering::Relaxed);
                stream.write_all(line.as_bytes()).await.ok();
            }
        }
        std::future::pending::<()>().await;
    });
    (address, heads, AbortOnDropHandle::new(task))
}

/// Says `101` before it has read the request, then echoes what follows the head.
pub(crate) async fn instant_upgrades() -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            spawn(async move {
                echo_after_head(stream).await.ok();
            });
        }
    });
    (address, AbortOnDropHandle::new(task))
}

async fn echo_after_head(stream: TcpStream) -> std::io::Result<()> {
    let hello =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut stream = BufReader::new(stream);
    stream.write_all(hello.as_bytes()).await?;
    read_to_end_of_head(&mut stream).await?;
    let (mut read, mut write) = tokio::io::split(stream);
    tokio::io::copy(&mut read, &mut write).await?;
    Ok(())
}

async fn read_to_end_of_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await?);
    }
    Ok(())
}
