//! How far long work is: one line of stderr, on a terminal only. It is no command's result.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::config::units::readable_size;

/// Between two states of the line.
const SHOW_EVERY: Duration = Duration::from_millis(100);
/// Cells of the bar.
const BAR: u64 = 24;

/// Bytes of something that is being copied.
pub(crate) struct Progress {
    what: &'static str,
    total: Option<u64>,
    done: u64,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// Nothing is copied yet; `total` where it is known.
    pub(crate) fn begin(what: &'static str, total: Option<u64>) -> Self {
        Self {
            what,
            total,
            done: 0,
            shown: None,
            is_terminal: io::stderr().is_terminal(),
        }
    }

    /// So many more are.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= SHOW_EVERY);
        if self.is_terminal && is_due {
            self.shown = Some(Instant::now());
            say(&format!("\r{}\x1b[K", self.line()));
        }
    }

    /// Takes the line away until more is done, so that something else can be said.
    pub(crate) fn hide(&mut self) {
        if self.shown.take().is_some() {
            say("\r\x1b[K");
        }
    }

    fn line(&self) -> String {
        let done = readable_size(self.done);
        match self.total.filter(|total| *total > 0) {
            Some(total) => {
                let bar = bar(self.done, total);
                format!("{} [{bar}] {done} of {}", self.what, readable_size(total))
            }
            None => format!("{} {done}", self.what),
        }
    }
}

impl Drop for Progress {
    /// Takes the line away: what comes of it is said elsewhere.
    fn drop(&mut self) {
        self.hide();
    }
}

/// A bar, full when everything is done.
pub(crate) fn bar(done: u64, total: u64) -> String {
    let full = done.min(total).saturating_mul(BAR) / total.max(1);
    let cell = |at: u64| if at < full { '#' } else { '-' };
    (0..BAR).map(cell).collect()
}

/// Where stderr is closed nobody wants to know.
fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    drop(stderr.write_all(text.as_bytes()));
    drop(stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn bars_fill_up() {
        for (done, total, full) in [
            (0, 10, 0),
            (5, 10, 12),
            (10, 10, 24),
            (11, 10, 24),
            (0, 0, 0),
        ] {
            let bar = bar(done, total);
            assert_eq!(
                (bar.len(), bar.matches('#').count()),
                (24, full),
                "{done}/{total}"
            );
        }
    }
}
