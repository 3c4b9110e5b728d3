//! What is said while it runs: one line that changes on a terminal, a line now and then elsewhere. All on stderr.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often a line is written where nobody watches.
const PLAIN: Duration = Duration::from_secs(30);

/// Over how many seconds the rate is told.
const RATE_OVER: usize = 10;

/// The progress of the calls.
#[derive(Debug)]
pub(crate) struct Progress {
    wanted: u64,
    watched: bool,
    told: Instant,
    /// How many were paid, second by second.
    paid: Vec<u64>,
}

impl Progress {
    pub(crate) fn new(wanted: u64) -> Self {
        Self { wanted, watched: io::stderr().is_terminal(), told: Instant::now(), paid: Vec::new() }
    }

    /// Tells how far it is. Called every second.
    pub(crate) fn show(&mut self, paid: u64, failures: u64) {
        self.paid.push(paid);
        let line = self.line(paid, failures);
        if self.watched {
            // Back to the line's start, and what an earlier, longer line left is cleared.
            let _ = write!(io::stderr().lock(), "\r{line}\x1b[K");
        } else if self.told.elapsed() >= PLAIN {
            self.told = Instant::now();
            say(&line);
        }
    }

    fn line(&self, paid: u64, failures: u64) -> String {
        let ago = self.paid.len().saturating_sub(RATE_OVER + 1);
        let before = self.paid.get(ago).copied().unwrap_or_default();
        let seconds = u64::try_from(self.paid.len() - ago - 1).unwrap_or(1).max(1);
        let rate = (paid - before) / seconds;
        let left = self.wanted.saturating_sub(paid).checked_div(rate);
        let left = left.map_or_else(|| "?".to_owned(), |left| format!("{}:{:02}", left / 60, left % 60));
        format!("{paid} of {} paid, {rate}/s, {failures} failures injected, {left} left", self.wanted)
    }

    /// A line of its own.
    pub(crate) fn note(text: &str) {
        if io::stderr().is_terminal() {
            say("");
        }
        say(text);
    }
}

/// A line on standard error; a closed one is the reader's choice.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A line on standard output.
pub(crate) fn print(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_rest() {
        let mut progress = Progress { watched: false, ..Progress::new(1_000) };
        (0..=20).for_each(|second| progress.show(second * 10, 3));
        assert_eq!(progress.line(200, 3), "200 of 1000 paid, 10/s, 3 failures injected, 1:20 left");
        let fresh = Progress { paid: vec![0], ..progress };
        assert_eq!(fresh.line(0, 0), "0 of 1000 paid, 0/s, 0 failures injected, ? left");
    }
}
