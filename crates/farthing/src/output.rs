//! What a person sees: styles, tables, times.

use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use farthing_ambient::Timestamp;
use farthing_ledger::PurchaseState;
use serde_json::Value;

use crate::draw;
use crate::exit::{Code, Failure};

/// The first thing that went wrong with stdout. The work goes on: a payment under way has to be recorded.
static STDOUT_FAILED: OnceLock<io::Error> = OnceLock::new();

/// Something went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Something needs attention.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Something failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something less important.
pub(crate) const DIM: Style = AnsiColor::BrightBlack.on_default();
/// A heading or a figure that matters.
pub(crate) const STRONG: Style = Style::new().bold();

/// How a command talks: everything that is not the result goes to stderr.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Output {
    pub(crate) fn of(cli: &crate::cli::Cli) -> Self {
        Self { json: cli.json, quiet: cli.quiet }
    }

    /// A line about the work, for people.
    pub(crate) fn note(self, line: impl std::fmt::Display) {
        if !self.quiet && !self.json {
            say(line);
        }
    }

    /// A line that must be seen even with `--quiet`.
    pub(crate) fn warn(self, line: impl std::fmt::Display) {
        say(format_args!("{WARN}warning{WARN:#}: {line}"));
    }

    /// A line of the result.
    #[expect(clippy::unused_self, reason = "every line goes through one place")]
    pub(crate) fn line(self, line: impl std::fmt::Display) {
        print(line);
    }

    /// The result as JSON.
    #[expect(clippy::unused_self, reason = "every line goes through one place")]
    pub(crate) fn json(self, value: &Value) {
        print_json(value);
    }

    /// The result as JSON, with the error in it where there is one: stdout always carries one object.
    pub(crate) fn json_ending(self, value: Value, ending: Result<(), Failure>) -> Result<(), Failure> {
        match ending {
            Ok(()) => self.json(&value),
            Err(failure) => return Err(failure.beside(value)),
        }
        Ok(())
    }
}

/// Whether a line about the work under way stands on the terminal.
static STATUS_SHOWN: AtomicBool = AtomicBool::new(false);

/// Shows what is being waited for, on one line of the terminal, in the place of what stood there.
pub(crate) fn status(line: impl std::fmt::Display) {
    STATUS_SHOWN.store(true, Ordering::Relaxed);
    let mut stderr = anstream::stderr();
    write!(stderr, "\r\x1b[2K{DIM}{line}{DIM:#}").and_then(|()| stderr.flush()).ok();
}

/// Takes that line away, before anything else is written.
pub(crate) fn clear_status() {
    if STATUS_SHOWN.swap(false, Ordering::Relaxed) {
        let mut stderr = anstream::stderr();
        write!(stderr, "\r\x1b[2K").and_then(|()| stderr.flush()).ok();
    }
}

/// Writes a line to stdout; what goes wrong is kept for [`written`].
pub(crate) fn print(line: impl std::fmt::Display) {
    print_to(anstream::stdout(), line);
}

/// The version of what `--json` prints, under `schema`: docs/json.md says what it promises.
const SCHEMA: u64 = 1;

/// Writes JSON to stdout as it is: what takes colours out of text takes other bytes out as well. Says whether it is
/// there: after a failed write no second object is begun.
pub(crate) fn print_json(value: &Value) -> bool {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.insert("schema".to_owned(), SCHEMA.into());
    }
    if STDOUT_FAILED.get().is_none() {
        print_to(io::stdout(), value);
    }
    STDOUT_FAILED.get().is_none()
}

fn print_to(mut stdout: impl io::Write, line: impl std::fmt::Display) {
    clear_status();
    if let Err(error) = writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        // A later failure says nothing new.
        drop(STDOUT_FAILED.set(error));
    }
}

/// Writes a line to stderr. When that fails, nobody is left to be told.
pub(crate) fn say(line: impl std::fmt::Display) {
    clear_status();
    writeln!(anstream::stderr(), "{line}").ok();
}

/// Whether the result could be written. A reader that went away, as `head` does, has had enough: that is no failure.
pub(crate) fn written() -> Result<(), Failure> {
    match STDOUT_FAILED.get() {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::Unexpected, format!("the result could not be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// A table: columns as wide as their widest cell, the last one ragged.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![format!("{DIM}{}{DIM:#}", line(&mut head.iter().copied()))];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// `3 min`, `2 h`.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds.div_ceil(60)),
        7_200..=172_799 => format!("{} h", seconds.div_ceil(3_600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

/// `2026-11-21 03:27:29`, in UTC.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A state in one word, coloured.
pub(crate) fn state(state: PurchaseState) -> String {
    let (style, word) = match state {
        PurchaseState::Paid => (GOOD, "paid"),
        PurchaseState::NotPaid => (DIM, "not paid"),
        PurchaseState::Reserved => (WARN, "reserved"),
        PurchaseState::Signed => (WARN, "signed"),
        PurchaseState::Unknown => (WARN, "unknown"),
    };
    format!("{style}{word}{style:#}")
}

/// Text from outside, whole, and safe for a terminal. Quotes do no harm there, and are left as they are.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// As much as is printed of a description, or of what somebody else says about himself.
const BRIEF: usize = 300;

/// The same of a text that may be as long as its author likes, and of which nobody needs every word: an ellipsis tells
/// that there was more.
pub(crate) fn brief(text: &str) -> String {
    let beginning: String = text.chars().take(BRIEF + 1).collect();
    draw::cut(&printable(&beginning), BRIEF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["a".to_owned(), "long cell".to_owned()], vec!["bbb".to_owned(), "x".to_owned()]];
        let text = anstream::adapter::strip_str(&table(&["h", "k"], &rows)).to_string();
        assert_eq!(text, "h    k\na    long cell\nbbb  x");
    }

    #[test]
    fn durations_round_up() {
        assert_eq!(duration(61), "61 s");
        assert_eq!(duration(121), "3 min");
        assert_eq!(duration(86_400), "24 h");
    }

    #[test]
    fn escape_sequences_are_shown_not_sent() {
        assert_eq!(printable("\u{1b}[31mred"), "\\u{1b}[31mred");
        assert_eq!(printable("it's \"red\"\n"), "it's \"red\"\\n");
    }

    #[test]
    fn what_is_left_out_is_told() {
        let long = "x".repeat(BRIEF + 1);
        assert_eq!(printable(&long), long);
        assert_eq!(brief(&long), format!("{}…", "x".repeat(BRIEF - 1)));
        assert_eq!(brief(&long[1..]), &long[1..]);
    }
}
