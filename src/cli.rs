//! The command line: one variant a command, one file a command.

mod ca;
mod cleanup;
mod client;
mod config;
mod doctor;
mod failure;
mod gateway;
mod install;
mod instances;
mod invites;
mod keys;
mod launch;
mod output;
mod progress;
mod run;
mod status;
mod up;
mod usage;
mod words;

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::{Config, Vars};
use client::Client;
use failure::Failure;
use output::Output;

/// How a command ended; `main` chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    /// The command line was not understood, or there was no command.
    Usage,
    /// The configuration is not valid: starting again without changing it is of no use.
    BadConfiguration,
}

const EXAMPLES: &str = "\
Examples:
  thon up                            from nothing to a running demo, with links to open
  thon launch --group red            start everybody's editor in the group red
  thon status                        how the appliance and its instances are
  thon doctor                        what is wrong, and what to do about it
  thon instances logs red/alice      why an editor does not start
  thon invites rotate red/alice      a new link for somebody who lost theirs
  thon keys create red/alice         a key for the language model, to be used anywhere
  thon usage --by group --since today who used how much of the language model
  thon --json status | jq .health    everything is also there for programs

Exit codes: 0 done, 1 failed, 2 not understood, 64 the configuration is not valid";

/// THON, the Hackathon Organizer Node: a private VS Code in the browser for every participant.
#[derive(Debug, Parser)]
#[command(
    name = "thon",
    version,
    after_help = EXAMPLES,
    arg_required_else_help = true
)]
struct Cli {
    /// Settings file, instead of the usual places
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Answer as JSON on standard output
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// From nothing to a running demo on this host
    Up(up::Args),
    /// Make it a service of this host, or upgrade it: by systemd, as root
    Install(install::Args),
    /// Take the service and the program away; settings, records and files stay
    Uninstall,
    /// The appliance itself, in the foreground (what systemd starts)
    Run(run::Args),
    /// Start participants' editors and print their links
    Launch(launch::Args),
    /// How the appliance is
    Status,
    /// Everything that is wrong on this host, and what to do about it
    Doctor,
    /// Participants' editors: list, start, stop, repair
    #[command(visible_alias = "instance")]
    Instances(instances::Args),
    /// Participants' personal links
    #[command(visible_alias = "invite")]
    Invites(invites::Args),
    /// Keys for the language model
    #[command(visible_alias = "key")]
    Keys(keys::Args),
    /// The language model: backends, slots, who waits, limits
    Gateway(gateway::Args),
    /// Who used how much of the language model
    Usage(usage::Args),
    /// The certificate that participants' browsers have to trust
    Ca(ca::Args),
    /// The settings
    Config(config::Args),
    /// Remove every instance; workspaces and home directories stay
    Cleanup(cleanup::Args),
}

/// Runs a command line.
pub fn main(args: impl IntoIterator<Item = OsString>, vars: &dyn Vars) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    let context = Context {
        config_path: cli.config,
        vars,
        output: Output::new(cli.json, vars),
    };
    match context.perform(cli.command) {
        Ok(()) => Exit::Done,
        Err(failure) => context.output.fail(&failure),
    }
}

/// What every command gets.
struct Context<'a> {
    config_path: Option<PathBuf>,
    vars: &'a dyn Vars,
    output: Output,
}

impl Context<'_> {
    fn perform(&self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Up(args) => up::perform(self, &args),
            Command::Install(args) => install::perform(self, &args),
            Command::Uninstall => install::undo(self),
            Command::Run(args) => run::perform(self, &args),
            Command::Launch(args) => wait(launch::perform(self, args)),
            Command::Status => wait(status::perform(self)),
            Command::Doctor => doctor::perform(self),
            Command::Instances(args) => wait(instances::perform(self, args)),
            Command::Invites(args) => wait(invites::perform(self, args)),
            Command::Keys(args) => wait(keys::perform(self, args)),
            Command::Gateway(args) => wait(gateway::perform(self, args)),
            Command::Usage(args) => wait(usage::perform(self, args)),
            Command::Ca(args) => wait(ca::perform(self, args)),
            Command::Config(args) => config::perform(self, &args),
            Command::Cleanup(args) => wait(cleanup::perform(self, &args)),
        }
    }

    fn config(&self) -> Result<Config, Failure> {
        Ok(crate::config::load(self.config_path.as_deref(), self.vars)?)
    }

    /// The appliance that the same settings would start.
    fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.config()?.control_socket()))
    }
}

/// Commands are short: one thread is enough for them.
fn wait<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("no runtime for this command: {error}")))?
        .block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::env::FixedVars;

    fn exit(args: &[&str]) -> Exit {
        let args = std::iter::once("thon").chain(args.iter().copied());
        main(args.map(OsString::from), &FixedVars::default())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_and_an_unknown_one_are_usage_errors() {
        assert_eq!(exit(&[]), Exit::Usage);
        assert_eq!(exit(&["fly"]), Exit::Usage);
        assert_eq!(exit(&["instances", "stop", "alice"]), Exit::Usage);
        assert_eq!(exit(&["--help"]), Exit::Done);
        assert_eq!(exit(&["--version"]), Exit::Done);
    }

    #[test]
    fn global_options_may_stand_anywhere() {
        for args in [
            ["thon", "--json", "--config", "x.yaml", "status"],
            ["thon", "status", "--config", "x.yaml", "--json"],
        ] {
            let cli = Cli::try_parse_from(args).unwrap();
            assert!(cli.json && cli.config.is_some());
        }
    }
}
