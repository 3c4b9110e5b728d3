//! Where things are, and talking to the person at the terminal.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

/// The root of the checkout. Cargo says at run time where it is: a target directory that serves several checkouts may
/// hold the program that was built in another one.
pub(crate) fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    own.parent().unwrap_or(&own).to_path_buf()
}

/// Cargo's target directory. One that a user's cargo configuration moves is not seen; then tools go to `target/`.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => root().join(dir),
        _ => root().join("target"),
    }
}

/// A line on standard output. A closed pipe is no reason to stop testing.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// A line that stands out.
pub(crate) fn say_headline(line: &str) {
    if io::stdout().is_terminal() {
        say(&format!("\n\x1b[1m{line}\x1b[0m"));
    } else {
        say(&format!("\n{line}"));
    }
}

/// A line on standard error.
pub(crate) fn say_error(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
