//! The composition root: `Config` to running services.
