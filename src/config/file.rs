//! The file exactly as written: serde structs, no rules. Every key is optional here; `validate`
//! knows what is missing and what makes sense.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_yaml::Value;

use crate::config::{ConfiguredGroup, ConfiguredUser};

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct File {
    pub demo: Option<bool>,
    pub external_ip: Option<String>,
    pub log_level: Option<String>,
    pub state_dir: Option<String>,
    pub runtime_dir: Option<String>,
    /// By name; each is a list of users or a mapping, which `groups` reads.
    pub groups: BTreeMap<String, Value>,
    pub proxy: Proxy,
    pub dashboard: Dashboard,
    pub gateway: Gateway,
    pub sandbox: Sandbox,
    pub workspace: Workspace,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Proxy {
    pub https_listen: Option<String>,
    pub http_listen: Option<String>,
    pub domain: Option<String>,
    pub external_ip: Option<String>,
    pub ssl_provider: Option<String>,
    pub ssl_certificate: Option<String>,
    pub ssl_certificate_key: Option<String>,
    pub trusted_proxies: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Dashboard {
    pub host: Option<String>,
    pub port: Option<u16>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Gateway {
    pub listen: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Sandbox {
    pub image: Option<String>,
    pub access: Option<String>,
    pub sudo: Option<bool>,
    pub memory: Option<Size>,
    pub cpus: Option<f64>,
    pub pids: Option<u32>,
    pub subnet: Option<String>,
    pub bridge: Option<String>,
}

/// `2147483648`, or `2GiB`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Size {
    Bytes(u64),
    Text(String),
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Workspace {
    pub mode: Option<String>,
    pub dir: Option<String>,
}

/// Groups as the file would have them: the short form where nothing is lost by it.
pub fn groups(groups: &[ConfiguredGroup]) -> BTreeMap<String, Value> {
    let map = |pairs: Vec<(&str, Value)>| {
        Value::Mapping(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value))
                .collect(),
        )
    };
    let user = |user: &ConfiguredUser| {
        let name = Value::from(user.name.user.as_str());
        match &user.email {
            None => name,
            Some(email) => map(vec![("name", name), ("email", email.as_str().into())]),
        }
    };
    let group = |group: &ConfiguredGroup| {
        let users = Value::Sequence(group.users.iter().map(user).collect());
        let value = match &group.title {
            None => users,
            Some(title) => map(vec![("title", title.as_str().into()), ("users", users)]),
        };
        (group.name.to_string(), value)
    };
    groups.iter().map(group).collect()
}
