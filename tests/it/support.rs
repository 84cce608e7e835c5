//! The language of the integration tests.

pub(crate) mod client;
pub(crate) mod contract;
pub(crate) mod disk;
pub(crate) mod doors;
pub(crate) mod frames;
pub(crate) mod gate;
pub(crate) mod log;
pub(crate) mod model;
pub(crate) mod origin;
pub(crate) mod proxy;
pub(crate) mod sources;
pub(crate) mod world;
