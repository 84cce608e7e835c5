//! The words of the product: plain data and its rules; no I/O, no clock, no async.

pub mod address;
pub mod audit;
pub mod health;
pub mod id;
pub mod instance;
pub mod invite;
pub mod key;
pub mod model;
pub mod network;
pub mod quota;
pub mod secret;
pub mod session;
pub mod set_limits;
pub mod tally;
pub mod usage;
pub mod user;
pub mod workspace;
