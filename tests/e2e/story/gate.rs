//! `Gate`: a socket in front of Docker's that holds one request that changes something: before Docker
//! has heard it, or before its answer is heard.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use nix::unistd::{Gid, chown};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const DOCKER: &str = "/var/run/docker.sock";
const CHANGES: [&[u8]; 3] = [b"POST /", b"PUT /", b"DELETE /"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

#[derive(Default)]
struct Watch {
    /// How many changes still pass, and when the next one is held.
    hold: Option<(usize, Moment)>,
    /// The request that is to be held.
    held: Option<String>,
    /// It is.
    is_held: bool,
}

#[derive(Clone, Default)]
struct Shared {
    watch: Arc<Mutex<Watch>>,
    notify: Arc<Notify>,
}

pub(crate) struct Gate {
    directory: TempDir,
    shared: Shared,
    _tasks: JoinSet<()>,
}

impl Gate {
    pub(crate) fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let path = directory.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let like = std::fs::metadata(DOCKER).expect("Docker runs; tests/setup starts it");
        chown(&path, None, Some(Gid::from_raw(like.gid()))).unwrap();
        std::fs::set_permissions(&path, like.permissions()).unwrap();
        let shared = Shared::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Self {
            directory,
            shared,
            _tasks: tasks,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// Holds the change after so many others.
    pub(crate) fn hold(&self, after: usize, moment: Moment) {
        let mut watch = self.shared.watch.lock();
        watch.hold = Some((after, moment));
        watch.held = None;
        watch.is_held = false;
    }

    /// Says which one was held, if it came to that.
    pub(crate) fn let_pass(&self) -> Option<String> {
        let mut watch = self.shared.watch.lock();
        watch.hold = None;
        let is_held = std::mem::take(&mut watch.is_held);
        watch.held.take().filter(|_| is_held)
    }

    pub(crate) async fn holds(&self) {
        loop {
            let notified = self.shared.notify.notified();
            if self.shared.watch.lock().is_held {
                return;
            }
            notified.await;
        }
    }
}

impl Shared {
    fn hold(&self) {
        self.watch.lock().is_held = true;
        self.notify.notify_waiters();
    }

    /// Is this the one? A request begins with its method, and clients send its head in one piece.
    fn is_held(&self, bytes: &[u8]) -> Option<Moment> {
        if !CHANGES.iter().any(|change| bytes.starts_with(change)) {
            return None;
        }
        let mut watch = self.watch.lock();
        let (after, moment) = watch.hold?;
        if after > 0 {
            watch.hold = Some((after - 1, moment));
            return None;
        }
        watch.hold = None;
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap();
        watch.held = Some(String::from_utf8_lossy(line).into_owned());
        drop(watch);
        Some(moment)
    }
}

async fn accept(listener: UnixListener, shared: Shared) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass(client, shared.clone()));
    }
}

async fn pass(client: UnixStream, shared: Shared) {
    let docker = UnixStream::connect(DOCKER).await.unwrap();
    let ((from_client, to_client), (from_docker, to_docker)) =
        (client.into_split(), docker.into_split());
    let holding = Arc::new(Mutex::new(false));
    tokio::join!(
        ask(from_client, to_docker, &shared, &holding),
        answer(from_docker, to_client, &shared, &holding),
    );
}

async fn ask(
    mut client: OwnedReadHalf,
    mut docker: OwnedWriteHalf,
    shared: &Shared,
    holding: &Mutex<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length) = client.read(&mut buffer).await
        && length > 0
    {
        let bytes = &buffer[..length];
        match shared.is_held(bytes) {
            Some(Moment::Before) => {
                shared.hold();
                // Until the client is dead.
                while client.read(&mut buffer).await.is_ok_and(|more| more > 0) {}
                return;
            }
            Some(Moment::After) => *holding.lock() = true,
            None => {}
        }
        if docker.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn answer(
    mut docker: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    shared: &Shared,
    holding: &Mutex<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length) = docker.read(&mut buffer).await
        && length > 0
    {
        if *holding.lock() {
            shared.hold();
            // Nobody hears the rest.
            while docker.read(&mut buffer).await.is_ok_and(|more| more > 0) {}
            return;
        }
        if client.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
