//! What the proxy costs beside a bare pingora proxy and nginx: one run, one table.
//!
//! `benches/run` starts it. The peers take turns within each round, the table gives medians, and the
//! figure that counts is CPU a request: it survives a noisy machine, throughput does not.

#![expect(clippy::print_stdout, reason = "the tables are what it is for")]

mod appliance;
mod bare;
mod gateway;
mod http;
mod launch;
mod memory;
mod nginx;
mod origin;
mod process;
mod scale;
mod sockets;
mod stage;
mod table;
mod tls;

use anyhow::Context as _;

use scale::Scale;
use stage::Stage;

fn main() -> anyhow::Result<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    thon::tls::install_provider();
    scale::raise_descriptor_limit()?;
    match arguments.as_slice() {
        // Cargo adds `--test` when it only wants to know that the program starts.
        ["--test"] => Ok(()),
        // The peers are children of the bench: each its own process with its own account.
        ["origin"] => origin::run(),
        ["bare", origin, directory] => bare::run(origin.parse()?, directory.as_ref()),
        ["thon", origin, directory] => appliance::run(origin.parse()?, directory.as_ref()),
        ["upstream"] => gateway::upstream::run(),
        ["thon-gateway", upstream, directory] => {
            gateway::thon::run(upstream.parse()?, directory.as_ref())
        }
        ["launch-of", count, directory] => launch::run(count.parse()?, directory.as_ref()),
        rest => measure(Scale::of(rest)?),
    }
}

fn measure(scale: Scale) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    runtime.block_on(async {
        if scale.has("http") || scale.has("latency") || scale.has("echo") {
            let stage = Stage::set(&scale).await?;
            if scale.has("http") {
                http::cost(&stage, &scale).await?;
            }
            if scale.has("latency") {
                http::latency(&stage, &scale).await?;
            }
            if scale.has("echo") {
                sockets::echo(&stage, &scale).await?;
            }
            stage.end().await?;
        }
        if scale.has("memory") {
            memory::measure(&scale).await?;
        }
        if scale.has("gateway") {
            gateway::measure(&scale).await?;
        }
        if scale.has("launch") {
            launch::measure(&scale).await?;
        }
        Ok(())
    })
}
