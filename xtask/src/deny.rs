//! cargo-deny: licences, banned crates, sources, and known vulnerabilities. `deny.toml` says what is allowed.

use std::time::Duration;

use crate::invocation::{Failure, Invocation, text};
use crate::run::Outcome;
use crate::toolchain;

/// The version that `deny.toml` is written for. (PyPI's ready-made 0.14.2 panics on this cargo's metadata.)
const VERSION: &str = "0.20.2";
/// The database is a git repository of some megabytes; where the way to it is blocked, connecting may hang.
const FETCH_LIMIT: Duration = Duration::from_secs(120);

/// Checks the dependency graph.
///
/// # Errors
/// cargo-deny can't be installed, or found something.
pub(crate) fn check() -> Result<Outcome, Failure> {
    let program = find_or_install()?;
    let deny = |arguments: &[&str]| {
        let log = ["--log-level", "error", "--locked"].map(str::to_owned);
        let rest: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        Invocation::new(program.as_str(), &[]).with(&log).with(&rest)
    };
    deny(&["check", "licenses", "bans", "sources"]).run()?;
    // Without the variable, git would ask for a password where a proxy pretends to be GitHub.
    let fetch = deny(&["fetch", "db"]).env("GIT_TERMINAL_PROMPT", "0");
    if fetch.run_within(FETCH_LIMIT).is_err() {
        return Ok(Outcome::PassedExcept(
            "known vulnerabilities: the RustSec database (github.com/rustsec/advisory-db) can't be fetched here.\n\
             With the internet: cargo deny check advisories"
                .to_owned(),
        ));
    }
    deny(&["check", "--disable-fetch", "advisories"]).run()?;
    Ok(Outcome::Passed)
}

/// The program: the one on `PATH`, the one that an earlier run installed, or a new one.
fn find_or_install() -> Result<String, Failure> {
    let on_path = Invocation::new("cargo-deny", &["--version"]).output();
    if on_path.is_ok_and(|version| version.trim().ends_with(VERSION)) {
        return Ok("cargo-deny".to_owned());
    }
    toolchain::tool("cargo-deny", VERSION).map(|program| text(&program))
}
