//! What every peer proxies to: a small body, a large one, and a WebSocket that echoes.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::task::TaskTracker;

use crate::process::until_bench_ends;
use crate::sockets::narrow;

static SMALL: [u8; 99] = [b's'; 99];
static BIG: [u8; 100_000] = [b'b'; 100_000];

pub(crate) fn run() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let tasks = TaskTracker::new();
        tokio::select! {
            () = until_bench_ends() => Ok(()),
            failed = accept(&listener, &tasks) => failed,
        }
    })
}

async fn accept(listener: &TcpListener, tasks: &TaskTracker) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tasks, sockets) = (tasks.clone(), tasks.clone());
        tasks.spawn(serve(stream, sockets));
    }
}

async fn serve(stream: TcpStream, sockets: TaskTracker) {
    let answer = service_fn(move |request| {
        let answer = answer(request, &sockets);
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    // How a connection ends is of no interest here.
    connection.with_upgrades().await.ok();
}

fn answer(request: Request<Incoming>, sockets: &TaskTracker) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if path.ends_with("/big") {
        return Response::new(Full::new(Bytes::from_static(&BIG)));
    }
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return Response::new(Full::new(Bytes::from_static(&SMALL)));
    };
    let accept = derive_accept_key(key.as_bytes());
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONNECTION, "Upgrade"),
        (UPGRADE, "websocket"),
        (SEC_WEBSOCKET_ACCEPT, accept.as_str()),
    ] {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    sockets.spawn(echo(request));
    response
}

async fn echo(request: Request<Incoming>) {
    let Ok(upgraded) = hyper::upgrade::on(request).await else {
        return;
    };
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(narrow())).await;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_binary() && socket.send(message).await.is_err() {
            return;
        }
    }
}
