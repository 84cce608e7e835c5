//! The instances' own bridge, where they reach the gateway and not each other.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest,
    NetworkDisconnectRequest, NetworkInspect,
};
use bollard::query_parameters::{InspectContainerOptions, InspectNetworkOptions};

use super::client::Client;
use super::failure::Failure;
use super::{Settings, spec};
use crate::runtime::{Network, RuntimeError};

const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const BETWEEN_CONTAINERS: &str = "com.docker.network.bridge.enable_icc";
const RACE_LOOKS: usize = 5;
const RACE_PAUSE: Duration = Duration::from_millis(200);

const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";

pub(super) async fn prepare(client: &Client, settings: &Settings) -> Result<Network, RuntimeError> {
    if let Some(there) = inspect(client, settings).await? {
        let is_left = is_ours(&there, settings)
            && subnets(&there) != [settings.subnet.to_string()]
            && remove_unused(client, settings).await?;
        if !is_left {
            return checked(&there, settings);
        }
    }
    let Err(failure) = create(client, settings).await else {
        return Ok(network(settings));
    };
    // Another process of ours may have been quicker. Docker takes the addresses before the network
    // can be seen, so one look is not enough.
    for _ in 0..RACE_LOOKS {
        if let Some(there) = inspect(client, settings).await? {
            return checked(&there, settings);
        }
        tokio::time::sleep(RACE_PAUSE).await;
    }
    Err(refusal(failure, settings))
}

/// A container that is not running remembers a network that was removed by its identifier, and
/// would not start on the new one of the same name: it is put there again, at its old address.
pub(super) async fn reconnect(
    client: &Client,
    settings: &Settings,
    container: &str,
) -> Result<(), RuntimeError> {
    prepare(client, settings).await?;
    let name = settings.bridge.as_str();
    let there = client
        .call(settings.deadlines.call, |api| async move {
            api.inspect_container(container, None::<InspectContainerOptions>)
                .await
        })
        .await?;
    let networks = there.network_settings.and_then(|n| n.networks);
    let ipam_config = networks.and_then(|mut all| all.remove(name)?.ipam_config);
    let leave = NetworkDisconnectRequest {
        container: container.to_owned(),
        force: Some(true),
    };
    let join = NetworkConnectRequest {
        container: container.to_owned(),
        endpoint_config: Some(EndpointSettings {
            ipam_config,
            ..EndpointSettings::default()
        }),
    };
    client
        .call(settings.deadlines.call, |api| async move {
            api.disconnect_network(name, leave).await?;
            api.connect_network(name, join).await
        })
        .await?;
    Ok(())
}

fn network(settings: &Settings) -> Network {
    Network {
        subnet: settings.subnet,
        gateway: settings.subnet.gateway(),
    }
}

async fn inspect(
    client: &Client,
    settings: &Settings,
) -> Result<Option<NetworkInspect>, RuntimeError> {
    let name = &settings.bridge;
    let answer = client
        .call(settings.deadlines.call, |api| async move {
            api.inspect_network(name, None::<InspectNetworkOptions>)
                .await
        })
        .await;
    match answer {
        // An identifier that begins like the name answers too.
        Ok(there) => Ok(Some(there).filter(|n| n.name.as_ref() == Some(name))),
        Err(failure) if failure.is_status(404) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

async fn create(client: &Client, settings: &Settings) -> Result<(), Failure> {
    let request = request(settings);
    client
        .call(settings.deadlines.work, |api| async move {
            api.create_network(request).await
        })
        .await?;
    Ok(())
}

/// One of another range that no container runs on is made anew. Docker keeps one that is in use, and
/// containers that do not run have no place in the new range anyway. Says whether it is gone.
async fn remove_unused(client: &Client, settings: &Settings) -> Result<bool, RuntimeError> {
    let name = &settings.bridge;
    let removed = client
        .call(settings.deadlines.work, |api| async move {
            api.remove_network(name).await
        })
        .await;
    match removed {
        Ok(()) => {
            tracing::info!(network = name, "a network of another range is made anew");
            Ok(true)
        }
        Err(failure) if failure.says("active endpoints") => Ok(false),
        Err(failure) if failure.is_status(404) => Ok(true),
        Err(failure) => Err(failure.into()),
    }
}

fn request(settings: &Settings) -> NetworkCreateRequest {
    let option = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    NetworkCreateRequest {
        name: settings.bridge.clone(),
        driver: Some("bridge".to_owned()),
        internal: Some(false),
        attachable: Some(false),
        enable_ipv6: Some(false),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(settings.subnet.to_string()),
                gateway: Some(settings.subnet.gateway().to_string()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        options: Some(HashMap::from([
            option(BRIDGE_NAME, &settings.bridge),
            option(BETWEEN_CONTAINERS, "false"),
            option(MASQUERADE, "true"),
        ])),
        labels: Some(HashMap::from([
            option(spec::LABEL_MANAGED, "1"),
            option(spec::LABEL_APPLIANCE, settings.appliance.as_str()),
        ])),
        ..NetworkCreateRequest::default()
    }
}

fn is_ours(there: &NetworkInspect, settings: &Settings) -> bool {
    let labels = there.labels.as_ref();
    let appliance = labels.and_then(|labels| labels.get(spec::LABEL_APPLIANCE));
    appliance.map(String::as_str) == Some(settings.appliance.as_str())
}

fn subnets(there: &NetworkInspect) -> Vec<&str> {
    let configs = there.ipam.iter();
    configs
        .flat_map(|ipam| ipam.config.iter().flatten())
        .filter_map(|config| config.subnet.as_deref())
        .collect()
}

/// A network of the right name is used only when it is ours and as closed as we make it.
fn checked(there: &NetworkInspect, settings: &Settings) -> Result<Network, RuntimeError> {
    let name = &settings.bridge;
    if !is_ours(there, settings) {
        return Err(RuntimeError::Refused(format!(
            "a Docker network named {name} exists that this appliance did not make: remove it with \
             `docker network rm {name}`, or choose another name in sandbox.bridge"
        )));
    }
    let subnets = subnets(there);
    if subnets != [settings.subnet.to_string()] {
        return Err(RuntimeError::Refused(format!(
            "the Docker network {name} has the addresses {}, and sandbox.subnet says {}: set it \
             back, or bring every instance over with `thon instances recreate GROUP/USER`: the \
             network is made anew when no container runs on the old one",
            subnets.join(" and "),
            settings.subnet
        )));
    }
    let option = |key: &str| there.options.as_ref().and_then(|options| options.get(key));
    if option(BETWEEN_CONTAINERS).map(String::as_str) != Some("false") {
        return Err(RuntimeError::Refused(format!(
            "the Docker network {name} lets instances reach each other: remove every instance and \
             then the network with `docker network rm {name}`; it is made again"
        )));
    }
    Ok(network(settings))
}

fn refusal(failure: Failure, settings: &Settings) -> RuntimeError {
    let Settings { subnet, bridge, .. } = settings;
    if failure.says("overlap") {
        return RuntimeError::Refused(format!(
            "the addresses {subnet} are used by another Docker network or route of this host: \
             choose a free range in sandbox.subnet (`docker network ls` and `ip route` show what \
             is taken)"
        ));
    }
    if failure.says("bridge name") || failure.says("already exists") {
        return RuntimeError::Refused(format!(
            "this host has a bridge named {bridge} already: choose another name in sandbox.bridge"
        ));
    }
    failure.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(
            "00000000000000cc".parse().unwrap(),
            "10.201.0.0/20".parse().unwrap(),
            "thon0",
        )
    }

    fn ours() -> NetworkInspect {
        let request = request(&settings());
        NetworkInspect {
            name: Some(request.name),
            ipam: request.ipam,
            options: request.options,
            labels: request.labels,
            ..NetworkInspect::default()
        }
    }

    fn refusal_of(there: &NetworkInspect) -> String {
        match checked(there, &settings()) {
            Err(RuntimeError::Refused(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn our_own_network_is_used_again() {
        let network = checked(&ours(), &settings()).unwrap();
        assert_eq!(network.gateway.to_string(), "10.201.0.1");
    }

    #[test]
    fn a_network_that_is_not_ours_or_not_as_closed_is_refused() {
        let mut foreign = ours();
        foreign.labels = None;
        assert!(refusal_of(&foreign).contains("did not make"));

        let mut moved = ours();
        moved.ipam = None;
        assert!(refusal_of(&moved).contains("sandbox.subnet"));

        let mut open = ours();
        open.options = None;
        assert!(refusal_of(&open).contains("reach each other"));
    }
}
