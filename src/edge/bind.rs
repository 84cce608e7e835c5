//! Listening sockets: bound before anything is served, with errors that say what to do.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};

/// The kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4_096;

/// Why nothing listens there.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("{0} is in use by another program")]
    InUse(Place),
    /// A port below 1024, or a directory, without the right to it.
    #[error("no permission to listen on {0}")]
    Forbidden(Place),
    /// The address is not one of this machine's; it may become one.
    #[error("{0} is not an address of this machine")]
    Absent(Place),
    #[error("cannot listen on {0}: {1}")]
    Other(Place, io::Error),
}

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A socket that listens; nothing is accepted before it is served.
#[derive(Debug)]
pub struct Bound {
    pub(super) socket: Socket,
    place: Place,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    /// With the port that the kernel chose, if it was asked to.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// `None` for a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self.place {
            Place::Tcp(address) => Some(address),
            Place::Unix(_) => None,
        }
    }
}

/// Binds a TCP address; port 0 lets the kernel choose.
pub fn bind(address: SocketAddr) -> Result<Bound, BindError> {
    let place = Place::Tcp(address);
    listen(address).map_err(|error| refused(place, error))
}

fn listen(address: SocketAddr) -> io::Result<Bound> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let place = Place::Tcp(listener.local_addr()?);
    Ok(Bound {
        socket: Socket::Tcp(listener),
        place,
    })
}

/// Binds a unix socket with mode 0600, in place of one that a dead process left behind. The caller
/// gives a directory of its own (0700): between bind and chmod the directory keeps others out.
pub async fn bind_unix(path: &Path) -> Result<Bound, BindError> {
    let place = Place::Unix(path.to_owned());
    if UnixStream::connect(path).await.is_ok() {
        return Err(BindError::InUse(place));
    }
    listen_unix(path).map_err(|error| refused(place, error))
}

fn listen_unix(path: &Path) -> io::Result<Bound> {
    // Nobody answers there. Only a socket is removed: a file at this path is somebody's mistake.
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Bound {
        socket: Socket::Unix(listener),
        place: Place::Unix(path.to_owned()),
    })
}

fn refused(place: Place, error: io::Error) -> BindError {
    match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(place),
        io::ErrorKind::PermissionDenied => BindError::Forbidden(place),
        io::ErrorKind::AddrNotAvailable => BindError::Absent(place),
        _ => BindError::Other(place, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[tokio::test]
    async fn a_taken_port_and_a_foreign_address_are_told_apart() {
        let first = bind(loopback()).unwrap();
        let taken = first.local_addr().unwrap();
        assert_ne!(taken.port(), 0);
        assert!(matches!(bind(taken), Err(BindError::InUse(_))));
        let foreign = "192.0.2.1:0".parse().unwrap();
        assert!(matches!(bind(foreign), Err(BindError::Absent(_))));
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thon.sock");
        let first = bind_unix(&path).await.unwrap();
        assert!(matches!(bind_unix(&path).await, Err(BindError::InUse(_))));
        drop(first);
        bind_unix(&path).await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
