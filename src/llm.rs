//! What is known of the wire formats of language models: requests, usage, streams, errors; nothing more.
//!
//! Bytes in, bytes and facts out: nothing here waits, reads a clock or opens a socket. A request is read
//! once ([`read`]) and sent with [`Prepared::body`]. A stream goes through a [`Watch`] to a client that
//! asked for one and into an [`Assembly`] for one that did not; both say in a [`Report`] what it cost.

mod assembly;
mod endpoint;
mod error;
mod event;
mod json;
mod merge;
mod messages;
mod report;
mod request;
#[cfg(test)]
mod spoken;
mod sse;
mod upstream;
mod usage;
mod watch;
mod words;

pub use assembly::Assembly;
pub use endpoint::{Dialect, Endpoint};
pub use error::{ErrorWords, error_body};
pub use report::Report;
pub use request::{BadRequest, Policy, Prepared, read};
pub use upstream::{Fault, UpstreamError};
pub use watch::Watch;
