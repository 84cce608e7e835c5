//! The image that ours are built on: found, pulled, or made with debootstrap where no registry answers.

use std::path::Path;
use std::time::Duration;

use bollard::query_parameters::CreateImageOptions;
use futures_util::{Stream, StreamExt};
use tokio_util::io::ReaderStream;

use crate::host::command::{command, run};
use crate::host::{HostError, Report, engine, is_root, packages, say};

/// What a registry has.
pub const PULLED: &str = "debian:bookworm-slim";
/// What we make ourselves.
pub const MADE: &str = "thon-base:bookworm";
const SUITE: &str = "bookworm";

/// Without a word from the registry for so long, there is none.
const PULL_SILENCE: Duration = Duration::from_secs(20);
const IMPORT_SILENCE: Duration = Duration::from_mins(5);
const DEBOOTSTRAP_DEADLINE: Duration = Duration::from_mins(20);

/// Names of base images in the order in which they are taken; the first is on the host afterwards.
pub async fn ensure(socket: &Path, report: Report<'_>) -> Result<&'static str, HostError> {
    for image in [PULLED, MADE] {
        if engine::has_image(socket, image).await? {
            return Ok(image);
        }
    }
    say(report, format!("pulling {PULLED}"));
    match pull(socket).await {
        Ok(()) => Ok(PULLED),
        Err(error) => {
            say(
                report,
                format!("no registry ({error}): making {MADE} from Debian packages"),
            );
            make(socket, MADE, report).await?;
            Ok(MADE)
        }
    }
}

async fn pull(socket: &Path) -> Result<(), HostError> {
    let api = engine::connect(socket)?;
    let options = CreateImageOptions {
        from_image: Some(PULLED.to_owned()),
        ..CreateImageOptions::default()
    };
    drained(api.create_image(Some(options), None, None), PULL_SILENCE).await
}

/// Makes a base image from Debian packages alone. Takes root, debootstrap and a mirror.
pub async fn make(socket: &Path, image: &str, report: Report<'_>) -> Result<(), HostError> {
    if !is_root() {
        return Err(HostError::NeedsRoot {
            command: "sudo thon up".to_owned(),
        });
    }
    packages::install(&["debootstrap", "debian-archive-keyring"], report).await?;
    say(report, format!("debootstrap {SUITE}: about half a minute"));
    let scratch = Scratch::new().await?;
    let root = scratch.path();
    let arguments = ["--variant=minbase", SUITE, root];
    run("debootstrap", &arguments, DEBOOTSTRAP_DEADLINE).await?;
    add_updates(Path::new(root))?;
    lighten(Path::new(root));
    say(report, format!("importing {image}"));
    import(socket, root, image).await
}

/// debootstrap leaves out the security updates, which the mirror it wrote down has beside it.
fn add_updates(root: &Path) -> Result<(), HostError> {
    let path = root.join("etc/apt/sources.list");
    let failed = |error: std::io::Error| HostError::failed(format!("{}: {error}", path.display()));
    let written = std::fs::read_to_string(&path).map_err(failed)?;
    std::fs::write(&path, with_updates(&written)).map_err(failed)
}

fn with_updates(sources: &str) -> String {
    let mirror = sources
        .lines()
        .find_map(|line| line.strip_prefix("deb ")?.split(' ').next());
    match mirror {
        Some(mirror) => format!(
            "{}\ndeb {mirror} {SUITE}-updates main\ndeb {mirror}-security {SUITE}-security main\n",
            sources.trim_end()
        ),
        None => sources.to_owned(),
    }
}

/// Package lists and archives are of no use in an image.
fn lighten(root: &Path) {
    for directory in [
        "var/cache/apt/archives",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/man",
    ] {
        let Ok(entries) = std::fs::read_dir(root.join(directory)) else {
            continue;
        };
        for entry in entries.flatten() {
            // What stays makes the image larger, and nothing worse.
            drop(
                std::fs::remove_dir_all(entry.path())
                    .or_else(|_| std::fs::remove_file(entry.path())),
            );
        }
    }
}

async fn import(socket: &Path, root: &str, image: &str) -> Result<(), HostError> {
    let api = engine::connect(socket)?;
    let unstarted =
        |error: std::io::Error| HostError::failed(format!("tar did not start: {error}"));
    let mut tar = command(
        "tar",
        &["--directory", root, "--numeric-owner", "--create", "."],
    )
    .spawn()
    .map_err(unstarted)?;
    let Some(archive) = tar.stdout.take() else {
        return Err(HostError::failed("tar has no output"));
    };
    let options = CreateImageOptions {
        from_src: Some("-".to_owned()),
        changes: vec!["CMD [\"bash\"]".to_owned()],
        ..CreateImageOptions::default()
    };
    let body = bollard::body_try_stream(ReaderStream::new(archive));
    let imported = last_status(api.create_image(Some(options), Some(body), None)).await?;
    let ended = tar.wait().await.map_err(unstarted)?;
    if !ended.success() {
        return Err(HostError::failed(format!("tar failed with {ended}")));
    }
    // Named only now: an image from half an archive must not be found by the next run.
    let (repository, tag) = image.split_once(':').unwrap_or((image, "latest"));
    engine::tag(&api, &imported, repository, tag).await
}

type Infos = Result<bollard::models::CreateImageInfo, bollard::errors::Error>;

async fn drained(infos: impl Stream<Item = Infos>, silence: Duration) -> Result<(), HostError> {
    let mut infos = std::pin::pin!(infos);
    while let Some(info) = tokio::time::timeout(silence, infos.next())
        .await
        .map_err(|_| HostError::failed(format!("no answer within {} s", silence.as_secs())))?
    {
        info.map_err(|error| engine::failed(&error))?;
    }
    Ok(())
}

/// An import's last word is the new image's identifier.
async fn last_status(infos: impl Stream<Item = Infos>) -> Result<String, HostError> {
    let mut last = None;
    let noted = infos.inspect(|info| {
        if let Ok(info) = info {
            last.clone_from(&info.status);
        }
    });
    drained(noted, IMPORT_SILENCE).await?;
    last.ok_or_else(|| HostError::failed("Docker imported nothing"))
}

/// A directory that goes with us, also when we are interrupted in between.
struct Scratch(String);

impl Scratch {
    async fn new() -> Result<Self, HostError> {
        // Not in /tmp: that may be memory, and be mounted without devices.
        let made = run(
            "mktemp",
            &["--directory", "/var/tmp/thon-base.XXXXXX"],
            PULL_SILENCE,
        )
        .await?;
        Ok(Self(made.trim().to_owned()))
    }

    fn path(&self) -> &str {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_image_knows_where_its_security_updates_are() {
        let written = with_updates("deb http://mirror.test/debian bookworm main\n");
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(
            lines,
            [
                "deb http://mirror.test/debian bookworm main",
                "deb http://mirror.test/debian bookworm-updates main",
                "deb http://mirror.test/debian-security bookworm-security main",
            ]
        );
    }
}
