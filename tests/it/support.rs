//! The language of the integration tests.

pub mod client;
pub mod origin;
pub mod proxy;
