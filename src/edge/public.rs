//! Serving connections with pingora's HTTP proxy.

use std::sync::Arc;

use pingora::apps::{HttpServerApp, ServerApp as _};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use tokio::sync::watch;

use super::accept::Serve;
use super::connection::Connection;
use super::limits::Limits;
use super::stream::EdgeStream;

/// A pingora application and its view of the shutdown.
pub(super) struct Application<A> {
    pub(super) app: Arc<A>,
    pub(super) shutdown: watch::Receiver<bool>,
}

impl<A: HttpServerApp + Send + Sync + 'static> Serve for Application<A> {
    async fn serve(&self, stream: EdgeStream) {
        match stream.gathering().with_digest() {
            Ok(stream) => {
                self.app.process_new(Box::new(stream), &self.shutdown).await;
            }
            Err(error) => tracing::error!(%error, "cannot describe a connection to pingora"),
        }
    }
}

/// The connection that a session's request came on.
pub fn connection_of(session: &ServerSession) -> Option<&Arc<Connection>> {
    session
        .digest()?
        .proxy_digest
        .as_ref()?
        .user_data
        .as_ref()?
        .downcast_ref()
}

impl Limits {
    /// From pingora's defaults: a fresh builder would lose its bounds on streams and header lists.
    /// Extended CONNECT stays off, so browsers open WebSockets on HTTP/1.1 connections.
    pub fn h2_options(&self) -> H2Options {
        let mut options = default_h2_options();
        options
            .max_concurrent_streams(self.h2_streams_max)
            .max_header_list_size(u32::try_from(self.head_bytes_max).unwrap_or(u32::MAX))
            .initial_window_size(self.h2_stream_window_bytes)
            .initial_connection_window_size(self.h2_connection_window_bytes)
            .max_send_buffer_size(self.h2_send_buffer_bytes);
        options
    }
}
