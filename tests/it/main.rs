//! One binary of integration tests; files by capability.
mod runtime;
mod support;
