//! Start, stop, pause, unpause, remove: doing again what is done already is success.

use std::time::Duration;

use bollard::query_parameters::{
    InspectContainerOptions, RemoveContainerOptions, StartContainerOptions, StopContainerOptions,
};

use super::client::Client;
use super::failure::Failure;
use super::{Deadlines, Settings, network};
use crate::runtime::RuntimeError;

const REMOVAL_POLL: Duration = Duration::from_millis(200);

pub(super) async fn start(
    client: &Client,
    settings: &Settings,
    container: &str,
) -> Result<(), RuntimeError> {
    match start_once(client, settings, container).await {
        // Somebody removed the network while nothing ran on it.
        Err(failure) if failure.is_status(404) && failure.says("network") => {
            network::reconnect(client, settings, container).await?;
            Ok(start_once(client, settings, container).await?)
        }
        answer => Ok(answer?),
    }
}

async fn start_once(client: &Client, settings: &Settings, container: &str) -> Result<(), Failure> {
    client
        .call(settings.deadlines.work, |api| async move {
            api.start_container(container, None::<StartContainerOptions>)
                .await
        })
        .await
}

pub(super) async fn stop(
    client: &Client,
    deadlines: &Deadlines,
    container: &str,
) -> Result<(), RuntimeError> {
    let options = StopContainerOptions {
        signal: None,
        t: i32::try_from(deadlines.stop_grace.as_secs()).ok(),
    };
    client
        .call(deadlines.stop_grace + deadlines.call, |api| async move {
            api.stop_container(container, Some(options)).await
        })
        .await?;
    Ok(())
}

pub(super) async fn pause(
    client: &Client,
    deadline: Duration,
    container: &str,
) -> Result<(), RuntimeError> {
    let answer = client
        .call(deadline, |api| async move {
            api.pause_container(container).await
        })
        .await;
    unless_said("already paused", answer)
}

pub(super) async fn unpause(
    client: &Client,
    deadline: Duration,
    container: &str,
) -> Result<(), RuntimeError> {
    let answer = client
        .call(deadline, |api| async move {
            api.unpause_container(container).await
        })
        .await;
    unless_said("is not paused", answer)
}

fn unless_said(done_already: &str, answer: Result<(), Failure>) -> Result<(), RuntimeError> {
    match answer {
        Err(failure) if failure.says(done_already) => Ok(()),
        answer => Ok(answer?),
    }
}

/// By force, and never with its volumes.
pub(super) async fn remove(
    client: &Client,
    deadline: Duration,
    container: &str,
) -> Result<(), RuntimeError> {
    let options = RemoveContainerOptions {
        v: false,
        force: true,
        link: false,
    };
    let answer = client
        .call(deadline, |api| async move {
            api.remove_container(container, Some(options)).await
        })
        .await;
    match answer {
        Err(failure) if failure.says("no such container") => Ok(()),
        Err(failure) if failure.says("already in progress") => {
            tokio::time::timeout(deadline, removed(client, deadline, container))
                .await
                .map_err(|_| Failure::late(deadline))?
        }
        answer => Ok(answer?),
    }
}

async fn removed(client: &Client, deadline: Duration, container: &str) -> Result<(), RuntimeError> {
    loop {
        let there = client
            .call(deadline, |api| async move {
                api.inspect_container(container, None::<InspectContainerOptions>)
                    .await
            })
            .await;
        match there {
            Err(failure) if failure.is_status(404) => return Ok(()),
            Err(failure) => return Err(failure.into()),
            Ok(_) => tokio::time::sleep(REMOVAL_POLL).await,
        }
    }
}
