//! What the service manager is told: that the listeners accept, that we live, that we end.
//!
//! Without one, there is nobody to tell and nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// The listeners accept; `text` is what `systemctl status` shows.
pub(super) fn ready(text: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(text)]);
}

pub(super) fn stopping() {
    let text = NotifyState::Status("finishing what is under way");
    tell(&[NotifyState::Stopping, text]);
}

/// Why there was no start.
pub(super) fn failed(text: &str) {
    // A second line would be taken for something else that is told.
    let line = text.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    tell(&[NotifyState::Status(&line)]);
}

/// A sign of life at half of the time after which the manager would start us anew. It comes from a
/// task like every other: workers that are all stuck send none.
pub(super) async fn live(shutdown: CancellationToken) {
    let mut limit_us = 0;
    if !sd_notify::watchdog_enabled(false, &mut limit_us) {
        return;
    }
    let every = (Duration::from_micros(limit_us) / 2).max(Duration::from_millis(100));
    loop {
        tell(&[NotifyState::Watchdog]);
        let pause = tokio::time::sleep(every);
        if shutdown.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::warn!("the service manager was not told: {error}");
    }
}
