//! One binary of integration tests; files by capability.
