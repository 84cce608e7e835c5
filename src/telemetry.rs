//! Starting logs: to standard error, or to a file that never grows without bound; metrics, and the way
//! of usage out of a request.

mod lines;
pub mod metrics;
mod request_line;
pub mod usage;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate, compression::Compression};
use tracing_subscriber::EnvFilter;

use lines::Lines;
use request_line::RequestLine;

/// A log file of this size makes room for the next one.
const FILE_BYTES_MAX: usize = 10 << 20;

/// Full files that are kept beside the current one.
const FILES_KEPT: usize = 2;

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    File(PathBuf),
    Stderr,
}

/// What is logged before this goes has been written.
#[derive(Debug)]
pub struct Log(Option<Lines>);

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(lines) = &self.0 {
            lines.release();
        }
    }
}

/// Starts logging. `level` is ours; the libraries below report warnings only, and those that speak
/// with strangers nothing that a stranger can cause: pingora logs an error for every client that goes
/// away, h2 and rustls warn of every one that misbehaves. Bollard below `warn` prints whole requests.
pub fn start(level: &str, destination: Destination) -> Log {
    let filter = EnvFilter::new(format!(
        "warn,thon={level},h2=error,pingora_core=off,pingora_proxy=off,rustls=error"
    ));
    // A process that can start no thread does not get far.
    let Ok(lines) = Lines::to(writer(destination)) else {
        return Log(None);
    };
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines.clone())
        .with_ansi(false)
        .event_format(RequestLine::new())
        .try_init();
    // Otherwise it was started before: by a test that runs two appliances in one process.
    Log(started.is_ok().then_some(lines))
}

fn writer(destination: Destination) -> Box<dyn Write + Send> {
    let Destination::File(path) = destination else {
        return stderr();
    };
    let limit = ContentLimit::Bytes(FILE_BYTES_MAX);
    let files = AppendCount::new(FILES_KEPT);
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true).mode(0o600);
    let file = FileRotate::new(path, files, limit, Compression::None, Some(options));
    Box::new(file)
}

/// A descriptor of our own: the standard library's is locked for whoever prints.
fn stderr() -> Box<dyn Write + Send> {
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(File::from(descriptor)),
        Err(_) => Box::new(io::stderr()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_file_makes_room_for_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(Destination::File(dir.path().join("thon.log")));
        let line = vec![b'x'; 1 << 20];
        for _ in 0..50 {
            writer.write_all(&line).unwrap();
        }
        let sizes = std::fs::read_dir(dir.path()).unwrap();
        let sizes: Vec<u64> = sizes
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .collect();
        assert_eq!(sizes.len(), 1 + FILES_KEPT, "{sizes:?}");
        assert!(
            sizes.iter().all(|size| *size <= FILE_BYTES_MAX as u64),
            "{sizes:?}"
        );
    }
}
