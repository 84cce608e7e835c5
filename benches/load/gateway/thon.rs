//! THON's gateway as it is: keys, four limits of tokens, one of requests, fair slots, and the ledger.

use std::net::SocketAddr;
use std::path::Path;

pub(crate) fn run(_upstream: SocketAddr, _directory: &Path) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
