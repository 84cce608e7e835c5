//! The built program as an organizer starts it and as participants meet it.
//!
//! Each story has an appliance of its own: directories, ports, network, containers, volumes. It takes
//! them along when it ends, also when it fails, and then tells the end of the appliance's log.

pub(crate) mod appliance;
mod browser;
mod ca;
mod docker;
mod door;
mod editor;
mod forwarder;
mod fronted;
mod gate;
mod keys;
mod killed;
mod lifecycle;
pub(crate) mod machine;
mod organizer;
mod participant;
mod walls;

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Two cores are not enough for two stories with deadlines.
static ALONE: Mutex<()> = Mutex::const_new(());

pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks again and again; gives back what was seen and how long it took. `Err` says what is missing.
pub(crate) async fn until<T>(
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> (T, Duration) {
    let started = Instant::now();
    loop {
        match look().await {
            Ok(seen) => return (seen, started.elapsed()),
            Err(missing) if started.elapsed() > patience => {
                panic!("not within {patience:?}: {missing}")
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// For numbers worth knowing; shown with `--nocapture` and when a test fails.
#[expect(clippy::print_stderr, reason = "the test runner captures it")]
pub(crate) fn tell(text: &str) {
    eprintln!("{text}");
}
