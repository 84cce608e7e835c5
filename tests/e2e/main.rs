//! The story of a participant, in a real browser, with a real Docker.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod bad_days;
mod gateway;
mod host;
mod limits_redis;
mod runtime;
mod service;
mod story;
