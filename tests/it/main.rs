//! One binary of integration tests; files by capability.

mod bridge;
mod hardening;
mod proxying;
mod support;
mod websocket;
