//! WebSockets through a peer, or straight to the origin: opened, echoing, and idle.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::scale::Scale;
use crate::stage::{BARE, PREFIX, Peer, Stage};
use crate::table::{self, Samples, per, quantile};
use crate::tls;

pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

pub(crate) type Socket = WebSocketStream<Box<dyn Wire>>;

/// Fewer than THON lets one instance have.
const SOCKETS_PER_INSTANCE: usize = 1_000;

const OPENING_AT_ONCE: usize = 64;

/// A lost upgrade is no rarity there.
const TRIES_MAX: usize = 30;

/// Of one source address; proxies may limit how many.
const SOCKETS_PER_ADDRESS: usize = 2_000;

/// Messages a second of one socket.
const PACE: u32 = 5;

const MESSAGE: &[u8] = &[b'm'; 64];

/// Buffers of tungstenite's default size would be what the machine's memory goes to.
pub(crate) fn narrow() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(2_048)
        .write_buffer_size(0)
}

/// Through `peer`, or else straight.
pub(crate) async fn open(
    stage: &Stage,
    peer: Option<&Peer>,
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<Vec<Socket>> {
    stream::iter(numbers.map(|number| open_one(stage, peer, number)))
        .buffer_unordered(OPENING_AT_ONCE)
        .try_collect()
        .await
}

/// Echoes once before it counts as open. Pingora as it is tears some tunnels down right after the `101`
/// (`src/proxy/upgrade.rs` says why), so the bare one may try again; nobody else may.
async fn open_one(stage: &Stage, peer: Option<&Peer>, number: usize) -> anyhow::Result<Socket> {
    let tries = match peer {
        Some(peer) if peer.name == BARE => TRIES_MAX,
        _ => 1,
    };
    let mut failed = None;
    for _ in 0..tries {
        match try_to_open(stage, peer, number).await {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = Some(error),
        }
    }
    let name = peer.map_or("the origin", |peer| peer.name);
    let failed = failed.context("no try")?;
    Err(failed.context(format!("socket {number} through {name}")))
}

async fn try_to_open(stage: &Stage, peer: Option<&Peer>, number: usize) -> anyhow::Result<Socket> {
    let address = peer.map_or(stage.origin, |peer| peer.address);
    let source = Ipv4Addr::new(127, 0, 1, u8::try_from(number / SOCKETS_PER_ADDRESS)? + 1);
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let tcp = socket.connect(address).await?;
    tcp.set_nodelay(true)?;
    let wire: Box<dyn Wire> = match peer {
        Some(_) => Box::new(tls::connect(&stage.tls, tcp).await?),
        None => Box::new(tcp),
    };
    let (prefix, cookie) = match (peer, number / SOCKETS_PER_INSTANCE) {
        (Some(peer), more @ 1..) if peer.name == "THON" => (format!("/w/red/more{more}"), "a=1"),
        _ => (PREFIX.to_owned(), stage.cookie.as_str()),
    };
    let request = Request::get(format!("wss://{address}{prefix}/echo"))
        .header("host", address.to_string())
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("origin", format!("https://{address}"))
        .header("cookie", cookie)
        .body(())?;
    let handshake = client_async_with_config(request, wire, Some(narrow()));
    let (mut socket, _) = Box::pin(handshake).await?;
    pass(&mut socket, Bytes::from_static(MESSAGE)).await?;
    Ok(socket)
}

pub(crate) async fn pass(socket: &mut Socket, bytes: Bytes) -> anyhow::Result<()> {
    let len = bytes.len();
    socket.send(Message::Binary(bytes)).await?;
    loop {
        let message = socket.next().await.context("the socket ended")??;
        if message.is_binary() {
            anyhow::ensure!(message.len() == len, "another message came back");
            return Ok(());
        }
    }
}

/// Echoes through every peer in turn; all sockets stay open all the time.
pub(crate) async fn echo(stage: &Stage, scale: &Scale) -> anyhow::Result<()> {
    let count = stage.peers.len();
    let (mut p50, mut p99) = (Samples::new(count), Samples::new(count));
    let mut cpu = Samples::new(count);
    let mut straight = open(stage, None, 0..scale.sockets).await?;
    let mut sockets = Vec::new();
    for peer in &stage.peers {
        sockets.push(open(stage, Some(peer), 0..scale.sockets).await?);
    }
    for round in 0..=scale.rounds {
        let direct;
        (straight, direct) = exchange(straight, scale.echo_time).await?;
        for (at, peer) in stage.turns(round) {
            let Some(mine) = sockets.get_mut(at) else {
                continue;
            };
            let before = peer.process.cpu()?;
            let (back, times) = exchange(std::mem::take(mine), scale.echo_time).await?;
            *mine = back;
            let used = peer.process.cpu()? - before;
            if round > 0 {
                cpu.add(at, per(used, times.len()));
                p50.add(
                    at,
                    quantile(times.clone(), 0.5) - quantile(direct.clone(), 0.5),
                );
                p99.add(at, quantile(times, 0.99) - quantile(direct.clone(), 0.99));
            }
        }
    }
    print_echo(stage, scale, [&cpu, &p50, &p99]);
    Ok(())
}

fn print_echo(stage: &Stage, scale: &Scale, samples: [&Samples; 3]) {
    let [cpu, p50, p99] = samples;
    let bare = stage.peers.iter().position(|peer| peer.name == BARE);
    let bare = bare.map_or(f64::NAN, |at| cpu.median(at));
    let rows = stage.peers.iter().enumerate().map(|(at, peer)| {
        let cells = vec![
            format!("{:.1}", cpu.median(at)),
            format!("{:.2}", cpu.median(at) / bare),
            format!("{:.0}", p50.median(at)),
            format!("{:.0}", p99.median(at)),
        ];
        (peer.name.to_owned(), cells)
    });
    let title = format!(
        "{} WebSockets over TLS, each echoing 64 bytes {PACE} times a second",
        scale.sockets
    );
    let columns = [
        "CPU µs an echo",
        "÷ bare pingora",
        "added p50 µs",
        "added p99 µs",
    ];
    table::print(&title, &columns, &rows.collect::<Vec<_>>());
}

/// The sockets again, and the microseconds of every round trip.
async fn exchange(sockets: Vec<Socket>, time: Duration) -> anyhow::Result<(Vec<Socket>, Vec<f64>)> {
    let interval = Duration::from_secs(1) / PACE;
    let begin = Instant::now();
    let count = u32::try_from(sockets.len())?.max(1);
    let mut running = JoinSet::new();
    for (number, mut socket) in (0..).zip(sockets) {
        let first = begin + interval * number / count;
        running.spawn(async move {
            let mut times = Vec::new();
            let mut next = first;
            while next < begin + time {
                sleep_until(next).await;
                let sent = Instant::now();
                pass(&mut socket, Bytes::from_static(MESSAGE)).await?;
                times.push(sent.elapsed().as_secs_f64() * 1e6);
                next += interval;
            }
            anyhow::Ok((socket, times))
        });
    }
    let (mut back, mut all) = (Vec::new(), Vec::new());
    for done in running.join_all().await {
        let (socket, times) = done?;
        back.push(socket);
        all.extend(times);
    }
    Ok((back, all))
}
