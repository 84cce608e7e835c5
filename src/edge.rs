//! Accept loops, handshake, connection limits and deadlines, kill switch, drain; hands streams to whoever serves HTTP.

use std::net::SocketAddr;

/// Who is at the other end of a connection, as a request's extension.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub Option<SocketAddr>);
