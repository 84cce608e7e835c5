//! `thon up`: from nothing to a running demo, and its links.

use std::path::Path;

use super::client::Client;
use super::failure::Failure;
use super::output::{self, Output};
use super::progress::Progress;
use super::{Context, launch, wait};
use crate::api::{LaunchRequest, Status};
use crate::server::{self, Lives, Report, Up};

/// Fits beside a bar on a terminal of usual width.
const TEXT_CHARS_MAX: usize = 100;

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
        bar: None,
        said: None,
    };
    Ok(server::up(&up, context.vars, &mut guide)?)
}

/// Tells what happens, and launches as soon as there is somebody to ask for it.
struct Guide<'a> {
    output: &'a Output,
    bar: Option<Progress>,
    /// The last step of a bar that nobody sees.
    said: Option<u32>,
}

impl Report for Guide<'_> {
    fn step(&mut self, text: &str) {
        self.bar = None;
        output::say(text);
    }

    fn progress(&mut self, step: Option<(u32, u32)>, text: &str) {
        let text = &short(text);
        match step {
            Some((done, total)) => {
                let bar = self.bar.get_or_insert_with(|| Progress::new(0));
                bar.resize(wide(total));
                bar.set(wide(done), text.clone());
                // A log file has no bar, and minutes without a word look like a fault.
                if bar.is_hidden() && self.said != Some(done) {
                    output::say(&format!("  {done}/{total} {text}"));
                }
                self.said = Some(done);
            }
            None => output::say(&format!("  {text}")),
        }
    }

    fn ready(&mut self, control_socket: &Path, lives: Lives) -> anyhow::Result<()> {
        self.bar = None;
        let client = Client::new(control_socket.to_owned());
        let wish = LaunchRequest {
            group: None,
            demo: true,
        };
        let status: Status = wait(client.get("/api/status"))?;
        output::say(&format!(
            "admin:        {} (its health; organizers use `thon` on this host)",
            status.admin_url
        ));
        output::say(&format!("participants: {}", status.public_url));
        if let Some(page) = certificate_page(&status) {
            output::say(&format!("certificate:  {page}"));
        }
        wait(launch::launch(
            &client,
            self.output,
            &wish,
            launch::Wait::UntilSettled,
        ))?;
        self.output.hint(match lives {
            Lives::Apart => "the appliance runs in the background: see `thon status`",
            Lives::Here => "the appliance runs until you press Ctrl-C; editors go on without it",
        });
        Ok(())
    }
}

/// A step of the image can be a page of shell: its beginning tells which one it is.
fn short(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(TEXT_CHARS_MAX) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

/// On the plain listener: whoever needs it does not trust the other one yet.
fn certificate_page(status: &Status) -> Option<String> {
    let plain = status
        .listeners
        .iter()
        .find(|listener| listener.name == "plain")?;
    let host = status.public_url.strip_prefix("https://")?;
    // An IPv6 address has colons of its own, within brackets.
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    Some(match plain.address.port() {
        80 => format!("http://{host}/ca"),
        port => format!("http://{host}:{port}/ca"),
    })
}

fn wide(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_step_is_told_by_its_beginning() {
        assert_eq!(short("RUN  apt-get \n update"), "RUN apt-get update");
        let long = short(&"ä".repeat(500));
        assert_eq!(long.chars().count(), TEXT_CHARS_MAX + 1);
        assert!(long.ends_with('…'));
    }
}
