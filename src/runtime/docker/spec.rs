//! From an `InstanceSpec` to the body of Docker's create call: pure.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig,
    HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount as DockerMount, MountType,
    MountVolumeOptions, NetworkingConfig, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use sha2::{Digest, Sha256};

use crate::domain::id::ApplianceId;
use crate::domain::instance::{InstanceSpec, Sudo};
use crate::domain::workspace::Mount;

pub const LABEL_MANAGED: &str = "thon.managed";
pub const LABEL_APPLIANCE: &str = "thon.appliance";
pub const LABEL_INSTANCE: &str = "thon.instance";
pub const LABEL_GENERATION: &str = "thon.generation";
pub const LABEL_SPEC_HASH: &str = "thon.spec-hash";
pub const LABEL_WORKSPACE: &str = "thon.workspace";

/// How programs inside an instance call the gateway.
pub const GATEWAY_HOST: &str = "llm.internal";

/// Raised whenever this file makes another container of the same specification.
const RECIPE: u32 = 1;

/// What `sudo` and package installation need, and nothing that reaches the network's or the
/// kernel's settings: never `NET_RAW`, `NET_ADMIN`, `MKNOD`, `SYS_ADMIN`, `SYS_PTRACE`.
const SUDO_CAPABILITIES: [&str; 11] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Browsers under test want more than Docker's 64 MiB.
const SHM_BYTES: i64 = 256 << 20;
/// The kernel ends a sandbox before it ends the appliance or Docker.
const OOM_SCORE_ADJ: i64 = 500;
const HOST_NAME_LEN_MAX: usize = 63;

/// What the host adds to the specification.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub appliance: &'a ApplianceId,
    pub network: &'a str,
    pub gateway: Ipv4Addr,
    /// Docker refuses a limit above what the host has.
    pub cores: u32,
    pub open_files: u64,
}

/// Deterministic: a repeated create meets its own container.
pub fn name(spec: &InstanceSpec) -> String {
    format!("thon-{}-g{}", spec.id, spec.generation)
}

pub fn container(spec: &InstanceSpec, place: &Place<'_>) -> ContainerCreateBody {
    ContainerCreateBody {
        hostname: Some(
            spec.owner
                .user
                .as_str()
                .chars()
                .take(HOST_NAME_LEN_MAX)
                .collect(),
        ),
        image: Some(spec.image.clone()),
        cmd: Some(spec.command.clone()),
        env: Some(
            spec.env
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
        ),
        labels: Some(labels(spec, place.appliance)),
        // Docker's own would fork a process per container and interval; `probe` asks instead.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        networking_config: Some(networking(spec, place.network)),
        host_config: Some(host(spec, place)),
        ..ContainerCreateBody::default()
    }
}

/// Only what never changes: owner, group and route are in the store.
pub fn labels(spec: &InstanceSpec, appliance: &ApplianceId) -> HashMap<String, String> {
    HashMap::from([
        (LABEL_MANAGED.to_owned(), "1".to_owned()),
        (LABEL_APPLIANCE.to_owned(), appliance.to_string()),
        (LABEL_INSTANCE.to_owned(), spec.id.to_string()),
        (LABEL_GENERATION.to_owned(), spec.generation.to_string()),
        (LABEL_SPEC_HASH.to_owned(), hash(spec)),
    ])
}

/// SHA-256 over what the container is made of. The contents of files are left out: they are
/// secrets, and a label is for everybody who can ask Docker.
pub fn hash(spec: &InstanceSpec) -> String {
    let files: Vec<_> = spec.files.iter().map(|f| (&f.path, f.mode)).collect();
    let text = format!(
        "{RECIPE} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {files:?}",
        spec.image,
        spec.address,
        spec.workspace,
        spec.home,
        spec.resources,
        spec.sudo,
        spec.command,
        spec.env,
    );
    format!("{:x}", Sha256::digest(text))
}

fn networking(spec: &InstanceSpec, network: &str) -> NetworkingConfig {
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(spec.address.to_string()),
            ..EndpointIpamConfig::default()
        }),
        ..EndpointSettings::default()
    };
    NetworkingConfig {
        endpoints_config: Some(HashMap::from([(network.to_owned(), endpoint)])),
    }
}

fn host(spec: &InstanceSpec, place: &Place<'_>) -> HostConfig {
    let memory = i64::try_from(spec.resources.memory_bytes).unwrap_or(i64::MAX);
    let cpu_millis = i64::from(spec.resources.cpu_millis).min(i64::from(place.cores) * 1_000);
    HostConfig {
        memory: Some(memory),
        // Equal, so that there is no swap: one instance's thrashing is everybody's.
        memory_swap: Some(memory),
        nano_cpus: Some(cpu_millis * 1_000_000),
        cpu_shares: Some(1_024),
        pids_limit: Some(i64::from(spec.resources.pids)),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(capabilities(spec.sudo)),
        security_opt: Some(security(spec.sudo)),
        init: Some(true),
        privileged: Some(false),
        // Instances return with Docker or the host, also when the appliance does not.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
            maximum_retry_count: None,
        }),
        oom_score_adj: Some(OOM_SCORE_ADJ),
        shm_size: Some(SHM_BYTES),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        ipc_mode: Some("private".to_owned()),
        ulimits: Some(vec![ulimit("nofile", place.open_files), ulimit("core", 0)]),
        log_config: Some(HostConfigLogConfig {
            typ: Some("local".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), "5m".to_owned()),
                ("max-file".to_owned(), "2".to_owned()),
            ])),
        }),
        // Not `host-gateway`: that is the default bridge's address, whatever the network.
        extra_hosts: Some(vec![format!("{GATEWAY_HOST}:{}", place.gateway)]),
        network_mode: Some(place.network.to_owned()),
        publish_all_ports: Some(false),
        mounts: Some(mounts(spec)),
        ..HostConfig::default()
    }
}

fn capabilities(sudo: Sudo) -> Vec<String> {
    match sudo {
        Sudo::Allow => SUDO_CAPABILITIES.map(ToOwned::to_owned).to_vec(),
        Sudo::Deny => Vec::new(),
    }
}

/// The one option would make `sudo` fail; seccomp and `AppArmor` stay Docker's defaults either way.
fn security(sudo: Sudo) -> Vec<String> {
    match sudo {
        Sudo::Allow => Vec::new(),
        Sudo::Deny => vec!["no-new-privileges:true".to_owned()],
    }
}

fn ulimit(name: &str, value: u64) -> ResourcesUlimits {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(value),
        hard: Some(value),
    }
}

fn mounts(spec: &InstanceSpec) -> Vec<DockerMount> {
    [
        (&spec.workspace, "/workspace"),
        (&spec.home, "/home/vscode"),
    ]
    .into_iter()
    .filter_map(|(mount, target)| docker_mount(mount, target))
    .collect()
}

fn docker_mount(mount: &Mount, target: &str) -> Option<DockerMount> {
    let (typ, source, volume_options) = match mount {
        Mount::Ephemeral => return None,
        Mount::Bind { path } => (MountType::BIND, path.to_string_lossy().into_owned(), None),
        Mount::Volume { name, .. } => {
            // A fresh volume gets what the image has there, with its owners.
            let options = MountVolumeOptions {
                no_copy: Some(false),
                ..MountVolumeOptions::default()
            };
            (MountType::VOLUME, name.clone(), Some(options))
        }
    };
    Some(DockerMount {
        target: Some(target.to_owned()),
        source: Some(source),
        typ: Some(typ),
        read_only: Some(false),
        volume_options,
        ..DockerMount::default()
    })
}

#[cfg(test)]
mod tests;
