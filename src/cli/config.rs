//! `thon config`: what the settings are, and whether they are valid.

mod env_file;

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::Context;
use super::failure::Failure;
use super::output::print;
use super::words::count;
use crate::config::{Problems, Settings, reference};

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Every setting in force, in the form of a settings file, with secrets hidden
    Show,
    /// Settings as environment variables, for other programs
    Env {
        /// Write them to this file, readable by its owner only, secrets included
        #[arg(long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Every key with its default and its meaning, commented out
    Reference,
    /// Every problem at once, or how many groups and participants there are
    Validate,
}

pub(super) fn perform(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    if let Action::Reference = args.action {
        return print(&reference::file());
    }
    let settings = match Settings::load(context.config_path.as_deref(), context.vars) {
        Ok(settings) => settings,
        Err(problems) => return refused(context, &args.action, problems),
    };
    for warning in settings.warnings() {
        context.output.warn(&warning.to_string());
    }
    match &args.action {
        Action::Show => context
            .output
            .show(&settings.to_json(), |_| settings.to_yaml()),
        Action::Env { output } => env_file::perform(context, &settings, output.as_deref()),
        Action::Validate | Action::Reference => valid(context, settings),
    }
}

/// Programs get the problems as data; people get them where every command puts them.
fn refused(context: &Context<'_>, action: &Action, problems: Problems) -> Result<(), Failure> {
    if let Action::Validate = action {
        let answer = json!({"valid": false, "problems": problems.0});
        context.output.show(&answer, |_| String::new())?;
    }
    Err(problems.into())
}

fn valid(context: &Context<'_>, settings: Settings) -> Result<(), Failure> {
    let config = settings.config();
    let source = config
        .source
        .as_ref()
        .map(|path| path.display().to_string());
    let answer = json!({
        "valid": true,
        "source": source,
        "groups": config.groups.len(),
        "users": config.users().count(),
        "warnings": config.warnings,
    });
    context.output.show(&answer, |_| {
        format!(
            "{} is valid: {}, {}",
            source.as_deref().unwrap_or("the default configuration"),
            count(config.groups.len(), "group"),
            count(config.users().count(), "participant"),
        )
    })
}
