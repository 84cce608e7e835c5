//! What the gateway to a language model costs beside nginx and `LiteLLM`, in front of one that costs
//! nothing.

pub(crate) mod litellm;
mod peers;
mod pipe;
mod streams;
pub(crate) mod thon;
pub(crate) mod upstream;

use tokio::process::Command;

use crate::http::{times, well};
use crate::scale::Scale;
use crate::table::{self, Samples, per, quantile};
use peers::{Peer, Peers};

/// Connections that ask all the time.
const ASKING: &str = "-c8";

/// Chunks of a stream, besides those that open and close it.
const LONG: usize = 200;
const SHORT: usize = 8;

/// Requests a second on one connection, so that there is a way and no queue.
const RATE: usize = 200;
const SLOW_RATE: usize = 20;

pub(crate) async fn measure(scale: &Scale) -> anyhow::Result<()> {
    let peers = Peers::start(scale).await?;
    cost(&peers, scale).await?;
    latency(&peers, scale).await?;
    peers.end().await?;
    streams::measure(scale).await
}

/// CPU under load: of a plain request, of a stream, and of each of its chunks.
async fn cost(peers: &Peers, scale: &Scale) -> anyhow::Result<()> {
    let count = peers.all.len();
    let mut samples = [(); 4].map(|()| Samples::new(count));
    // The first round warms everything up.
    for round in 0..=scale.rounds {
        for (at, peer) in peers.turns(round) {
            let requests = scale.asked(peer.is_slow);
            let (plain, rate) = asked(peer, &peers.plain, requests).await?;
            let streams = requests.div_ceil(10);
            let (short, _) = asked(peer, &peers.short, streams).await?;
            let (long, _) = asked(peer, &peers.long, streams).await?;
            if round > 0 {
                let chunk = per(long - short, LONG - SHORT);
                for (samples, value) in samples.iter_mut().zip([plain, rate, long, chunk]) {
                    samples.add(at, value);
                }
            }
        }
    }
    let rows = peers.all.iter().enumerate().map(|(at, peer)| {
        let [plain, rate, long, chunk] = &samples;
        let cells = vec![
            format!("{:.0}", plain.median(at)),
            format!("{:.0}", rate.median(at)),
            format!("{:.0}", long.median(at)),
            format!("{:.1}", chunk.median(at)),
        ];
        (peer.name.to_owned(), cells)
    });
    let columns = [
        "CPU µs a plain request",
        "requests/s",
        "CPU µs a stream",
        "CPU µs a chunk",
    ];
    let title = format!("Chat over HTTP/1.1, 8 kept connections, plain and in {LONG} chunks");
    table::print(&title, &columns, &rows.collect::<Vec<_>>());
    Ok(())
}

/// CPU microseconds a request, and requests a second.
async fn asked(peer: &Peer, body: &std::path::Path, requests: usize) -> anyhow::Result<(f64, f64)> {
    let before = peer.process.cpu()?;
    let said = well(load(peer, body, requests).args(["--h1", ASKING]), requests).await?;
    let used = peer.process.cpu()? - before;
    Ok((per(used, requests), crate::http::rate(&said)?))
}

fn load(peer: &Peer, body: &std::path::Path, requests: usize) -> Command {
    let mut load = Command::new("h2load");
    load.kill_on_drop(true)
        .args(["-t1", &format!("-n{requests}"), "-d"])
        .arg(body)
        .args(["-H", "content-type: application/json"])
        .args(["-H", &format!("authorization: Bearer {}", peer.key(0))])
        .arg(peer.url());
    load
}

/// With little load, so that what is measured is the way and not the queue.
async fn latency(peers: &Peers, scale: &Scale) -> anyhow::Result<()> {
    let count = peers.all.len();
    let (mut p50, mut p99) = (Samples::new(count), Samples::new(count));
    for round in 0..scale.rounds.div_ceil(2) {
        let Some(direct) = peers.all.first() else {
            break;
        };
        for (at, peer) in peers.turns(round).filter(|(at, _)| *at > 0) {
            // As often as the peer will be asked.
            let straight = paced(peers, direct, peer.is_slow, scale).await?;
            let times = paced(peers, peer, peer.is_slow, scale).await?;
            for (samples, part) in [(&mut p50, 0.5), (&mut p99, 0.99)] {
                let added = quantile(times.clone(), part) - quantile(straight.clone(), part);
                samples.add(at, added);
            }
        }
    }
    let rows = peers.all.iter().enumerate().skip(1).map(|(at, peer)| {
        let cells = [&p50, &p99].map(|samples| format!("{:.0}", samples.median(at)));
        (peer.name.to_owned(), cells.to_vec())
    });
    let title =
        format!("A plain request, {RATE} times a second on one connection (LiteLLM: {SLOW_RATE})");
    table::print(
        &title,
        &["added p50 µs", "added p99 µs"],
        &rows.collect::<Vec<_>>(),
    );
    Ok(())
}

/// Microseconds of each request.
async fn paced(
    peers: &Peers,
    peer: &Peer,
    is_slow: bool,
    scale: &Scale,
) -> anyhow::Result<Vec<f64>> {
    let log = peers.directory.path().join("requests.tsv");
    let (rate, requests) = if is_slow {
        (SLOW_RATE, scale.paced_requests.div_ceil(10))
    } else {
        (RATE, scale.paced_requests.div_ceil(2))
    };
    let mut load = load(peer, &peers.plain, requests);
    load.args(["--h1", "-c1", &format!("--rps={rate}")])
        .arg("--log-file")
        .arg(&log);
    well(&mut load, requests).await?;
    let times = times(&log).await;
    tokio::fs::remove_file(&log).await?;
    times
}
