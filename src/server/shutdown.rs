//! When to stop, and in which order.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// How long requests in flight may take to finish. Open WebSockets take all of it: browsers
/// reconnect by themselves, and the sooner the next process is there the sooner they do.
pub(super) const DRAIN: Duration = Duration::from_secs(2);

/// How long the loops behind the doors may take to write down what they know.
pub(super) const SETTLE: Duration = Duration::from_secs(5);

/// Returns when the process is told to end.
pub(super) async fn requested() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
