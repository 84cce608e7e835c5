//! The way to the language model: where the models are, who may use them, and how much.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::domain::model::ModelName;
use crate::domain::quota::Limits;
use crate::domain::secret::Secret;

/// The listener for programs inside instances and on the host, and what is behind it.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its port is also used on the instances' bridge.
    pub listen: SocketAddr,
    /// Whether participants get keys, and anybody an answer.
    pub enabled: bool,
    pub mode: KeyMode,
    pub limits: Limits,
    /// The greater one is served first, where models wait for each other.
    pub priorities: BTreeMap<ModelName, i32>,
    pub models: Vec<OfferedModel>,
    pub backends: Vec<BackendAddress>,
    pub redis: Option<Redis>,
    pub output_max: u64,
    /// Of one participant.
    pub queued_max: u32,
    pub body_bytes_max: usize,
    pub usage_days: u32,
}

/// Who has a key for the model, and its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMode {
    PerUser,
    PerGroup,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedModel {
    /// As its server calls it.
    pub name: String,
    pub alias: Option<String>,
}

/// A server of language models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendAddress {
    /// Without a path.
    pub url: String,
    pub api_key: Option<Secret>,
}

/// Where several appliances keep their balances together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    pub host: String,
    pub port: u16,
    pub password: Option<Secret>,
    pub tls: bool,
    pub away: Away,
}

/// What happens while Redis cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    Refuse,
    /// Each appliance limits by itself.
    Local,
}
