//! A socket in front of Docker's that breaks one request: before Docker sees it, or after it did.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// Which request, by the beginning of its first line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Before(&'static str),
    After(&'static str),
}

impl Cut {
    fn request(self) -> &'static str {
        match self {
            Self::Before(request) | Self::After(request) => request,
        }
    }
}

pub(crate) struct Socket {
    directory: tempfile::TempDir,
    has_cut: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Socket {
    pub(crate) fn listen(cut: Cut) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let has_cut = Arc::new(AtomicBool::new(false));
        let listener = UnixListener::bind(directory.path().join("docker.sock")).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, cut, Arc::clone(&has_cut)));
        Self {
            directory,
            has_cut,
            _tasks: tasks,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    pub(crate) fn has_cut(&self) -> bool {
        self.has_cut.load(Ordering::SeqCst)
    }
}

async fn accept(listener: UnixListener, cut: Cut, has_cut: Arc<AtomicBool>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(carry(client, cut, Arc::clone(&has_cut)));
    }
}

/// bollard makes a connection for every request, so the first line tells all.
async fn carry(mut client: UnixStream, cut: Cut, has_cut: Arc<AtomicBool>) {
    let mut docker = UnixStream::connect("/var/run/docker.sock").await.unwrap();
    let mut buffer = vec![0; 64 << 10];
    let read = client.read(&mut buffer).await.unwrap_or(0);
    let meant = buffer[..read].starts_with(cut.request().as_bytes());
    if meant && !has_cut.swap(true, Ordering::SeqCst) {
        if matches!(cut, Cut::After(_)) {
            docker.write_all(&buffer[..read]).await.unwrap();
            // The body may follow on its own; Docker's answer means that it has done the work.
            let (mut from_client, _keep) = client.split();
            let (mut from_docker, mut to_docker) = docker.split();
            tokio::select! {
                _ = tokio::io::copy(&mut from_client, &mut to_docker) => {}
                _ = from_docker.read(&mut buffer) => {}
            }
        }
        return;
    }
    docker.write_all(&buffer[..read]).await.unwrap();
    drop(copy_bidirectional(&mut client, &mut docker).await);
}
