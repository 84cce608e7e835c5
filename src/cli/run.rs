//! `thon run`: the appliance itself.

use std::path::PathBuf;

use clap::ValueEnum;

use super::Context;
use super::failure::Failure;
use crate::config::LogLevel;
use crate::server;
use crate::telemetry::Destination;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How much is logged, instead of what the settings say
    #[arg(long, value_enum, ignore_case = true)]
    log_level: Option<Level>,

    /// Log to this file, which makes room for the next one at 10 MiB, instead of standard error
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warning => Self::Warning,
            Level::Error => Self::Error,
        }
    }
}

pub(super) fn perform(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    let mut config = context.config()?;
    if let Some(level) = args.log_level {
        config.log_level = level.into();
    }
    let log = args
        .log_file
        .clone()
        .map_or(Destination::Stderr, Destination::File);
    Ok(server::run(&config, log)?)
}
