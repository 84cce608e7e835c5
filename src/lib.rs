//! Map of the crate: the floors, and what may depend on what.
//!
//! ```text
//!  6  cli                                    one file a command; `run` hands over to server
//!  5  server                                 the composition root: the only place that knows everybody
//!  4  proxy | gateway | portal | admin       the front doors
//!  3  control | api                          use cases | wire types of the admin API
//!  2  store runtime routing limiter llm lemonade host auth tls edge telemetry   the parts: each knows one outside thing
//!  1  config                                 validated settings, plain structs
//!  0  domain                                 words and rules: no I/O, no clock, no async
//! ```
//!
//! A module uses lower floors only, never its own; `tests/it/architecture.rs` fails otherwise.

// 0
pub mod domain;
// 1
pub mod config;
// 2
pub mod auth;
pub mod edge;
pub mod host;
pub mod lemonade;
pub mod limiter;
pub mod llm;
pub mod routing;
pub mod runtime;
pub mod store;
pub mod telemetry;
pub mod tls;
// 3
pub mod api;
pub mod control;
// 4
pub mod admin;
pub mod gateway;
pub mod portal;
pub mod proxy;
// 5
pub mod server;
// 6
pub mod cli;
