//! Starting logs: to standard error, for people or as JSON for a collector.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    Json,
    #[default]
    Text,
}

/// Starts logging. `level` is ours; the libraries below report warnings only, and those that speak
/// with strangers nothing that a stranger can cause: pingora logs an error for every client that goes
/// away, h2 and rustls warn of every one that misbehaves.
pub fn start(level: &str, format: Format) {
    let filter = EnvFilter::new(format!(
        "warn,thon={level},h2=error,pingora_core=off,pingora_proxy=off,rustls=error"
    ));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_target(false);
    let started = match format {
        Format::Json => builder.json().try_init(),
        Format::Text => builder.with_ansi(false).try_init(),
    };
    // Logging was started before: by a test that runs two appliances in one process.
    drop(started);
}
