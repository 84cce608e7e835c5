//! Every limit of the listeners, with its default, in one place.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

/// Descriptors kept back for files, the store, the runtime's socket and the routers' listeners.
const DESCRIPTORS_RESERVED: u64 = 1_536;

/// A public connection, and its request's to an editor.
const DESCRIPTORS_EACH: u64 = 2;

/// Of all descriptors, what connections to editors that wait for the next request may take.
const IDLE_SHARE: u64 = 64;

/// Of all descriptors, what the connections of one router's listener may take; there are five.
const ROUTER_SHARE: u64 = 16;

/// What a connection may cost. A limit that was met ends the connection or answers with a status;
/// nothing waits for ever.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections of one public listener. The next one is closed at once.
    pub connections_max: usize,
    /// Open connections of one router's listener. Counted apart, so that a flood at the public door
    /// never keeps the organizers out at theirs.
    pub router_connections_max: usize,
    /// Open connections of one peer address (IPv6: one /64). At a venue everybody may share one
    /// address, so the default only stops a single machine from taking everything.
    pub connections_per_address_max: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the handshake, or from a later request's first byte, to the end of the request's head,
    /// however slowly its bytes drip.
    pub head_timeout: Duration,
    /// Request line and headers of HTTP/1; the header list of HTTP/2. Answered with 431.
    pub head_bytes_max: usize,
    /// Path and query. Answered with 414.
    pub uri_bytes_max: usize,
    /// A connection without a request in flight.
    pub idle_timeout: Duration,
    /// A body that makes no progress, in either direction.
    pub stall_timeout: Duration,
    /// Reading off what is left of a request's body that nobody wanted.
    pub leftover_timeout: Duration,
    /// Streams of one HTTP/2 connection at the same time.
    pub h2_streams_max: u32,
    /// An upload's window; the protocol's 64 KiB crawl on a long link. What a client may make us
    /// hold is the connection's window times the connections.
    pub h2_stream_window_bytes: u32,
    pub h2_connection_window_bytes: u32,
    /// What one HTTP/2 response may hold of bytes that the client does not take.
    pub h2_send_buffer_bytes: usize,
    /// Requests and WebSockets that are with editors at the same time, of everybody: one HTTP/2
    /// connection could open a hundred of them, and each takes a descriptor. Answered with 503.
    pub upstreams_max: u32,
    /// The same for one instance. Answered with 503.
    pub upstreams_per_instance_max: u32,
    /// Connections to editors that are kept for the next request. The oldest makes room.
    pub idle_upstreams_max: usize,
    /// Between the end of accepting and the end of idle connections: a connection that was accepted
    /// a moment ago may have its request under way.
    pub settle_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            router_connections_max: 1_024,
            connections_per_address_max: 4_096,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(15),
            head_bytes_max: 64 << 10,
            uri_bytes_max: 16 << 10,
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_mins(1),
            leftover_timeout: Duration::from_secs(5),
            h2_streams_max: 100,
            h2_stream_window_bytes: 512 << 10,
            h2_connection_window_bytes: 1 << 20,
            h2_send_buffer_bytes: 64 << 10,
            upstreams_max: 16_384,
            upstreams_per_instance_max: 1_024,
            idle_upstreams_max: 4_096,
            settle_time: Duration::from_millis(500),
        }
    }
}

impl Limits {
    /// No more connections than the process has descriptors for.
    #[must_use]
    pub fn within_descriptors(self) -> Self {
        match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((soft, _)) => self.within(soft),
            Err(_) => self,
        }
    }

    fn within(mut self, descriptors: u64) -> Self {
        let idle = descriptors / IDLE_SHARE;
        let kept_back = DESCRIPTORS_RESERVED + idle;
        let room = descriptors.saturating_sub(kept_back) / DESCRIPTORS_EACH;
        let room = usize::try_from(room).unwrap_or(usize::MAX).max(64);
        self.connections_max = self.connections_max.min(room);
        let routers = usize::try_from(descriptors / ROUTER_SHARE).unwrap_or(usize::MAX);
        self.router_connections_max = self.router_connections_max.min(routers.max(16));
        let upstreams = u32::try_from(room).unwrap_or(u32::MAX);
        self.upstreams_max = self.upstreams_max.min(upstreams);
        let idle = usize::try_from(idle).unwrap_or(usize::MAX);
        self.idle_upstreams_max = self.idle_upstreams_max.min(idle.max(16));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        let within = Limits::default().within(20_000);
        assert_eq!(within.connections_max, 9_076);
        assert_eq!(within.upstreams_max, 9_076);
        assert_eq!(within.idle_upstreams_max, 312);
        assert_eq!(Limits::default().within(4_096).router_connections_max, 256);
        assert_eq!(Limits::default().within(1 << 20).connections_max, 16_384);
        assert_eq!(Limits::default().within(1_024).connections_max, 64);
    }
}
