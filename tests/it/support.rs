//! The language of the tests.

pub(crate) mod contract;
pub(crate) mod doors;
pub(crate) mod world;
