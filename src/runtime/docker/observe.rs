//! What Docker says about our containers, in the product's words.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerState as InspectedState, ContainerStateStatusEnum,
    ContainerSummary, ContainerSummaryStateEnum, EndpointSettings,
};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions, LogsOptions};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::client::Client;
use super::{Settings, spec};
use crate::domain::id::ApplianceId;
use crate::domain::instance::{Container, ContainerState, EDITOR_PORT};
use crate::runtime::RuntimeError;

/// Inspections at a time while listing.
const INSPECTIONS: usize = 8;
/// More than the two log files of a container would fill memory, not a page.
const LOG_BYTES_MAX: usize = 1 << 20;

pub(super) fn filters(appliance: &ApplianceId) -> HashMap<String, Vec<String>> {
    let labels = vec![
        format!("{}=1", spec::LABEL_MANAGED),
        format!("{}={appliance}", spec::LABEL_APPLIANCE),
    ];
    HashMap::from([("label".to_owned(), labels)])
}

/// All or an error: whoever took a part for the whole would remove what is missing from it.
pub(super) async fn list(
    client: &Client,
    settings: &Settings,
) -> Result<Vec<Container>, RuntimeError> {
    let options = ListContainersOptions {
        all: true,
        filters: Some(filters(&settings.appliance)),
        ..ListContainersOptions::default()
    };
    let summaries = client
        .call(settings.deadlines.call, |api| async move {
            api.list_containers(Some(options)).await
        })
        .await?;
    stream::iter(summaries)
        .map(|summary| listed(client, settings, summary))
        .buffered(INSPECTIONS)
        .try_filter_map(|container| async move { Ok(container) })
        .try_collect()
        .await
}

/// The list leaves out how a container ended, so that those are asked one by one.
async fn listed(
    client: &Client,
    settings: &Settings,
    summary: ContainerSummary,
) -> Result<Option<Container>, RuntimeError> {
    let id = summary.id.unwrap_or_default();
    let state = match summary.state {
        Some(ContainerSummaryStateEnum::CREATED) => ContainerState::Created,
        Some(ContainerSummaryStateEnum::RUNNING) => ContainerState::Running,
        Some(ContainerSummaryStateEnum::PAUSED) => ContainerState::Paused,
        Some(ContainerSummaryStateEnum::EXITED) => {
            return inspected(client, settings, &id).await;
        }
        other => ContainerState::Other(other.map_or_else(String::new, |state| state.to_string())),
    };
    let networks = summary.network_settings.and_then(|n| n.networks);
    let container = labelled(
        &id,
        summary.labels.as_ref(),
        endpoint(&state, networks.as_ref(), &settings.bridge),
        state,
    );
    if container.is_none() {
        tracing::warn!(
            container = id,
            "a container with our labels is not readable"
        );
    }
    Ok(container)
}

async fn inspected(
    client: &Client,
    settings: &Settings,
    id: &str,
) -> Result<Option<Container>, RuntimeError> {
    let answer = client
        .call(settings.deadlines.call, |api| async move {
            api.inspect_container(id, None::<InspectContainerOptions>)
                .await
        })
        .await;
    match answer {
        Ok(there) => Ok(container(&there, &settings.bridge)),
        // Removed since the list was made.
        Err(failure) if failure.is_status(404) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// One container as it is now.
pub(super) async fn inspect(
    client: &Client,
    settings: &Settings,
    id: &str,
) -> Result<Container, RuntimeError> {
    inspected(client, settings, id)
        .await?
        .ok_or(RuntimeError::Missing)
}

/// `None` when its labels are not those of an instance.
pub(super) fn container(there: &ContainerInspectResponse, network: &str) -> Option<Container> {
    let state = there
        .state
        .as_ref()
        .map_or_else(|| ContainerState::Other(String::new()), state);
    let networks = there
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref());
    labelled(
        there.id.as_deref()?,
        there.config.as_ref()?.labels.as_ref(),
        endpoint(&state, networks, network),
        state,
    )
}

fn labelled(
    id: &str,
    labels: Option<&HashMap<String, String>>,
    endpoint: Option<SocketAddr>,
    state: ContainerState,
) -> Option<Container> {
    let labels = labels?;
    Some(Container {
        id: id.to_owned(),
        instance: labels.get(spec::LABEL_INSTANCE)?.parse().ok()?,
        generation: labels.get(spec::LABEL_GENERATION)?.parse().ok()?,
        state,
        endpoint,
    })
}

fn state(there: &InspectedState) -> ContainerState {
    match there.status {
        Some(ContainerStateStatusEnum::CREATED) => ContainerState::Created,
        Some(ContainerStateStatusEnum::RUNNING) => ContainerState::Running,
        Some(ContainerStateStatusEnum::PAUSED) => ContainerState::Paused,
        Some(ContainerStateStatusEnum::EXITED) => ContainerState::Exited {
            code: there.exit_code.unwrap_or_default(),
            out_of_memory: there.oom_killed.unwrap_or_default(),
        },
        other => ContainerState::Other(other.map_or_else(String::new, |state| state.to_string())),
    }
}

/// Only while there is something to talk to, and only on our own network.
fn endpoint(
    state: &ContainerState,
    networks: Option<&HashMap<String, EndpointSettings>>,
    network: &str,
) -> Option<SocketAddr> {
    if !matches!(state, ContainerState::Running | ContainerState::Paused) {
        return None;
    }
    let address: IpAddr = networks?.get(network)?.ip_address.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(address, EDITOR_PORT))
}

pub(super) async fn logs(
    client: &Client,
    deadline: Duration,
    container: &str,
    lines: usize,
) -> Result<Vec<String>, RuntimeError> {
    let options = LogsOptions {
        stdout: true,
        stderr: true,
        tail: lines.to_string(),
        ..LogsOptions::default()
    };
    let printed = client
        .call(deadline, |api| async move {
            let mut chunks = api.logs(container, Some(options));
            let mut printed = Vec::new();
            while let Some(chunk) = chunks.try_next().await? {
                printed.extend_from_slice(chunk.as_ref());
                let above = printed.len().saturating_sub(LOG_BYTES_MAX);
                printed.drain(..above);
            }
            Ok(printed)
        })
        .await?;
    Ok(last_lines(&printed, lines))
}

fn last_lines(printed: &[u8], lines: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(printed);
    let all: Vec<&str> = text.lines().collect();
    let skipped = all.len().saturating_sub(lines);
    all.into_iter()
        .skip(skipped)
        .map(ToOwned::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_kept() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), ["b", "c"]);
        assert_eq!(last_lines(b"", 2), [""; 0]);
    }

    #[test]
    fn a_container_that_does_not_run_has_no_endpoint() {
        let settings = EndpointSettings {
            ip_address: Some("10.201.0.7".to_owned()),
            ..EndpointSettings::default()
        };
        let networks = HashMap::from([("thon0".to_owned(), settings)]);
        let at = |state, network| endpoint(&state, Some(&networks), network);
        assert_eq!(
            at(ContainerState::Running, "thon0"),
            Some("10.201.0.7:8443".parse().unwrap())
        );
        assert!(at(ContainerState::Paused, "thon0").is_some());
        assert_eq!(at(ContainerState::Created, "thon0"), None);
        assert_eq!(at(ContainerState::Running, "other"), None);
    }
}
