//! The only place that prints: data on standard output, talk on standard error.

use std::io::{self, BufRead as _, IsTerminal as _, Write};

use serde::Serialize;

use super::Exit;
use super::failure::Failure;
use super::words::clean;
use crate::config::{Vars, env};

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[1;36m";
const PLAIN: &str = "\x1b[0m";

pub(super) struct Output {
    json: bool,
    /// Only the words `error` and `hint` have one, and only on a terminal.
    colour: bool,
}

impl Output {
    pub(super) fn new(json: bool, vars: &dyn Vars) -> Self {
        Self {
            json,
            colour: io::stderr().is_terminal() && vars.value(env::NO_COLOR).is_none(),
        }
    }

    /// The answer: as JSON when that was asked for, in `words` otherwise.
    pub(super) fn show<T: Serialize>(
        &self,
        value: &T,
        words: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let text = if self.json {
            serde_json::to_string_pretty(value)
                .map_err(|error| Failure::new(format!("the answer is no JSON: {error}")))?
        } else {
            words(value)
        };
        print(&text)
    }

    pub(super) fn hint(&self, text: &str) {
        drop(writeln!(
            io::stderr(),
            "{} {text}",
            self.word(CYAN, "hint:")
        ));
    }

    pub(super) fn warn(&self, text: &str) {
        let word = self.word(YELLOW, "warning:");
        drop(writeln!(io::stderr(), "{word} {}", clean(text)));
    }

    pub(super) fn fail(&self, failure: &Failure) -> Exit {
        for line in failure.message.lines() {
            // An indented line goes on with the one before.
            if line.starts_with(' ') {
                drop(writeln!(io::stderr(), "{}", clean(line)));
                continue;
            }
            let word = self.word(RED, "error:");
            drop(writeln!(io::stderr(), "{word} {}", clean(line)));
        }
        if let Some(hint) = &failure.hint {
            self.hint(hint);
        }
        failure.exit
    }

    fn word(&self, colour: &str, word: &str) -> String {
        if self.colour {
            format!("{colour}{word}{PLAIN}")
        } else {
            word.to_owned()
        }
    }
}

/// Text as it is, with a line's end.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let text = text.trim_end_matches('\n');
    if text.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // `thon status | head`: whoever reads has enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Something on the way, for people. Nobody is left to tell when this fails.
pub(super) fn say(text: &str) {
    drop(writeln!(io::stderr(), "{}", clean(text)));
}

/// Yes or no; whoever is not at a terminal has to say so beforehand.
pub(super) fn ask(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(
            Failure::new("this needs a confirmation, and there is no terminal to ask on")
                .hint("add --yes"),
        );
    }
    drop(write!(io::stderr(), "{question} [y/N] "));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::new(format!("standard input: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Help, version, or what was wrong with the command line: clap knows where each belongs.
pub(super) fn usage(error: &clap::Error) -> Exit {
    drop(error.print());
    if error.exit_code() == 0 {
        Exit::Done
    } else {
        Exit::Usage
    }
}
