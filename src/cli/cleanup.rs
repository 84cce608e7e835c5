//! `thon cleanup`: no instance is left, no file is lost.

use super::Context;
use super::failure::Failure;
use super::output;
use super::words::count;
use crate::api::CleanupResponse;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn perform(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    let client = context.client()?;
    if !args.yes && !output::ask("Remove every instance? Workspaces and home directories stay.")? {
        return Err(Failure::new("nothing was removed"));
    }
    let cleaned: CleanupResponse = client.post("/api/cleanup").await?;
    context.output.show(&cleaned, |cleaned| {
        let removed = count(cleaned.removed.len(), "instance");
        format!("{removed} being removed; workspaces and home directories stay")
    })
}
