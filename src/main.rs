//! Entry point: hand the arguments to `cli`, turn the outcome into an exit code.

use std::process::ExitCode;

use thon::cli::{self, Exit};
use thon::config::env::ProcessVars;

fn main() -> ExitCode {
    ExitCode::from(match cli::main(std::env::args_os(), &ProcessVars) {
        Exit::Done => 0,
        Exit::Failed => 1,
        Exit::Usage => 2,
        // EX_USAGE: systemd is told not to start the appliance again with the same settings.
        Exit::BadConfiguration => 64,
    })
}
