//! The language of the integration tests.

pub(crate) mod client;
pub(crate) mod origin;
pub(crate) mod proxy;
