//! Mechanisms of identity: random tokens, their hashes, cookies. It decides nothing about rights.

pub mod cookie;
pub mod editor;
pub mod token;
