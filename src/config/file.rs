//! The file exactly as written: serde structs, no logic. Every key is optional here; `validate`
//! knows what is missing and what makes sense.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct File {
    pub demo: Option<bool>,
    pub external_ip: Option<String>,
    pub log_level: Option<String>,
    pub state_dir: Option<String>,
    pub runtime_dir: Option<String>,
    pub groups: BTreeMap<String, Group>,
    pub proxy: Proxy,
    pub dashboard: Dashboard,
    pub gateway: Gateway,
    pub sandbox: Sandbox,
    pub workspace: Workspace,
}

/// `alpha: [alice, bob]`, or `alpha: {title: …, users: […]}`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Group {
    List(Vec<User>),
    Map(GroupMap),
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GroupMap {
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub users: Vec<User>,
}

/// `alice`, or `{name: alice, email: …}`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum User {
    Name(String),
    Map(UserMap),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UserMap {
    #[serde(alias = "username")]
    pub name: String,
    #[serde(default)]
    pub email: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Proxy {
    pub https_listen: Option<String>,
    pub http_listen: Option<String>,
    pub domain: Option<String>,
    pub external_ip: Option<String>,
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
