//! What the Docker engine of this host is and which images it has.

use std::path::Path;
use std::time::Duration;

use bollard::errors::Error as DockerError;
use bollard::models::SystemInfo;
use bollard::query_parameters::TagImageOptions;

use crate::host::HostError;

/// Above what building the sandbox image takes on a slow line.
const TRANSPORT_TIMEOUT_S: u64 = 2 * 60 * 60;
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// The engine as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    pub version: String,
    /// Where images and volumes are: the disk that fills up.
    pub root_dir: String,
    /// Such as `runc` and `runsc`.
    pub runtimes: Vec<String>,
    pub storage_driver: String,
    pub cores: u32,
    pub memory_bytes: u64,
    /// Major and minor number of the newest API that it speaks.
    pub api: (u32, u32),
    /// What keeps containers within their limits or apart, and is not there, in words.
    pub lacks: Vec<&'static str>,
}

pub(super) fn connect(socket: &Path) -> Result<bollard::Docker, HostError> {
    let version = bollard::API_DEFAULT_VERSION;
    bollard::Docker::connect_with_unix(&socket.to_string_lossy(), TRANSPORT_TIMEOUT_S, version)
        .map_err(|error| failed(&error))
}

/// Asks the engine about itself.
pub async fn describe(socket: &Path) -> Result<Engine, HostError> {
    let api = connect(socket)?;
    let info = in_time(api.info()).await?;
    let spoken = in_time(api.version()).await?.api_version;
    let spoken = spoken.as_deref().and_then(numbers).unwrap_or_default();
    let lacks = lacks(&info);
    let mut runtimes: Vec<String> = info.runtimes.unwrap_or_default().into_keys().collect();
    runtimes.sort();
    Ok(Engine {
        version: info.server_version.unwrap_or_default(),
        root_dir: info.docker_root_dir.unwrap_or_default(),
        runtimes,
        storage_driver: info.driver.unwrap_or_default(),
        cores: info
            .ncpu
            .and_then(|cores| u32::try_from(cores).ok())
            .unwrap_or(1),
        memory_bytes: info
            .mem_total
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(0),
        api: spoken,
        lacks,
    })
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The bridge's filter is not among it: Docker loads that itself for a network that needs it.
fn lacks(info: &SystemInfo) -> Vec<&'static str> {
    let off = |switch: Option<bool>| switch == Some(false);
    let seccomp = info.security_options.as_ref();
    let seccomp = seccomp.is_none_or(|all| all.iter().any(|one| one.contains("seccomp")));
    [
        (off(info.memory_limit), "memory limits"),
        (off(info.pids_limit), "limits of processes"),
        (off(info.cpu_cfs_quota), "processor limits"),
        (off(info.ipv4_forwarding), "net.ipv4.ip_forward"),
        (!seccomp, "seccomp"),
    ]
    .into_iter()
    .filter_map(|(is_missing, what)| is_missing.then_some(what))
    .collect()
}

/// Is the image on this host?
pub async fn has_image(socket: &Path, image: &str) -> Result<bool, HostError> {
    Ok(inspect(&connect(socket)?, image).await?.is_some())
}

/// A label of an image; `None` also when there is no such image.
pub async fn image_label(
    socket: &Path,
    image: &str,
    label: &str,
) -> Result<Option<String>, HostError> {
    let there = inspect(&connect(socket)?, image).await?;
    Ok(there
        .and_then(|image| image.config?.labels)
        .and_then(|mut labels| labels.remove(label)))
}

pub(super) async fn inspect(
    api: &bollard::Docker,
    image: &str,
) -> Result<Option<bollard::models::ImageInspect>, HostError> {
    match tokio::time::timeout(CALL_DEADLINE, api.inspect_image(image)).await {
        Ok(Ok(there)) => Ok(Some(there)),
        Ok(Err(DockerError::DockerResponseServerError {
            status_code: 404, ..
        })) => Ok(None),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(late()),
    }
}

pub(super) async fn tag(
    api: &bollard::Docker,
    image: &str,
    repository: &str,
    tag: &str,
) -> Result<(), HostError> {
    let options = TagImageOptions {
        repo: Some(repository.to_owned()),
        tag: Some(tag.to_owned()),
    };
    in_time(api.tag_image(image, Some(options))).await
}

async fn in_time<T>(call: impl Future<Output = Result<T, DockerError>>) -> Result<T, HostError> {
    match tokio::time::timeout(CALL_DEADLINE, call).await {
        Ok(answer) => answer.map_err(|error| failed(&error)),
        Err(_) => Err(late()),
    }
}

fn late() -> HostError {
    HostError::failed(format!(
        "Docker did not answer within {} s",
        CALL_DEADLINE.as_secs()
    ))
}

pub(super) fn failed(error: &DockerError) -> HostError {
    HostError::failed(match error {
        DockerError::DockerResponseServerError { message, .. } => format!("Docker says: {message}"),
        DockerError::DockerStreamError { error } => error.clone(),
        other => format!("Docker did not answer: {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_lacks_is_named() {
        assert_eq!(numbers("1.41"), Some((1, 41)));
        let info = SystemInfo {
            memory_limit: Some(true),
            pids_limit: Some(false),
            security_options: Some(vec!["name=seccomp,profile=default".to_owned()]),
            ..SystemInfo::default()
        };
        assert_eq!(lacks(&info), ["limits of processes"]);
        let bare = SystemInfo {
            security_options: Some(Vec::new()),
            ..SystemInfo::default()
        };
        assert_eq!(lacks(&bare), ["seccomp"]);
    }
}
