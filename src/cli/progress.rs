//! A bar on standard error while something takes its time; nothing when that is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(total: usize) -> Self {
        let bar = ProgressBar::new(wide(total));
        // Checked by a test; the plain bar is no reason to fail.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    pub(super) fn resize(&self, total: usize) {
        self.0.set_length(wide(total));
    }

    /// Nobody sees it: standard error is no terminal.
    pub(super) fn is_hidden(&self) -> bool {
        self.0.is_hidden()
    }

    pub(super) fn set(&self, done: usize, text: String) {
        self.0.set_position(wide(done));
        self.0.set_message(text);
    }
}

/// Nothing stays on the screen: what came of it is told afterwards.
impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

const TEMPLATE: &str = "{spinner} [{bar:30}] {pos}/{len} {msg} ({elapsed})";

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_valid() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
