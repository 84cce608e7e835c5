//! `thon run`: the appliance itself.

use clap::ValueEnum;

use super::Context;
use super::failure::Failure;
use crate::config::LogLevel;
use crate::server;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How much is logged, instead of what the settings say
    #[arg(long, value_enum, ignore_case = true)]
    log_level: Option<Level>,
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
    Ok(server::run(&config)?)
}
