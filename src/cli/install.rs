//! `thon install` and `thon uninstall`: the appliance as a service of this host.

use super::Context;
use super::failure::Failure;
use super::output;
use crate::server::{self, Installed, Start, Step};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Put everything in place, and leave what runs as it is
    #[arg(long)]
    no_start: bool,
}

pub(super) fn perform(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    if context.config_path.is_some() {
        return Err(Failure::new("a service reads its own settings")
            .hint("put them into /etc/thon/thon.yaml, and leave --config out"));
    }
    let start = if args.no_start {
        Start::Later
    } else {
        Start::Now
    };
    let installed = server::install(start, context.vars, &mut |step| tell(step))?;
    context.output.show(&installed, words)?;
    context.output.hint(
        "`thon doctor` says what is missing still; `thon up` gets Docker and the editors' image",
    );
    Ok(())
}

pub(super) fn undo(context: &Context<'_>) -> Result<(), Failure> {
    let steps = server::uninstall(&mut |step| tell(step))?;
    context.output.show(&steps, |_| {
        "the service is gone; settings, records and participants' files are where they were"
            .to_owned()
    })
}

fn tell(step: &Step) {
    let done = if step.is_changed { "done" } else { "unchanged" };
    output::say(&format!("{done:<10} {}", step.what));
}

fn words(installed: &Installed) -> String {
    if installed.is_running {
        "the service thon runs: `systemctl status thon`, `journalctl -u thon`".to_owned()
    } else {
        "the service thon is installed: `systemctl start thon`".to_owned()
    }
}
