//! One binary of integration tests; files by capability.

// The lints that allow a test to panic look for `cfg(test)`, also around its helpers.
#[cfg(test)]
mod bridge;
#[cfg(test)]
mod hardening;
#[cfg(test)]
mod proxying;
#[cfg(test)]
mod support;
#[cfg(test)]
mod websocket;
