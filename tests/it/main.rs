//! One binary of integration tests; files by capability.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod admin;
mod appliance;
mod architecture;
mod bad_days;
mod bridge;
mod catalogue;
mod cli;
mod config_files;
mod hardening;
mod identity;
mod portal;
mod proxying;
mod recovery;
mod runtime;
mod support;
mod websocket;
