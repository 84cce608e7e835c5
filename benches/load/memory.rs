//! Resident memory of a peer with WebSockets open through it, before and after they carried something.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::process::Process;
use crate::scale::Scale;
use crate::sockets::{Socket, open, pass};
use crate::stage::{Stage, names};
use crate::table;

/// More than every buffer on the way.
static LOAD: [u8; 64 << 10] = [b'l'; 64 << 10];

const PASSING_AT_ONCE: usize = 16;

pub(crate) async fn measure(scale: &Scale) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for name in names(scale) {
        // A fresh process: what was freed before would hide what is taken now.
        let stage = Stage::of(name).await?;
        rows.push((name.to_owned(), of(&stage, scale).await?));
        stage.end().await?;
    }
    let mut columns = vec!["nothing open, MiB".to_owned()];
    columns.extend(
        scale
            .idle_sockets
            .iter()
            .map(|n| format!("{n} idle, KiB each")),
    );
    columns.push("after 64 KiB each way, KiB each".to_owned());
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    table::print("Resident memory of WebSockets over TLS", &columns, &rows);
    Ok(())
}

async fn of(stage: &Stage, scale: &Scale) -> anyhow::Result<Vec<String>> {
    let Some(peer) = stage.peers.first() else {
        return Ok(Vec::new());
    };
    // What the first sockets of a process allocate for all.
    drop(open(stage, Some(peer), 0..32).await?);
    let empty = settled(&peer.process).await?;
    let mut cells = vec![format!("{:.1}", mebibytes(empty))];
    let mut sockets: Vec<Socket> = Vec::new();
    for count in &scale.idle_sockets {
        sockets.extend(open(stage, Some(peer), sockets.len()..*count).await?);
        cells.push(each(&peer.process, empty, sockets.len()).await?);
    }
    let passing = sockets
        .iter_mut()
        .map(|socket| pass(socket, Bytes::from_static(&LOAD)));
    stream::iter(passing)
        .buffer_unordered(PASSING_AT_ONCE)
        .try_collect::<()>()
        .await?;
    cells.push(each(&peer.process, empty, sockets.len()).await?);
    Ok(cells)
}

async fn each(process: &Process, empty: u64, sockets: usize) -> anyhow::Result<String> {
    let now = settled(process).await?;
    let kib = u32::try_from(now.saturating_sub(empty))?;
    Ok(format!("{:.1}", table::per(kib.into(), sockets)))
}

/// Once it has stopped changing.
async fn settled(process: &Process) -> anyhow::Result<u64> {
    let mut before = process.resident_kib()?;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = process.resident_kib()?;
        if now.abs_diff(before) <= 64 {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}

#[expect(clippy::cast_precision_loss, reason = "memory of a machine")]
fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}
