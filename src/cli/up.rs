//! `thon up`: from nothing to a running demo, and its links.

use std::path::Path;

use super::client::Client;
use super::failure::Failure;
use super::output::{self, Output};
use super::{Context, launch, wait};
use crate::api::LaunchRequest;
use crate::server::{self, Report, Up};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Leave the appliance running in the background
    #[arg(long, short)]
    detach: bool,
}

pub(super) fn perform(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    let up = Up {
        config_path: context.config_path.clone(),
        detach: args.detach,
    };
    let mut guide = Guide {
        output: &context.output,
        detach: args.detach,
    };
    Ok(server::up(&up, &mut guide)?)
}

/// Tells what happens, and launches as soon as there is somebody to ask for it.
struct Guide<'a> {
    output: &'a Output,
    detach: bool,
}

impl Report for Guide<'_> {
    fn step(&mut self, text: &str) {
        output::say(text);
    }

    fn ready(&mut self, control_socket: &Path) -> anyhow::Result<()> {
        let client = Client::new(control_socket.to_owned());
        let wish = LaunchRequest {
            group: None,
            demo: true,
        };
        wait(launch::launch(
            &client,
            self.output,
            &wish,
            launch::Wait::UntilSettled,
        ))?;
        self.output.hint(if self.detach {
            "the appliance runs in the background: see `thon status`"
        } else {
            "the appliance runs until you press Ctrl-C; editors go on without it"
        });
        Ok(())
    }
}
