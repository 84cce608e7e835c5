//! The model and the ways to it, all running at the same time.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use tempfile::TempDir;

use super::{LONG, SHORT, litellm, pipe};
use crate::process::Process;
use crate::scale::Scale;
use crate::stage::open_to_all;

/// The first one is the model itself.
pub(super) const NAMES: [&str; 4] = ["the model itself", "nginx", "THON", "LiteLLM"];

/// What a chat of some length weighs.
const PROMPT_BYTES: usize = 1_000;

pub(super) struct Peers {
    pub(super) all: Vec<Peer>,
    pub(super) directory: TempDir,
    /// Bodies of requests, in files.
    pub(super) plain: PathBuf,
    pub(super) short: PathBuf,
    pub(super) long: PathBuf,
}

pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) process: Process,
    /// One a participant; nobody else asks for one.
    keys: Vec<String>,
    pub(super) is_slow: bool,
}

impl Peer {
    pub(super) fn url(&self) -> String {
        format!("http://{}/v1/chat/completions", self.address)
    }

    /// Of the participant who makes this request.
    pub(super) fn key(&self, number: usize) -> &str {
        let at = number.checked_rem(self.keys.len());
        at.and_then(|at| self.keys.get(at))
            .map_or("none", String::as_str)
    }
}

impl Peers {
    pub(super) async fn start(scale: &Scale) -> anyhow::Result<Self> {
        Self::with(|name| scale.wants(short(name))).await
    }

    /// The model and this one, fresh.
    pub(super) async fn of(wanted: &str) -> anyhow::Result<Self> {
        Self::with(|name| name == wanted).await
    }

    async fn with(wanted: impl Fn(&str) -> bool) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("thon-bench-").tempdir()?;
        let at = directory.path();
        open_to_all(at)?;
        let role = ["upstream".as_ref()];
        let process = Process::role(&role, &at.join("upstream.log")).await?;
        let upstream: SocketAddr = process.says.parse()?;
        let mut all = vec![Peer {
            name: NAMES[0],
            address: upstream,
            process,
            keys: Vec::new(),
            is_slow: false,
        }];
        for name in NAMES.into_iter().skip(1).filter(|name| wanted(name)) {
            all.extend(start(name, upstream, at).await?);
        }
        let chat = |words: usize, streams: bool| {
            let prompt = "a word ".repeat(PROMPT_BYTES / 7);
            json!({
                "model": super::upstream::MODEL, "stream": streams, "max_tokens": words,
                "messages": [{"role": "user", "content": prompt}],
            })
        };
        let file = |name: &str, body: serde_json::Value| {
            let path = at.join(name);
            std::fs::write(&path, body.to_string()).map(|()| path)
        };
        let plain = file("plain.json", chat(SHORT, false))?;
        let short = file("short.json", chat(SHORT, true))?;
        let long = file("long.json", chat(LONG, true))?;
        Ok(Self {
            all,
            directory,
            plain,
            short,
            long,
        })
    }

    /// The peers, beginning with another one in every round.
    pub(super) fn turns(&self, round: usize) -> impl Iterator<Item = (usize, &Peer)> {
        let first = round % self.all.len();
        let all = self.all.iter().enumerate();
        all.clone().skip(first).chain(all.take(first))
    }

    pub(super) async fn end(self) -> anyhow::Result<()> {
        for peer in self.all.into_iter().rev() {
            peer.process.end().await?;
        }
        Ok(())
    }
}

/// As `peer=` on the command line spells it.
pub(super) fn short(name: &str) -> &str {
    match name {
        "THON" => "thon",
        "LiteLLM" => "litellm",
        other => other,
    }
}

/// `None`: it is not on this machine.
async fn start(
    name: &'static str,
    upstream: SocketAddr,
    at: &Path,
) -> anyhow::Result<Option<Peer>> {
    let directory = at.join(short(name));
    std::fs::create_dir(&directory)?;
    open_to_all(&directory)?;
    let (process, address, keys) = match name {
        "nginx" => {
            let (process, address) = pipe::start(upstream, &directory).await?;
            (process, address, Vec::new())
        }
        "LiteLLM" => {
            let Some(program) = litellm::program() else {
                println!("\nLiteLLM was left out: benches/run fetches it.");
                return Ok(None);
            };
            let (process, address) = litellm::start(&program, upstream, &directory).await?;
            (process, address, vec![litellm::KEY.to_owned()])
        }
        _ => {
            let upstream = upstream.to_string();
            let role = [
                "thon-gateway".as_ref(),
                upstream.as_ref(),
                directory.as_ref(),
            ];
            let process = Process::role(&role, &directory.join("log")).await?;
            let mut words = process.says.split(' ').map(str::to_owned);
            let address = words.next().context("an address")?.parse()?;
            let keys = words.collect();
            (process, address, keys)
        }
    };
    Ok(Some(Peer {
        name,
        address,
        process,
        keys,
        is_slow: name == "LiteLLM",
    }))
}
