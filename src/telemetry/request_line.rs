//! `RequestLine`: lines about requests as tracing's own format writes them, without what it pays for
//! colours, spans and formatting machinery.
//!
//! There is one for every request, and nothing else is logged a thousand times a second.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::lines::REQUESTS;

/// Of most lines.
const LINE_BYTES: usize = 320;

/// With the space in front of it.
const LEVEL_WIDTH: usize = 6;

/// Every other line is tracing's.
pub(super) struct RequestLine {
    others: Format<Full>,
}

impl RequestLine {
    pub(super) fn new() -> Self {
        Self {
            others: Format::default().with_target(false).with_ansi(false),
        }
    }
}

impl<S, N> FormatEvent<S, N> for RequestLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != REQUESTS {
            return self.others.format_event(context, writer, event);
        }
        let mut line = String::with_capacity(LINE_BYTES);
        push_time(&mut line, Timestamp::now());
        for _ in event.metadata().level().as_str().len()..LEVEL_WIDTH {
            line.push(' ');
        }
        line.push_str(event.metadata().level().as_str());
        event.record(&mut Fields(&mut line));
        line.push('\n');
        writer.write_str(&line)
    }
}

/// Writes ` name=value` for each. Writing to a String cannot fail.
struct Fields<'a>(&'a mut String);

impl Fields<'_> {
    /// The event's own words have no name.
    fn begin(&mut self, field: &Field) {
        self.0.push(' ');
        let name = field.name();
        if name != "message" {
            self.0.push_str(name);
            self.0.push('=');
        }
    }
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.begin(field);
        push_number(self.0, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.begin(field);
        push_quoted(self.0, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.begin(field);
        write!(self.0, "{value:?}").ok();
    }
}

fn push_number(line: &mut String, number: u64) {
    if number >= 10 {
        push_number(line, number / 10);
    }
    push_digit(line, u8::try_from(number % 10).unwrap_or(0));
}

fn push_digit(line: &mut String, digit: u8) {
    line.push(char::from(b'0' + digit));
}

/// Most values have nothing that must be escaped.
fn push_quoted(line: &mut String, value: &str) {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if !value.bytes().all(is_plain) {
        write!(line, "{value:?}").ok();
        return;
    }
    line.push('"');
    line.push_str(value);
    line.push('"');
}

/// In UTC, with microseconds.
fn push_time(line: &mut String, now: Timestamp) {
    let now = TimeZone::UTC.to_datetime(now);
    for (number, width, end) in [
        (now.year().unsigned_abs().into(), 4, '-'),
        (now.month().unsigned_abs().into(), 2, '-'),
        (now.day().unsigned_abs().into(), 2, 'T'),
        (now.hour().unsigned_abs().into(), 2, ':'),
        (now.minute().unsigned_abs().into(), 2, ':'),
        (now.second().unsigned_abs().into(), 2, '.'),
        (now.subsec_nanosecond().unsigned_abs() / 1_000, 6, 'Z'),
    ] {
        push_padded(line, number, width);
        line.push(end);
    }
}

fn push_padded(line: &mut String, number: u32, width: u32) {
    if width > 1 {
        push_padded(line, number / 10, width - 1);
    }
    push_digit(line, u8::try_from(number % 10).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Text(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Text {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Text {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn events() {
        tracing::event!(
            target: "thon::access",
            tracing::Level::INFO,
            listener.name = "public",
            peer.addr = Some(tracing::field::display("192.0.2.1:4711")),
            http.method = "M\"\\\u{e9}\u{1b}",
            http.path = %"/w/red/alice/",
            http.status = Some(200_u16),
            session.id = None::<u64>,
            bytes.sent = 72_usize,
            outcome = "proxy: what's \"wrong\"",
            "request"
        );
        tracing::warn!(lines.lost = 3, error = ?io::ErrorKind::Other, "another line");
        tracing::info!(target: "thon::access", outcome = "");
    }

    /// Without the time.
    fn written(lines: &Text) -> Vec<String> {
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        text.lines()
            .map(|line| line.split_once("Z ").unwrap().1.to_owned())
            .collect()
    }

    #[test]
    fn a_line_about_a_request_is_the_one_that_tracing_would_write() {
        let (ours, theirs) = (Text::default(), Text::default());
        let format = tracing_subscriber::fmt().with_writer(ours.clone());
        let format = format.event_format(RequestLine::new()).finish();
        tracing::subscriber::with_default(format, events);
        let format = tracing_subscriber::fmt()
            .with_writer(theirs.clone())
            .with_target(false)
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(format, events);
        assert_eq!(written(&ours), written(&theirs));
        assert_eq!(written(&ours).len(), 3);
    }

    #[test]
    fn a_time_is_written_with_all_its_digits() {
        for time in [
            "1970-01-01T00:00:00.000001Z",
            "2026-11-22T11:38:08.753384Z",
            "2026-12-31T23:59:59.999999Z",
            "2028-02-29T00:00:00.000000Z",
        ] {
            let mut line = String::new();
            push_time(&mut line, time.parse().unwrap());
            assert_eq!(line, time);
        }
    }
}
