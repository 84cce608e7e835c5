//! `RequestLine`: lines about requests as tracing's own format writes them, without what it pays for
//! colours, spans and a new date for each.
//!
//! There is one for every request, and nothing else is logged a thousand times a second.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::lines::REQUESTS;

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
        self.clock.write(SystemTime::now(), &mut writer)?;
        write!(writer, " {:>5}", event.metadata().level().as_str())?;
        let mut fields = Fields {
            writer: &mut writer,
            result: Ok(()),
        };
        event.record(&mut fields);
        fields.result?;
        writer.write_char('\n')
    }
}

/// Writes ` name=value` for each.
struct Fields<'a, 'b> {
    writer: &'a mut Writer<'b>,
    result: fmt::Result,
}

impl Fields<'_, '_> {
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.begin(field.name()).and_then(|()| value(self.writer));
        }
    }

    /// The event's own words have no name.
    fn begin(&mut self, name: &str) -> fmt::Result {
        self.writer.write_char(' ')?;
        if name != "message" {
            self.writer.write_str(name)?;
            self.writer.write_char('=')?;
        }
        Ok(())
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, |writer| write_quoted(writer, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, |writer| write!(writer, "{value:?}"));
    }
}

/// Most values have nothing that must be escaped.
fn write_quoted(writer: &mut Writer<'_>, value: &str) -> fmt::Result {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if !value.bytes().all(is_plain) {
        return write!(writer, "{value:?}");
    }
    writer.write_char('"')?;
    writer.write_str(value)?;
    writer.write_char('"')
}

/// Writes the time with microseconds, and makes the date anew only when a second has passed.
#[derive(Default)]
struct Clock(Mutex<Second>);

#[derive(Default)]
struct Second {
    number: u64,
    /// `2026-11-22T11:38:08.`
    text: String,
}

impl Clock {
    fn write(&self, now: SystemTime, writer: &mut impl fmt::Write) -> fmt::Result {
        // Before 1970 it is 1970.
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let mut second = self.0.lock();
        if second.number != since.as_secs() || second.text.is_empty() {
            *second = Second::of(since);
        }
        writer.write_str(&second.text)?;
        drop(second);
        write!(writer, "{:06}Z", since.subsec_micros())
    }
}

impl Second {
    fn of(since: Duration) -> Self {
        let whole = i64::try_from(since.as_secs()).ok();
        let second = whole.and_then(|whole| Timestamp::from_second(whole).ok());
        Self {
            number: since.as_secs(),
            text: second
                .unwrap_or_default()
                .strftime("%Y-%m-%dT%H:%M:%S.")
                .to_string(),
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
            peer.addr = Some("192.0.2.1:4711").map(tracing::field::display),
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
        let at = |seconds: u64, micros: u32| {
            let mut text = String::new();
            let now = UNIX_EPOCH + Duration::new(seconds, micros * 1_000);
            clock.write(now, &mut text).unwrap();
            text
        };
        assert_eq!(at(0, 1), "1970-01-01T00:00:00.000001Z");
        assert_eq!(at(1_795_347_488, 753_384), "2026-11-22T11:38:08.753384Z");
        assert_eq!(at(1_795_347_488, 999_999), "2026-11-22T11:38:08.999999Z");
        assert_eq!(at(1_795_347_489, 0), "2026-11-22T11:38:09.000000Z");
        assert_eq!(at(1_795_347_488, 0), "2026-11-22T11:38:08.000000Z");
    }
}
