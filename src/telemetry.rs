//! Starting logs: to standard error, or to a file that never grows without bound.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate, compression::Compression};
use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

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

/// Starts logging. `level` is ours; the libraries below report warnings only, and those that speak
/// with strangers nothing that a stranger can cause: pingora logs an error for every client that goes
/// away, h2 and rustls warn of every one that misbehaves. Bollard below `warn` prints whole requests.
pub fn start(level: &str, destination: Destination) {
    let filter = EnvFilter::new(format!(
        "warn,thon={level},h2=error,pingora_core=off,pingora_proxy=off,rustls=error"
    ));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer(destination))
        .with_target(false)
        .with_ansi(false)
        .try_init();
    // Logging was started before: by a test that runs two appliances in one process.
    drop(started);
}

fn writer(destination: Destination) -> BoxMakeWriter {
    let Destination::File(path) = destination else {
        return stderr();
    };
    let limit = ContentLimit::Bytes(FILE_BYTES_MAX);
    let files = AppendCount::new(FILES_KEPT);
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true).mode(0o600);
    let file = FileRotate::new(path, files, limit, Compression::None, Some(options));
    let shared = Shared(Arc::new(Mutex::new(file)));
    BoxMakeWriter::new(move || shared.clone())
}

/// A descriptor of our own: the standard library's writer holds one lock over every write, and threads
/// that log a request would wait for each other. The kernel keeps the lines apart.
fn stderr() -> BoxMakeWriter {
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => BoxMakeWriter::new(File::from(descriptor)),
        Err(_) => BoxMakeWriter::new(io::stderr),
    }
}

/// One file for all threads: a line is written as a whole.
#[derive(Clone)]
struct Shared(Arc<Mutex<FileRotate<AppendCount>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::fmt::MakeWriter as _;

    #[test]
    fn a_log_file_makes_room_for_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let writer = writer(Destination::File(dir.path().join("thon.log")));
        let line = vec![b'x'; 1 << 20];
        for _ in 0..50 {
            writer.make_writer().write_all(&line).unwrap();
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
