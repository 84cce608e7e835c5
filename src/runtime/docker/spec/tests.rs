//! What every container of ours looks like to Docker.

use serde_json::{Value, json};

use super::*;
use crate::domain::instance::{InjectedFile, Resources, Standing};
use crate::domain::secret::Secret;

fn spec() -> InstanceSpec {
    InstanceSpec {
        id: "00000000000000aa".parse().unwrap(),
        generation: 3,
        owner: "red/alice".parse().unwrap(),
        image: "thon-sandbox:1".to_owned(),
        address: Ipv4Addr::new(10, 201, 0, 7),
        workspace: Mount::Volume {
            name: "thon-workspace-red-alice".to_owned(),
            workspace: "00000000000000bb".parse().unwrap(),
        },
        home: Mount::Bind {
            path: "/data/red/alice".into(),
        },
        resources: Resources::DEFAULT,
        sudo: Sudo::Deny,
        command: vec!["code-server".to_owned(), "/workspace".to_owned()],
        env: vec![("A".to_owned(), "1".to_owned())],
        files: vec![InjectedFile {
            path: "/etc/thon/key".to_owned(),
            mode: 0o600,
            contents: Secret::new("sk-thon-1"),
            standing: Standing::Ours,
        }],
    }
}

fn body(spec: &InstanceSpec) -> Value {
    let appliance = "00000000000000cc".parse().unwrap();
    let place = Place {
        appliance: &appliance,
        network: "thon0",
        gateway: Ipv4Addr::new(10, 201, 0, 1),
        cores: 8,
        open_files: 65_536,
    };
    serde_json::to_value(container(spec, &place)).unwrap()
}

#[test]
fn the_host_configuration_is_the_hardened_one() {
    let body = body(&spec());
    for (pointer, expected) in [
        ("/HostConfig/Memory", json!(2_147_483_648_u64)),
        ("/HostConfig/MemorySwap", json!(2_147_483_648_u64)),
        ("/HostConfig/NanoCpus", json!(2_000_000_000)),
        ("/HostConfig/CpuShares", json!(1024)),
        ("/HostConfig/PidsLimit", json!(768)),
        ("/HostConfig/CapDrop", json!(["ALL"])),
        ("/HostConfig/CapAdd", json!([])),
        ("/HostConfig/SecurityOpt", json!(["no-new-privileges:true"])),
        ("/HostConfig/Privileged", json!(false)),
        ("/HostConfig/Init", json!(true)),
        ("/HostConfig/RestartPolicy/Name", json!("unless-stopped")),
        ("/HostConfig/OomScoreAdj", json!(500)),
        ("/HostConfig/ShmSize", json!(268_435_456)),
        ("/HostConfig/CgroupnsMode", json!("private")),
        ("/HostConfig/IpcMode", json!("private")),
        ("/HostConfig/LogConfig/Type", json!("local")),
        (
            "/HostConfig/LogConfig/Config",
            json!({"max-size": "5m", "max-file": "2"}),
        ),
        ("/HostConfig/ExtraHosts", json!(["llm.internal:10.201.0.1"])),
        ("/HostConfig/NetworkMode", json!("thon0")),
        (
            "/HostConfig/Ulimits",
            json!([
                {"Name": "nofile", "Soft": 65_536, "Hard": 65_536},
                {"Name": "core", "Soft": 0, "Hard": 0}
            ]),
        ),
        ("/Healthcheck/Test", json!(["NONE"])),
        ("/Hostname", json!("alice")),
        ("/Env", json!(["A=1"])),
        (
            "/NetworkingConfig/EndpointsConfig/thon0/IPAMConfig/IPv4Address",
            json!("10.201.0.7"),
        ),
    ] {
        assert_eq!(body.pointer(pointer), Some(&expected), "{pointer}");
    }
}

#[test]
fn nothing_is_published_and_no_device_or_host_name_space_is_given() {
    let body = body(&spec());
    for absent in [
        "/ExposedPorts",
        "/HostConfig/PortBindings",
        "/HostConfig/Devices",
        "/HostConfig/DeviceRequests",
        "/HostConfig/Binds",
        "/HostConfig/PidMode",
        "/HostConfig/UTSMode",
        "/HostConfig/UsernsMode",
        "/HostConfig/MaskedPaths",
        "/HostConfig/ReadonlyPaths",
        "/User",
    ] {
        assert_eq!(body.pointer(absent), None, "{absent}");
    }
}

#[test]
fn sudo_gets_its_capabilities_and_never_those_of_the_network_or_the_kernel() {
    let mut spec = spec();
    spec.sudo = Sudo::Allow;
    let body = body(&spec);
    assert_eq!(body["HostConfig"]["CapDrop"], json!(["ALL"]));
    assert_eq!(body["HostConfig"]["SecurityOpt"], json!([]));
    let given = body["HostConfig"]["CapAdd"].to_string();
    assert!(given.contains("SETUID"));
    for never in [
        "NET_RAW",
        "NET_ADMIN",
        "MKNOD",
        "SYS_ADMIN",
        "SYS_PTRACE",
        "SYS_MODULE",
    ] {
        assert!(!given.contains(never), "{never}");
    }
}

#[test]
fn a_limit_above_what_the_host_has_is_lowered_to_it() {
    let mut spec = spec();
    spec.resources.cpu_millis = 64_000;
    assert_eq!(
        body(&spec)["HostConfig"]["NanoCpus"],
        json!(8_000_000_000_u64)
    );
}

#[test]
fn mounts_are_a_seeded_volume_a_directory_or_nothing() {
    let mut spec = spec();
    spec.home = Mount::Ephemeral;
    let expected = json!([{
        "Target": "/workspace", "Source": "thon-workspace-red-alice", "Type": "volume",
        "ReadOnly": false, "VolumeOptions": {"NoCopy": false}
    }]);
    assert_eq!(body(&spec)["HostConfig"]["Mounts"], expected);
    let bind = &body(&self::spec())["HostConfig"]["Mounts"][1];
    assert_eq!(bind["Type"], "bind");
    assert_eq!(bind["Source"], "/data/red/alice");
    assert_eq!(bind["Target"], "/home/vscode");
}

#[test]
fn labels_hold_what_never_changes_and_no_secret() {
    let spec = spec();
    let labels = labels(&spec, &"00000000000000cc".parse().unwrap());
    assert_eq!(labels.len(), 5);
    assert_eq!(labels[LABEL_MANAGED], "1");
    assert_eq!(labels[LABEL_INSTANCE], "00000000000000aa");
    assert_eq!(labels[LABEL_GENERATION], "3");
    assert_eq!(name(&spec), "thon-00000000000000aa-g3");

    let mut rotated = self::spec();
    rotated.files[0].contents = Secret::new("sk-thon-2");
    assert_eq!(hash(&rotated), hash(&spec));
    rotated.resources.pids = 1;
    assert_ne!(hash(&rotated), hash(&spec));
}
