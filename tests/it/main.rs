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
mod configuration;
mod crossing;
mod documents;
mod fairness;
mod fronted;
mod gateway;
mod habits;
mod hardening;
mod identity;
mod keys;
mod limiter;
mod limits;
mod malformed;
mod multiplexed;
mod portal;
mod proxying;
mod records;
mod recovery;
mod refusals;
mod runtime;
mod store;
mod support;
mod tls;
mod usage;
mod websocket;
