//! `Lines`: the log's lines on their way out, those of requests many at a time.
//!
//! A line about a request waits with others for a thread of its own, which writes them together: no
//! request pays for a system call, or waits for a disk. Every other line is written at once, after
//! those that wait, so the order is that of the events. A process that is killed loses what waited.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// The target of the lines that may wait.
pub(super) const REQUESTS: &str = "thon::access";

/// How long a line may wait.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// As many bytes are written without waiting any longer.
const ENOUGH_BYTES: usize = 64 << 10;

/// What a disk that does not keep up may make us hold. Lines beyond are counted and lost.
const HELD_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    /// Locked before `held` where both are.
    out: Mutex<Out>,
    held: Mutex<Held>,
    /// There is something to write, or enough of it.
    filled: Condvar,
}

struct Out {
    to: Box<dyn Write + Send>,
    /// What is being written. Its memory is the next lines': they come by the megabyte.
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    lines_lost: u64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Lines {
    /// Starts the thread that writes, which lives as long as the process.
    pub(super) fn to(out: Box<dyn Write + Send>) -> io::Result<Self> {
        let lines = Self(Arc::new(Shared {
            out: Mutex::new(Out {
                to: out,
                bytes: Vec::new(),
            }),
            held: Mutex::default(),
            filled: Condvar::new(),
        }));
        let writing = lines.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                loop {
                    writing.0.write_next();
                }
            })?;
        Ok(lines)
    }

    /// Whatever waits is written now.
    pub(super) fn release(&self) {
        self.0.write(&[]).ok();
    }
}

impl Shared {
    /// Waits for a line, a little for others, and writes them.
    fn write_next(&self) {
        let mut held = self.held.lock();
        self.filled
            .wait_while(&mut held, |held| held.bytes.is_empty());
        self.filled
            .wait_while_for(&mut held, |held| held.bytes.len() < ENOUGH_BYTES, WAIT_MAX);
        let lost = std::mem::take(&mut held.lines_lost);
        drop(held);
        // There is no place left to say that the log cannot be written.
        self.write(&[]).ok();
        if lost > 0 {
            tracing::warn!(
                lines.lost = lost,
                "the log does not keep up with the requests"
            );
        }
    }

    /// What waits, and then `line`.
    fn write(&self, line: &[u8]) -> io::Result<()> {
        let mut out = self.out.lock();
        let Out { to, bytes } = &mut *out;
        std::mem::swap(bytes, &mut self.held.lock().bytes);
        let written = to.write_all(bytes);
        bytes.clear();
        bytes.shrink_to(2 * ENOUGH_BYTES);
        to.write_all(line)?;
        written
    }

    fn hold(&self, line: &[u8]) {
        let mut held = self.held.lock();
        if held.bytes.len() + line.len() > HELD_BYTES_MAX {
            held.lines_lost += 1;
            return;
        }
        let before = held.bytes.len();
        held.bytes.extend_from_slice(line);
        let is_enough = before < ENOUGH_BYTES && held.bytes.len() >= ENOUGH_BYTES;
        drop(held);
        if before == 0 || is_enough {
            self.filled.notify_one();
        }
    }
}

/// Takes one whole line.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    may_wait: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.may_wait {
            self.lines.0.hold(line);
        } else {
            self.lines.0.write(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            lines: self,
            may_wait: false,
        }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        Line {
            lines: self,
            may_wait: event.target() == REQUESTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Says what is written, one message a write; takes no more than somebody receives.
    struct Wire(mpsc::SyncSender<String>);

    impl Write for Wire {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            if !text.is_empty() {
                self.0.send(text).ok();
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn wire() -> (Lines, mpsc::Receiver<String>) {
        let (sent, received) = mpsc::sync_channel(0);
        (Lines::to(Box::new(Wire(sent))).unwrap(), received)
    }

    fn line(lines: &Lines, may_wait: bool, text: &str) {
        Line { lines, may_wait }.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn lines_of_requests_are_written_together_and_by_themselves() {
        let (lines, received) = wire();
        for number in 0..50 {
            line(&lines, true, &format!("{number}\n"));
        }
        let mut text = String::new();
        let mut writes = 0;
        while text.lines().count() < 50 {
            text += &received.recv().unwrap();
            writes += 1;
        }
        let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert!(writes < 50, "{writes}");
    }

    #[test]
    fn another_line_is_written_at_once_and_after_those_that_wait() {
        let (lines, received) = wire();
        let text: Vec<String> = thread::scope(|scope| {
            scope.spawn(|| {
                line(&lines, true, "a request\n");
                line(&lines, false, "a warning\n");
            });
            received.iter().take(2).collect()
        });
        assert_eq!(text, ["a request\n", "a warning\n"]);
    }

    #[test]
    fn a_disk_that_stands_still_stops_no_request_and_what_is_lost_is_counted() {
        let (lines, received) = wire();
        let long = "x".repeat(1 << 20);
        for _ in 0..20 {
            line(&lines, true, &long);
        }
        let held = lines.0.held.lock();
        assert!(held.bytes.len() <= HELD_BYTES_MAX);
        assert!(held.lines_lost > 0);
        drop(held);
        drop(received);
    }
}
