//! Router of `/v1`.
