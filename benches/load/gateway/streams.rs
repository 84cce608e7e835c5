//! Many streams at the same time: how much memory they take, and how long a chunk is on its way.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::peers::{NAMES, Peer, Peers, short};
use super::upstream::MODEL;
use crate::scale::Scale;
use crate::table::{self, quantile};

/// Between two chunks of a stream.
const PAUSE: Duration = Duration::from_secs(1);

/// Of one source address; proxies may limit how many.
const STREAMS_PER_ADDRESS: usize = 100;

pub(super) async fn measure(scale: &Scale) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let wanted = |name: &str| name == NAMES[0] || scale.wants(short(name));
    for name in NAMES.into_iter().filter(|name| wanted(name)) {
        // A fresh process: what was freed before would hide what is taken now.
        let peers = Peers::of(name).await?;
        if let Some(peer) = peers.all.iter().find(|peer| peer.name == name) {
            rows.push((name.to_owned(), of(peer, scale).await?));
        }
        peers.end().await?;
    }
    let title = format!(
        "{} streams at the same time, a chunk a second each",
        scale.streams
    );
    let columns = [
        "nothing open, MiB",
        "all open, MiB",
        "a chunk's way p50 µs",
        "p99 µs",
        "CPU µs a chunk",
    ];
    table::print(&title, &columns, &rows);
    Ok(())
}

async fn of(peer: &Peer, scale: &Scale) -> anyhow::Result<Vec<String>> {
    // What the first request of a process allocates for all.
    Listener::of(peer, 0, 1, Duration::ZERO).hear().await?;
    let empty = peer.process.resident_kib()?;
    let mut open = JoinSet::new();
    let (begin, count) = (Instant::now(), u32::try_from(scale.streams)?);
    let before = peer.process.cpu()?;
    for number in 0..scale.streams {
        let listener = Listener::of(peer, number, scale.stream_words, PAUSE);
        // Spread over the pause, as people are.
        let first = begin + PAUSE * u32::try_from(number)? / count;
        open.spawn(async move {
            tokio::time::sleep_until(first).await;
            listener.hear().await
        });
    }
    tokio::time::sleep(PAUSE * u32::try_from(scale.stream_words)? / 2).await;
    let full = peer.process.resident_kib()?;
    let mut ways = Vec::new();
    for done in open.join_all().await {
        ways.extend(done?);
    }
    let used = peer.process.cpu()? - before;
    let mebibytes = |kib: u64| anyhow::Ok(f64::from(u32::try_from(kib)?) / 1_024.0);
    Ok(vec![
        format!("{:.1}", mebibytes(empty)?),
        format!("{:.1}", mebibytes(full)?),
        format!("{:.0}", quantile(ways.clone(), 0.5)),
        format!("{:.0}", quantile(ways.clone(), 0.99)),
        format!("{:.0}", table::per(used, ways.len())),
    ])
}

/// Somebody who waits for one answer.
struct Listener {
    address: SocketAddr,
    key: String,
    source: usize,
    words: usize,
    pause: Duration,
}

impl Listener {
    fn of(peer: &Peer, number: usize, words: usize, pause: Duration) -> Self {
        Self {
            address: peer.address,
            key: peer.key(number).to_owned(),
            source: number / STREAMS_PER_ADDRESS,
            words,
            pause,
        }
    }

    /// Microseconds of each chunk from the model's hand to ours.
    async fn hear(self) -> anyhow::Result<Vec<f64>> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(self.connect().await?)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let answer = sender.send_request(self.request()?).await?;
        anyhow::ensure!(answer.status() == 200, "{}", answer.status());
        let mut body = answer.into_body();
        let (mut ways, mut text) = (Vec::new(), String::new());
        while let Some(frame) = body.frame().await {
            let now = Timestamp::now();
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            text.push_str(std::str::from_utf8(&data)?);
            while let Some((event, rest)) = text.split_once("\n\n") {
                ways.extend(way(event, now));
                text = rest.to_owned();
            }
        }
        anyhow::ensure!(ways.len() == self.words, "{} words", ways.len());
        Ok(ways)
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let source = Ipv4Addr::new(127, 0, 2, u8::try_from(self.source)? + 1);
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        let tcp = socket.connect(self.address).await?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    fn request(&self) -> anyhow::Result<Request<Full<Bytes>>> {
        let prompt = format!("pause={}", self.pause.as_millis());
        let body = json!({
            "model": MODEL, "stream": true, "max_tokens": self.words,
            "messages": [{"role": "user", "content": prompt}],
        });
        Ok(Request::post("/v1/chat/completions")
            .header("host", self.address.to_string())
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?)
    }
}

fn way(event: &str, now: Timestamp) -> Option<f64> {
    let (_, sent) = event.split_once("sent=")?;
    let sent: i128 = sent.split(';').next()?.parse().ok()?;
    let nanos = u32::try_from(now.as_nanosecond() - sent).ok()?;
    Some(f64::from(nanos) / 1e3)
}
