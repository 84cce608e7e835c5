//! `RequestLine`: lines about requests as tracing's own format writes them, without what it pays for
//! colours, spans and a new date for each.
//!
//! There is one for every request, and nothing else is logged a thousand times a second.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use parking_lot::Mutex;
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
    clock: Clock,
    others: Format<Full>,
}

impl RequestLine {
    pub(super) fn new() -> Self {
        Self {
            clock: Clock::default(),
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
        self.clock.write(Timestamp::now(), &mut line);
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
    line.extend(u8::try_from(number % 10).map(|digit| char::from(b'0' + digit)));
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

/// Writes the time with microseconds, and makes the date anew only when a second has passed.
#[derive(Default)]
struct Clock(Mutex<Second>);

#[derive(Default)]
struct Second {
    /// Since 1970.
    number: i64,
    /// `2026-11-22T11:38:08.`
    text: String,
}

impl Clock {
    fn write(&self, now: Timestamp, line: &mut String) {
        let mut second = self.0.lock();
        if second.number != now.as_second() || second.text.is_empty() {
            *second = Second::of(now);
        }
        line.push_str(&second.text);
        drop(second);
        // Negative before 1970, where no clock of ours stands.
        let micros = now.subsec_microsecond().unsigned_abs();
        let digits = micros.checked_ilog10().unwrap_or(0) + 1;
        line.extend((digits..6).map(|_| '0'));
        push_number(line, micros.into());
        line.push('Z');
    }
}

impl Second {
    fn of(now: Timestamp) -> Self {
        Self {
            number: now.as_second(),
            text: now.strftime("%Y-%m-%dT%H:%M:%S.").to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

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
    fn a_second_is_written_once_and_its_microseconds_every_time() {
        let clock = Clock::default();
        let at = |seconds, micros: i32| {
            let mut text = String::new();
            let now = Timestamp::new(seconds, micros * 1_000).unwrap();
            clock.write(now, &mut text);
            text
        };
        assert_eq!(at(0, 1), "1970-01-01T00:00:00.000001Z");
        assert_eq!(at(1_795_347_488, 753_384), "2026-11-22T11:38:08.753384Z");
        assert_eq!(at(1_795_347_488, 999_999), "2026-11-22T11:38:08.999999Z");
        assert_eq!(at(1_795_347_489, 0), "2026-11-22T11:38:09.000000Z");
        assert_eq!(at(1_795_347_488, 0), "2026-11-22T11:38:08.000000Z");
    }
}
