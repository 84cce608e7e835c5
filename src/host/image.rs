//! Builds the sandbox image from the sources inside this binary, unless it is there already.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::BuildInfo;
use bollard::query_parameters::BuildImageOptions;
use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use crate::host::{HostError, Progress, Report, base_image, embedded, engine, say};

/// Says which sources an image was built from.
pub const LABEL_CONTEXT: &str = "thon.context";
const TARGET: &str = "sandbox";
/// Compiling says nothing for minutes.
const SILENCE: Duration = Duration::from_mins(30);
const LINES_SHOWN: usize = 25;
/// What the host's administrator added to Debian's authorities: networks that open TLS need it.
const HOST_AUTHORITIES: &str = "/usr/local/share/ca-certificates";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Built {
    /// It was there, made from these sources.
    Already,
    Now,
}

/// Afterwards there is an image of this name, made from the sources in this binary. The old one,
/// if any, keeps the name until the new one is complete.
pub async fn build_sandbox(
    socket: &Path,
    image: &str,
    report: Report<'_>,
) -> Result<Built, HostError> {
    let authorities = authorities(Path::new(HOST_AUTHORITIES));
    let context = context(&authorities)
        .map_err(|error| HostError::failed(format!("cannot pack the image's sources: {error}")))?;
    let hash = format!("{:x}", Sha256::digest(&context));
    if engine::image_label(socket, image, LABEL_CONTEXT)
        .await?
        .as_ref()
        == Some(&hash)
    {
        return Ok(Built::Already);
    }
    let base = base_image::ensure(socket, report).await?;
    say(
        report,
        format!("building {image}: some minutes, and two gigabytes of disk"),
    );
    build(socket, context, options(image, base, hash), report).await?;
    Ok(Built::Now)
}

fn options(image: &str, base: &str, hash: String) -> BuildImageOptions {
    BuildImageOptions {
        dockerfile: "Dockerfile".to_owned(),
        t: Some(image.to_owned()),
        target: TARGET.to_owned(),
        rm: true,
        forcerm: true,
        buildargs: Some(HashMap::from([("BASE_IMAGE".to_owned(), base.to_owned())])),
        labels: Some(HashMap::from([(LABEL_CONTEXT.to_owned(), hash)])),
        ..BuildImageOptions::default()
    }
}

async fn build(
    socket: &Path,
    context: Vec<u8>,
    options: BuildImageOptions,
    report: Report<'_>,
) -> Result<(), HostError> {
    let api = engine::connect(socket)?;
    let body = bollard::body_full(Bytes::from(context));
    let mut infos = api.build_image(options, None, Some(body));
    let mut log = Log::default();
    loop {
        let next = tokio::time::timeout(SILENCE, infos.next()).await;
        match next {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(info))) => log.take(info, report),
            Ok(Some(Err(error))) => return Err(log.failure(&engine::failed(&error).to_string())),
            Err(_) => return Err(log.failure("the build said nothing for half an hour")),
        }
    }
}

/// The step that is being built and its last lines.
#[derive(Default)]
struct Log {
    step: Option<(u32, u32)>,
    step_text: String,
    lines: VecDeque<String>,
}

impl Log {
    fn take(&mut self, info: BuildInfo, report: Report<'_>) {
        let text = info.stream.or(info.status).unwrap_or_default();
        for line in text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
        {
            let begun = step(line);
            if let Some((step, text)) = begun {
                self.step = Some(step);
                text.clone_into(&mut self.step_text);
                self.lines.clear();
            } else if self.lines.len() == LINES_SHOWN {
                self.lines.pop_front();
            }
            self.lines.push_back(line.to_owned());
            report(Progress {
                step: self.step,
                text: begun.map_or(line, |(_, text)| text).to_owned(),
            });
        }
    }

    fn failure(&self, error: &str) -> HostError {
        let step = self.step.map_or_else(String::new, |(number, of)| {
            format!(" in step {number} of {of}, `{}`", self.step_text)
        });
        let printed: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        HostError::Failed {
            what: format!("building the sandbox image failed{step}: {error}"),
            printed: printed.join("\n"),
        }
    }
}

/// `Step 3/28 : RUN apt-get update`, as the legacy builder prints it.
fn step(line: &str) -> Option<((u32, u32), &str)> {
    let (numbers, text) = line.strip_prefix("Step ")?.split_once(" : ")?;
    let (number, of) = numbers.split_once('/')?;
    Some(((number.parse().ok()?, of.parse().ok()?), text))
}

/// The same sources make the same bytes: their hash decides whether to build.
fn context(authorities: &str) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let files = embedded::FILES
        .into_iter()
        .chain([("host-ca.crt", authorities)]);
    for (path, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(contents.len() as u64);
        header.set_mtime(0);
        tar.append_data(&mut header, path, contents.as_bytes())?;
    }
    tar.into_inner()
}

/// Every `.crt` below the directory, in the order of their names.
fn authorities(directory: &Path) -> String {
    let mut files = Vec::new();
    collect(directory, &mut files);
    files.sort();
    let mut all = String::new();
    for text in files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
    {
        all.push_str(text.trim_end());
        all.push('\n');
    }
    all
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "crt") {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> BuildInfo {
        BuildInfo {
            stream: Some(text.to_owned()),
            ..BuildInfo::default()
        }
    }

    #[test]
    fn progress_counts_steps_and_a_failure_shows_the_last_lines_of_its_own() {
        let mut seen = Vec::new();
        let mut report = |progress: Progress| seen.push(progress);
        let mut log = Log::default();
        log.take(info("Step 1/9 : FROM x\n"), &mut report);
        log.take(info(" ---> 123\n"), &mut report);
        log.take(info("Step 2/9 : RUN npm install\n"), &mut report);
        log.take(info("npm error\nnpm error code E404\n"), &mut report);
        let failure = log.failure("returned a non-zero code: 1").to_string();
        assert!(
            failure.contains("step 2 of 9, `RUN npm install`"),
            "{failure}"
        );
        assert!(failure.ends_with("    npm error code E404"), "{failure}");
        assert!(!failure.contains("123"), "{failure}");
        assert_eq!(seen[2].step, Some((2, 9)));
    }

    #[test]
    fn the_same_sources_make_the_same_context() {
        assert_eq!(context("").unwrap(), context("").unwrap());
        assert_ne!(context("").unwrap(), context("-----BEGIN").unwrap());
    }

    #[test]
    fn authorities_are_collected_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("b")).unwrap();
        for (name, text) in [
            ("c.crt", "3"),
            ("a.crt", "1\n"),
            ("b/x.crt", "2"),
            ("d.txt", "4"),
        ] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        assert_eq!(authorities(directory.path()), "1\n2\n3\n");
        assert_eq!(authorities(&directory.path().join("none")), "");
    }
}
