//! `LiteLLM`'s proxy, one worker, without a database: a key that is compared, and the way upstream.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bare::free_address;
use crate::process::Process;

pub(crate) const KEY: &str = "sk-litellm-bench";

/// Python reads a long time before it listens.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where `benches/run` puts it.
pub(crate) fn program() -> Option<PathBuf> {
    let this = std::env::current_exe().ok()?;
    this.ancestors()
        .map(|directory| directory.join("bench/litellm/bin/litellm"))
        .find(|path| path.exists())
}

pub(crate) async fn start(
    program: &Path,
    upstream: SocketAddr,
    directory: &Path,
) -> anyhow::Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let path = directory.join("litellm.yaml");
    let settings = format!(
        "model_list:\n\
         \x20 - {{model_name: bench, litellm_params: {{model: openai/bench, api_base: 'http://{upstream}/v1', api_key: none}}}}\n\
         general_settings: {{master_key: {KEY}}}\n"
    );
    tokio::fs::write(&path, settings).await?;
    let log = directory.join("log");
    let port = address.port().to_string();
    // Prices of models come with the package; nothing is fetched.
    let arguments = [
        "LITELLM_LOCAL_MODEL_COST_MAP=True".as_ref(),
        "LITELLM_LOG=ERROR".as_ref(),
        program.as_os_str(),
        "--config".as_ref(),
        path.as_os_str(),
        "--host".as_ref(),
        "127.0.0.1".as_ref(),
        "--port".as_ref(),
        port.as_ref(),
        "--num_workers".as_ref(),
        "1".as_ref(),
        "--telemetry".as_ref(),
        "False".as_ref(),
    ];
    let process = Process::program("/usr/bin/env".as_ref(), &arguments, &log)?;
    let begin = tokio::time::Instant::now();
    while tokio::net::TcpStream::connect(address).await.is_err() {
        anyhow::ensure!(
            begin.elapsed() < PATIENCE,
            "LiteLLM does not start: {}",
            std::fs::read_to_string(log)?
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok((process, address))
}
