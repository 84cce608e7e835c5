//! `thon ca`: the certificate that participants' browsers have to trust.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::Timestamp;

use super::Context;
use super::failure::Failure;
use super::output;
use super::words::clean;
use crate::api::CaView;
use crate::server;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Where it is, its fingerprint to compare, until when and for what it is (what happens without an
    /// action)
    Show,
    /// Write it to a file, `-` for standard output
    Export { file: PathBuf },
    /// Make a new authority, which every browser has to trust anew; the appliance must be stopped
    Rotate {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

pub(super) async fn perform(context: &Context<'_>, args: Args) -> Result<(), Failure> {
    match args.action.unwrap_or(Action::Show) {
        Action::Show => context.output.show(&present(context).await?, words),
        Action::Export { file } if file == Path::new("-") => {
            output::print(&present(context).await?.pem)
        }
        Action::Export { file } => {
            write(&file, &present(context).await?.pem)?;
            output::say(&format!("written to {}", file.display()));
            Ok(())
        }
        Action::Rotate { yes } => rotate(context, yes),
    }
}

async fn present(context: &Context<'_>) -> Result<CaView, Failure> {
    context.client()?.get("/api/ca").await
}

fn rotate(context: &Context<'_>, yes: bool) -> Result<(), Failure> {
    let config = context.config()?;
    let question = "Make a new authority? Every browser and program has to trust it anew, at /ca.";
    if !yes && !output::ask(question)? {
        return Err(Failure::new("nothing was changed"));
    }
    let rotated = server::rotate_authority(&config)?;
    if let Some(kept) = &rotated.kept {
        output::say(&format!(
            "the authority from before is in {}",
            kept.display()
        ));
    }
    output::say("start the appliance, and show everybody /ca and the new fingerprint");
    context.output.show(&rotated.ca, words)
}

fn words(ca: &CaView) -> String {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let permits = ca.permits.as_ref().map_or_else(
        || "any name and address, as the first version made it; `thon ca rotate` makes one with bounds".to_owned(),
        |permits| permits.join(" "),
    );
    format!(
        "file     {}\nsha-256  {}\nvalid    {} to {}\nfor      {}",
        ca.path.display(),
        ca.sha256,
        day(ca.not_before),
        day(ca.not_after),
        clean(&permits)
    )
}

/// Never over something else: a slip of the finger must not cost a file. Nor through a link: root may
/// write into somebody's directory here.
fn write(file: &Path, pem: &str) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("{}: {error}", file.display()));
    match File::create_new(file) {
        Ok(mut made) => made.write_all(pem.as_bytes()).map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let is_same = file
                .symlink_metadata()
                .is_ok_and(|meta| meta.is_file() && meta.len() == pem.len() as u64)
                && std::fs::read(file).map_err(failed)? == pem.as_bytes();
            if is_same {
                return Ok(());
            }
            Err(Failure::new(format!("{} is there already", file.display()))
                .hint("choose another name, or remove it first"))
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_never_replaces_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        write(&file, "one").unwrap();
        write(&file, "one").unwrap();
        assert!(write(&file, "two").is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one");
    }
}
