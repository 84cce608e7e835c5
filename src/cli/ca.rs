//! `thon ca`: the certificate that participants' browsers have to trust.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Context;
use super::failure::Failure;
use super::output;
use crate::api::CaView;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Where it is, and its fingerprint to compare (what happens without an action)
    Show,
    /// Write it to a file, `-` for standard output
    Export { file: PathBuf },
}

pub(super) async fn perform(context: &Context<'_>, args: Args) -> Result<(), Failure> {
    let ca: CaView = context.client()?.get("/api/ca").await?;
    match args.action.unwrap_or(Action::Show) {
        Action::Show => context.output.show(&ca, |ca| {
            format!("file     {}\nsha-256  {}", ca.path.display(), ca.sha256)
        }),
        Action::Export { file } if file == Path::new("-") => output::print(&ca.pem),
        Action::Export { file } => {
            write(&file, &ca.pem)?;
            output::say(&format!("written to {}", file.display()));
            Ok(())
        }
    }
}

/// Never over something else: a slip of the finger must not cost a file.
fn write(file: &Path, pem: &str) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("{}: {error}", file.display()));
    match std::fs::read(file) {
        Ok(there) if there == pem.as_bytes() => Ok(()),
        Ok(_) => Err(Failure::new(format!("{} is there already", file.display()))
            .hint("choose another name, or remove it first")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::write(file, pem).map_err(failed)
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
