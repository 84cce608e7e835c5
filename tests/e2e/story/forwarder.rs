//! `Forwarder`: a socket in front of Docker's that can go away and come back.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, chown};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

const DOCKER: &str = "/var/run/docker.sock";

pub(crate) struct Forwarder {
    directory: TempDir,
    tasks: Option<JoinSet<()>>,
}

impl Forwarder {
    /// Docker is away.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        Self {
            directory,
            tasks: None,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// Docker is there, for whom it is there otherwise.
    pub(crate) fn begin(&mut self) {
        let path = self.path();
        let listener = UnixListener::bind(&path).unwrap();
        let like = std::fs::metadata(DOCKER).expect("Docker runs; tests/setup starts it");
        chown(&path, None, Some(Gid::from_raw(like.gid()))).unwrap();
        std::fs::set_permissions(&path, like.permissions()).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener));
        self.tasks = Some(tasks);
    }

    /// Docker goes away in the middle of whatever it was asked.
    pub(crate) async fn end(&mut self) {
        self.tasks.take().unwrap().shutdown().await;
        std::fs::remove_file(self.path()).unwrap();
    }
}

async fn accept(listener: UnixListener) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut docker = UnixStream::connect(Path::new(DOCKER)).await.unwrap();
            copy_bidirectional(&mut client, &mut docker).await.ok();
        });
    }
}
