//! The public door: classifies each request and proxies sandboxes.
