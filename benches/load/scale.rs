//! How long a run takes, and which of its parts are wanted.

use std::time::Duration;

use anyhow::bail;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const PARTS: [&str; 6] = ["http", "latency", "echo", "memory", "gateway", "launch"];

/// Descriptors that a proxy needs besides two a socket.
const DESCRIPTORS_RESERVED: u64 = 2_000;

#[derive(Debug)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    pub(crate) small_requests: usize,
    pub(crate) big_requests: usize,
    pub(crate) paced_requests: usize,
    /// Echoing at the same time through every peer.
    pub(crate) sockets: usize,
    pub(crate) echo_time: Duration,
    /// Open through one peer while its memory is looked at.
    pub(crate) idle_sockets: Vec<usize>,
    /// Answers of a language model at the same time, and how many words each has.
    pub(crate) streams: usize,
    pub(crate) stream_words: usize,
    pub(crate) containers: usize,
    parts: Vec<&'static str>,
    /// Only these peers; everybody if it is empty.
    peers: Vec<String>,
}

impl Scale {
    /// `--quick`, names of parts, and `peer=NAME`.
    pub(crate) fn of(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut scale = Self::full();
        for argument in arguments {
            if *argument == "--quick" {
                scale = Self {
                    parts: scale.parts,
                    peers: scale.peers,
                    ..Self::quick()
                };
            } else if let Some(peer) = argument.strip_prefix("peer=") {
                scale.peers.push(peer.to_owned());
            } else if let Some(part) = PARTS.iter().find(|part| *part == argument) {
                scale.parts.push(part);
            } else {
                bail!(
                    "`{argument}` is none of --quick, peer=NAME, {}",
                    PARTS.join(", ")
                );
            }
        }
        Ok(scale)
    }

    fn full() -> Self {
        let most = sockets_max();
        Self {
            rounds: 7,
            small_requests: 20_000,
            big_requests: 4_000,
            paced_requests: 2_000,
            sockets: 1_000,
            echo_time: Duration::from_secs(2),
            idle_sockets: vec![1_000, most.min(9_000)],
            streams: 1_000,
            stream_words: 15,
            containers: 50,
            parts: Vec::new(),
            peers: Vec::new(),
        }
    }

    fn quick() -> Self {
        Self {
            rounds: 2,
            small_requests: 5_000,
            big_requests: 1_000,
            paced_requests: 500,
            sockets: 200,
            echo_time: Duration::from_secs(1),
            idle_sockets: vec![500],
            streams: 200,
            stream_words: 5,
            containers: 5,
            ..Self::full()
        }
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    /// Chats a round; some peers would take all day for as many as the others answer.
    pub(crate) fn asked(&self, is_slow: bool) -> usize {
        self.small_requests / if is_slow { 40 } else { 4 }
    }

    pub(crate) fn wants(&self, peer: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|wanted| wanted == peer)
    }
}

/// A proxied socket takes two descriptors.
fn sockets_max() -> usize {
    let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    let room = most.saturating_sub(DESCRIPTORS_RESERVED) / 2;
    usize::try_from(room).unwrap_or(usize::MAX).max(100)
}

pub(crate) fn raise_descriptor_limit() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
