//! Making a container: found or made, and complete before anybody starts it.

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, RemoveContainerOptions,
};

use super::client::Client;
use super::failure::Failure;
use super::{Settings, files, mounts, observe, spec};
use crate::domain::instance::{Container, ContainerState, InjectedFile, InstanceSpec};
use crate::runtime::RuntimeError;

/// Repeated after a crash at any point, it goes on where it was: volumes are found by name and
/// label, the container by name and labels, and files are put whenever it does not run: what it is
/// given may have changed since it was made.
pub(super) async fn create(
    client: &Client,
    settings: &Settings,
    wanted: &InstanceSpec,
) -> Result<Container, RuntimeError> {
    mounts::prepare(client, settings, wanted).await?;
    let container = match make(client, settings, wanted).await {
        Ok(id) => fresh(id, wanted),
        Err(failure) if failure.is_status(409) => found(client, settings, wanted)
            .await?
            .ok_or_else(|| gone_again(wanted))?,
        // Docker looks for the image first: a container that exists needs its name no more.
        Err(failure) if failure.says("no such image") => found(client, settings, wanted)
            .await?
            .ok_or_else(|| no_image(&wanted.image))?,
        Err(failure) => return Err(failure.into()),
    };
    give(client, settings, &container, &wanted.files).await?;
    Ok(container)
}

/// The files, unless something in it may be reading them at this moment. One that ran before has them
/// from then: where somebody with root's rights in it made them impossible to put, it starts as it is.
async fn give(
    client: &Client,
    settings: &Settings,
    container: &Container,
    files: &[InjectedFile],
) -> Result<(), RuntimeError> {
    let put = files::put(client, settings, &container.id, files);
    match container.state {
        ContainerState::Created => put.await,
        ContainerState::Exited { .. } => match put.await {
            Err(RuntimeError::Refused(words)) => {
                tracing::warn!(
                    container = container.id,
                    "the files stay as they are: {words}"
                );
                Ok(())
            }
            given => given,
        },
        ContainerState::Running | ContainerState::Paused | ContainerState::Other(_) => Ok(()),
    }
}

async fn make(
    client: &Client,
    settings: &Settings,
    wanted: &InstanceSpec,
) -> Result<String, Failure> {
    let known = client.known().await?;
    let place = spec::Place {
        appliance: &settings.appliance,
        network: &settings.bridge,
        gateway: settings.subnet.gateway(),
        cores: known.cores,
        open_files: known.open_files,
    };
    let options = CreateContainerOptions {
        name: Some(spec::name(wanted)),
        platform: String::new(),
    };
    let body = spec::container(wanted, &place);
    let made = client
        .call(settings.deadlines.work, |api| async move {
            api.create_container(Some(options), body).await
        })
        .await?;
    for warning in made.warnings {
        tracing::warn!(container = made.id, warning, "docker warns");
    }
    Ok(made.id)
}

fn fresh(id: String, wanted: &InstanceSpec) -> Container {
    Container {
        id,
        instance: wanted.id.clone(),
        generation: wanted.generation,
        state: ContainerState::Created,
        endpoint: None,
    }
}

/// The name is taken: by our own container of an earlier attempt, or by a stranger's.
async fn found(
    client: &Client,
    settings: &Settings,
    wanted: &InstanceSpec,
) -> Result<Option<Container>, RuntimeError> {
    let name = spec::name(wanted);
    let there = match inspect(client, settings, &name).await {
        Ok(there) => there,
        Err(failure) if failure.is_status(404) => return Ok(None),
        Err(failure) => return Err(failure.into()),
    };
    let labels = there
        .config
        .as_ref()
        .and_then(|config| config.labels.clone())
        .unwrap_or_default();
    let ours = spec::labels(wanted, &settings.appliance);
    let differs = |label: &str| labels.get(label) != ours.get(label);
    if IDENTITY.iter().any(|label| differs(label)) {
        return Err(RuntimeError::Refused(format!(
            "a container named {name} exists that this appliance did not make: look at it with \
             `docker inspect {name}` and rename or remove it"
        )));
    }
    let container =
        observe::container(&there, &settings.bridge).ok_or_else(|| gone_again(wanted))?;
    if container.state == ContainerState::Created && differs(spec::LABEL_SPEC_HASH) {
        let fresh = replaced(client, settings, wanted, &container.id).await?;
        return Ok(Some(fresh));
    }
    Ok(Some(container))
}

fn gone_again(wanted: &InstanceSpec) -> RuntimeError {
    RuntimeError::Unavailable(format!("{} is being removed", spec::name(wanted)))
}

const IDENTITY: [&str; 4] = [
    spec::LABEL_MANAGED,
    spec::LABEL_APPLIANCE,
    spec::LABEL_INSTANCE,
    spec::LABEL_GENERATION,
];

/// Made from an older specification and never started: nothing is lost with it.
async fn replaced(
    client: &Client,
    settings: &Settings,
    wanted: &InstanceSpec,
    old: &str,
) -> Result<Container, RuntimeError> {
    // Without force: were it started in the meantime, Docker refuses.
    client
        .call(settings.deadlines.work, |api| async move {
            api.remove_container(old, Some(RemoveContainerOptions::default()))
                .await
        })
        .await?;
    Ok(fresh(make(client, settings, wanted).await?, wanted))
}

async fn inspect(
    client: &Client,
    settings: &Settings,
    name: &str,
) -> Result<ContainerInspectResponse, Failure> {
    client
        .call(settings.deadlines.call, |api| async move {
            api.inspect_container(name, None::<InspectContainerOptions>)
                .await
        })
        .await
}

fn no_image(image: &str) -> RuntimeError {
    RuntimeError::Refused(format!(
        "image {image} is not on this host: run `thon up`, which builds it, or bring it with \
         `docker load` or `docker build -t {image} …`"
    ))
}
