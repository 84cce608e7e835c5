//! Injected files: tar archives put into a container that does not run.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use bollard::query_parameters::{ContainerArchiveInfoOptions, UploadToContainerOptions};

use super::client::Client;
use super::{PARTICIPANT_ID, Settings};
use crate::domain::instance::{InjectedFile, Standing};
use crate::runtime::RuntimeError;

/// What is a participant's home: directories in it are theirs.
const HOME: &str = "/home/vscode";

/// Puts the files. The participant's own never keep an editor from starting, whatever they made of
/// their home: a file in place of a directory, a loop of links, or a disk that is full.
pub(super) async fn put(
    client: &Client,
    settings: &Settings,
    container: &str,
    files: &[InjectedFile],
) -> Result<(), RuntimeError> {
    let of = |standing| files.iter().filter(move |file| file.standing == standing);
    let ours: Vec<&InjectedFile> = of(Standing::Ours).collect();
    put_together(client, settings, container, &ours).await?;
    for file in of(Standing::Theirs) {
        if let Err(error) = put_once(client, settings, container, file).await {
            tracing::warn!(container, path = file.path, "not put: {error}");
        }
    }
    Ok(())
}

async fn put_once(
    client: &Client,
    settings: &Settings,
    container: &str,
    file: &InjectedFile,
) -> Result<(), RuntimeError> {
    if exists(client, settings, container, Path::new(&file.path)).await? {
        return Ok(());
    }
    put_together(client, settings, container, &[file]).await
}

/// Only those directories above them that the image lacks: an entry for one that exists would change
/// its owner and mode.
async fn put_together(
    client: &Client,
    settings: &Settings,
    container: &str,
    files: &[&InjectedFile],
) -> Result<(), RuntimeError> {
    if files.is_empty() {
        return Ok(());
    }
    let mut missing = BTreeSet::new();
    for directory in directories(files)? {
        let inside_missing = directory.ancestors().skip(1).any(|d| missing.contains(d));
        if inside_missing || !exists(client, settings, container, &directory).await? {
            missing.insert(directory);
        }
    }
    let archive = archive(&missing, files)
        .map_err(|error| RuntimeError::Refused(format!("cannot pack the files: {error}")))?;
    let options = UploadToContainerOptions {
        path: "/".to_owned(),
        ..UploadToContainerOptions::default()
    };
    let body = bollard::body_full(archive.into());
    client
        .call(settings.deadlines.work, |api| async move {
            api.upload_to_container(container, Some(options), body)
                .await
        })
        .await?;
    Ok(())
}

/// Every directory above the files, the outer before the inner.
fn directories(files: &[&InjectedFile]) -> Result<BTreeSet<PathBuf>, RuntimeError> {
    let mut all = BTreeSet::new();
    for file in files {
        let path = Path::new(&file.path);
        let plain = path.is_absolute()
            && path
                .components()
                .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !plain || file.path.ends_with('/') {
            return Err(RuntimeError::Refused(format!(
                "{} is not the plain absolute path of a file",
                file.path
            )));
        }
        all.extend(
            path.ancestors()
                .skip(1)
                .filter(|directory| directory.parent().is_some())
                .map(Path::to_path_buf),
        );
    }
    Ok(all)
}

async fn exists(
    client: &Client,
    settings: &Settings,
    container: &str,
    path: &Path,
) -> Result<bool, RuntimeError> {
    let options = ContainerArchiveInfoOptions {
        path: path.to_string_lossy().into_owned(),
    };
    let asked = client
        .call(settings.deadlines.call, |api| async move {
            api.get_container_archive_info(container, Some(options))
                .await
        })
        .await;
    match asked {
        Ok(_) => Ok(true),
        // A HEAD has no body that would tell whether the container is missing: the upload will.
        Err(failure) if failure.is_status(404) => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

fn archive(missing: &BTreeSet<PathBuf>, files: &[&InjectedFile]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for directory in missing {
        let is_theirs = directory.starts_with(HOME);
        let owner = if is_theirs { PARTICIPANT_ID } else { 0 };
        let mut header = header(tar::EntryType::Directory, 0o755, owner, 0);
        tar.append_data(&mut header, relative(directory), std::io::empty())?;
    }
    for file in files {
        let contents = file.contents.expose().as_bytes();
        let mut header = header(
            tar::EntryType::Regular,
            file.mode,
            PARTICIPANT_ID,
            contents.len() as u64,
        );
        tar.append_data(&mut header, relative(Path::new(&file.path)), contents)?;
    }
    tar.into_inner()
}

fn header(kind: tar::EntryType, mode: u32, owner: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(u64::from(owner));
    header.set_gid(u64::from(owner));
    header.set_size(size);
    header.set_mtime(0);
    header
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    fn file(path: &str) -> InjectedFile {
        InjectedFile {
            path: path.to_owned(),
            mode: 0o600,
            contents: Secret::new("x"),
            standing: Standing::Ours,
        }
    }

    #[test]
    fn directories_come_outer_first_and_without_the_root() {
        let files = [file("/etc/thon/key"), file("/etc/thon/kilo/config.json")];
        let files: Vec<_> = files.iter().collect();
        let all: Vec<_> = directories(&files).unwrap().into_iter().collect();
        assert_eq!(
            all,
            ["/etc", "/etc/thon", "/etc/thon/kilo"].map(PathBuf::from)
        );
    }

    #[test]
    fn a_path_that_is_not_plain_is_refused() {
        for bad in ["etc/key", "/etc/../key", "/etc/", "/"] {
            assert!(directories(&[&file(bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_archive_holds_owners_and_modes() {
        let missing = ["/etc/thon", "/home/vscode/.config/kilo"].map(PathBuf::from);
        let bytes = archive(&BTreeSet::from(missing), &[&file("/etc/thon/key")]).unwrap();
        let mut read = tar::Archive::new(bytes.as_slice());
        let entries: Vec<_> = read
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                (
                    entry.path().unwrap().to_string_lossy().into_owned(),
                    header.mode().unwrap(),
                    header.uid().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            entries,
            [
                ("etc/thon".to_owned(), 0o755, 0),
                ("home/vscode/.config/kilo".to_owned(), 0o755, 1001),
                ("etc/thon/key".to_owned(), 0o600, 1001)
            ]
        );
    }
}
