//! Plain requests over TLS, driven by h2load: CPU a request under load, and the time that a proxy
//! adds when there is little load.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use tokio::process::Command;

use crate::scale::Scale;
use crate::stage::{BARE, PREFIX, Peer, Stage};
use crate::table::{self, Samples, per, quantile};

/// What a browser's script sends along; h2load adds its own name.
const HEADERS: [&str; 4] = [
    "accept: */*",
    "accept-encoding: gzip, br",
    "sec-fetch-mode: cors",
    "sec-fetch-site: same-origin",
];

struct Case {
    title: &'static str,
    path: &'static str,
    /// Of h2load.
    protocol: &'static [&'static str],
    requests: usize,
}

fn cases(scale: &Scale) -> [Case; 3] {
    let h1 = &["--h1", "-c50"];
    let h2 = &["-c10", "-m10"];
    [
        Case {
            title: "99 bytes, HTTP/1.1 over TLS, 50 kept connections",
            path: "/small",
            protocol: h1,
            requests: scale.small_requests,
        },
        Case {
            title: "99 bytes, HTTP/2 over TLS, 10 connections of 10 streams",
            path: "/small",
            protocol: h2,
            requests: scale.small_requests,
        },
        Case {
            title: "100 kB, HTTP/1.1 over TLS, 50 kept connections",
            path: "/big",
            protocol: h1,
            requests: scale.big_requests,
        },
    ]
}

pub(crate) async fn cost(stage: &Stage, scale: &Scale) -> anyhow::Result<()> {
    for case in cases(scale) {
        let (mut cpu, mut rate) = (
            Samples::new(stage.peers.len()),
            Samples::new(stage.peers.len()),
        );
        // The first round warms everything up.
        for round in 0..=scale.rounds {
            for (at, peer) in stage.turns(round) {
                let (micros, rps) = one(stage, peer, &case).await?;
                if round > 0 {
                    cpu.add(at, micros);
                    rate.add(at, rps);
                }
            }
        }
        let rows = rows(stage, &cpu, &rate);
        table::print(
            case.title,
            &["CPU µs a request", "÷ bare pingora", "requests/s"],
            &rows,
        );
    }
    Ok(())
}

fn rows(stage: &Stage, cpu: &Samples, rate: &Samples) -> Vec<(String, Vec<String>)> {
    let bare = stage.peers.iter().position(|peer| peer.name == BARE);
    let bare = bare.map_or(f64::NAN, |at| cpu.median(at));
    let row = |(at, peer): (usize, &Peer)| {
        let cells = vec![
            format!("{:.1}", cpu.median(at)),
            format!("{:.2}", cpu.median(at) / bare),
            format!("{:.0}", rate.median(at)),
        ];
        (peer.name.to_owned(), cells)
    };
    stage.peers.iter().enumerate().map(row).collect()
}

/// CPU microseconds a request, and requests a second.
async fn one(stage: &Stage, peer: &Peer, case: &Case) -> anyhow::Result<(f64, f64)> {
    let url = format!("https://{}{PREFIX}{}", peer.address, case.path);
    let before = peer.process.cpu()?;
    let mut load = load(stage, case.requests);
    let said = well(load.args(case.protocol).arg(url), case.requests).await?;
    let used = peer.process.cpu()? - before;
    Ok((per(used, case.requests), rate(&said)?))
}

/// Requests a second, as h2load says it.
pub(crate) fn rate(said: &str) -> anyhow::Result<f64> {
    let before = said.split(" req/s").next();
    let rate = before.and_then(|before| before.rsplit(' ').next());
    Ok(rate.context("no rate")?.parse()?)
}

fn load(stage: &Stage, requests: usize) -> Command {
    let mut load = Command::new("h2load");
    load.kill_on_drop(true)
        .args(["-t1", &format!("-n{requests}")])
        .args(["-H", &format!("cookie: {}", stage.cookie)]);
    for header in HEADERS {
        load.args(["-H", header]);
    }
    load
}

/// A peer that refuses is fast, and no peer.
pub(crate) async fn well(load: &mut Command, requests: usize) -> anyhow::Result<String> {
    let output = load.output().await.context("h2load")?;
    let said = String::from_utf8(output.stdout)?;
    anyhow::ensure!(
        said.contains(&format!("status codes: {requests} 2xx")),
        "not every request was answered well:\n{said}"
    );
    Ok(said)
}

/// With little load, so that what is measured is the way and not the queue.
pub(crate) async fn latency(stage: &Stage, scale: &Scale) -> anyhow::Result<()> {
    for (title, protocol) in [
        ("99 bytes, HTTP/1.1 over TLS, 1,000 requests/s", "--h1"),
        ("99 bytes, HTTP/2 over TLS, 1,000 requests/s", "-m1"),
    ] {
        let peers = stage.peers.len();
        let (mut p50, mut p99) = (Samples::new(peers), Samples::new(peers));
        for round in 0..scale.rounds.div_ceil(2) {
            let direct = paced(stage, stage.origin, "http", "--h1", scale).await?;
            for (at, peer) in stage.turns(round) {
                let times = paced(stage, peer.address, "https", protocol, scale).await?;
                for (samples, part) in [(&mut p50, 0.5), (&mut p99, 0.99)] {
                    samples.add(
                        at,
                        quantile(times.clone(), part) - quantile(direct.clone(), part),
                    );
                }
            }
        }
        let rows = stage.peers.iter().enumerate().map(|(at, peer)| {
            let cells = [&p50, &p99].map(|samples| format!("{:.0}", samples.median(at)));
            (peer.name.to_owned(), cells.to_vec())
        });
        table::print(
            title,
            &["added p50 µs", "added p99 µs"],
            &rows.collect::<Vec<_>>(),
        );
    }
    Ok(())
}

/// Microseconds of each request.
async fn paced(
    stage: &Stage,
    address: SocketAddr,
    scheme: &str,
    protocol: &str,
    scale: &Scale,
) -> anyhow::Result<Vec<f64>> {
    let log = stage.directory.path().join("requests.tsv");
    let url = format!("{scheme}://{address}{PREFIX}/small");
    let mut load = load(stage, scale.paced_requests);
    load.args([protocol, "-c10", "--rps=100"])
        .arg("--log-file")
        .arg(&log)
        .arg(url);
    well(&mut load, scale.paced_requests).await?;
    let times = times(&log).await;
    tokio::fs::remove_file(&log).await?;
    times
}

pub(crate) async fn times(log: &Path) -> anyhow::Result<Vec<f64>> {
    let text = tokio::fs::read_to_string(log).await?;
    text.lines()
        .map(|line| Ok(line.split('\t').nth(2).context("no time")?.parse()?))
        .collect()
}
