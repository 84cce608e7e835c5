//! Mechanisms of identity: random tokens, keys, their hashes, cookies. It decides nothing about rights.

pub mod cookie;
pub mod editor;
pub mod key;
pub mod token;
