//! The appliance as a whole.

use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::InstanceView;
use crate::domain::health::Health;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub started_at: Timestamp,
    pub uptime_s: u64,
    /// The file that the settings were read from, if any.
    pub config_path: Option<PathBuf>,
    pub store_path: PathBuf,
    pub public_url: String,
    pub admin_url: String,
    pub listeners: Vec<Listener>,
    pub health: HealthView,
    /// What runs the instances: `docker`.
    pub runtime: String,
    pub instances: Vec<InstanceView>,
}

/// A listener with the address that it was really bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    pub name: String,
    pub address: SocketAddr,
    pub tls: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    pub status: Verdict,
    pub parts: Vec<PartView>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// Something does not work; what runs goes on.
    Degraded,
}

/// One part: `{"name", "state", "code"?, "message"?}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartView {
    pub name: String,
    #[serde(flatten)]
    pub health: Health,
}

impl HealthView {
    pub fn new(parts: impl IntoIterator<Item = (&'static str, Health)>) -> Self {
        let parts: Vec<PartView> = parts
            .into_iter()
            .map(|(name, health)| PartView {
                name: name.to_owned(),
                health,
            })
            .collect();
        let status = if parts.iter().all(|part| part.health.is_ok()) {
            Verdict::Ok
        } else {
            Verdict::Degraded
        };
        Self { status, parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_degraded_part_makes_the_whole_degraded_and_says_why() {
        let health = HealthView::new([
            ("store", Health::Ok),
            ("runtime", Health::degraded("runtime_down", "no answer")),
        ]);
        let json = serde_json::to_value(&health).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"status": "degraded", "parts": [
                {"name": "store", "state": "ok"},
                {"name": "runtime", "state": "degraded", "code": "runtime_down", "message": "no answer"},
            ]})
        );
        assert_eq!(serde_json::from_value::<HealthView>(json).unwrap(), health);
    }
}
