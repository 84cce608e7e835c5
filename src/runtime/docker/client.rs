//! One call to Docker with its deadline; connects on first use and again after a failure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as DockerError;
use parking_lot::Mutex;

use super::daemon;
use super::failure::Failure;

/// The oldest API that this adapter was tested with: Docker 20.10.
const API_MIN: (u32, u32) = (1, 41);
/// Above every deadline of ours: those are the ones that count.
const TRANSPORT_TIMEOUT_S: u64 = 600;
const CONNECT_DEADLINE: Duration = Duration::from_secs(15);

/// A handle; clones share the connection's state.
#[derive(Clone)]
pub(super) struct Client {
    socket: Arc<PathBuf>,
    known: Arc<Mutex<Option<Known>>>,
}

/// Docker, once it has said who it is.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) api: bollard::Docker,
    pub(super) cores: u32,
    pub(super) open_files: u64,
}

impl Client {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            socket: Arc::new(socket),
            known: Arc::new(Mutex::new(None)),
        }
    }

    /// Asks once, within the deadline. Dropping the answer does not undo what Docker has begun:
    /// callers repeat, and every repetition finds what is there.
    pub(super) async fn call<T, F>(
        &self,
        deadline: Duration,
        request: impl FnOnce(bollard::Docker) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, DockerError>>,
    {
        let known = self.known().await?;
        let answer = match tokio::time::timeout(deadline, request(known.api)).await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::late(deadline)),
        };
        if matches!(answer, Err(Failure::Unreachable(_))) {
            // It may come back as another version.
            *self.known.lock() = None;
        }
        answer
    }

    pub(super) async fn known(&self) -> Result<Known, Failure> {
        let known = self.known.lock().clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let known = tokio::time::timeout(CONNECT_DEADLINE, self.connect())
            .await
            .map_err(|_| Failure::late(CONNECT_DEADLINE))??;
        *self.known.lock() = Some(known.clone());
        Ok(known)
    }

    /// bollard leaves the version out of its requests, so the daemon speaks its own newest one;
    /// all that is to be settled is whether that is new enough.
    async fn connect(&self) -> Result<Known, Failure> {
        let api = bollard::Docker::connect_with_unix(
            &self.socket.to_string_lossy(),
            TRANSPORT_TIMEOUT_S,
            bollard::API_DEFAULT_VERSION,
        )?;
        let version = api.version().await?;
        let spoken = version.api_version.unwrap_or_default();
        if parsed(&spoken).is_none_or(|spoken| spoken < API_MIN) {
            return Err(Failure::Refused(format!(
                "Docker {} is too old: version 20.10 or newer is needed",
                version.version.unwrap_or_default()
            )));
        }
        let cores = api.info().await?.ncpu.unwrap_or(1);
        Ok(Known {
            api,
            cores: u32::try_from(cores).unwrap_or(1).max(1),
            open_files: daemon::open_files(&self.socket).await,
        })
    }
}

fn parsed(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(parsed("1.41").unwrap() >= API_MIN);
        assert!(parsed("1.100").unwrap() >= API_MIN);
        assert!(parsed("1.9").unwrap() < API_MIN);
        assert_eq!(parsed("one"), None);
    }
}
