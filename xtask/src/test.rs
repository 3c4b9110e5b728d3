//! `cargo xtask test`: every check, in the order in which a mistake shows soonest.

use crate::invocation::{Failure, Invocation};
use crate::run::{Check, Outcome};
use crate::{deny, links, npm, run, toolchain};

/// What to leave out.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Formatting, clippy and the unit tests of libraries and programs only
    #[arg(long)]
    quick: bool,
}

/// Installs what is missing and runs the checks.
///
/// # Errors
/// The first check that fails; the summary has told it already.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if options.quick { run::all(&quick()) } else { run::all(&everything()) }
}

fn quick() -> Vec<Check> {
    vec![
        Check::new("toolchain", toolchain::check),
        formatting(),
        clippy(),
        Check::new("unit tests", || tests(&["--lib", "--bins"])),
    ]
}

fn everything() -> Vec<Check> {
    vec![
        Check::new("toolchain", toolchain::check),
        Check::new("npm packages", npm::install_missing),
        formatting(),
        clippy(),
        // The end-to-end tests start programs that no test target depends on.
        passes("build", Invocation::cargo(&["build", "--workspace"])),
        Check::new("tests", || tests(&[])),
        Check::new("golden files", golden_files),
        passes(
            "documentation",
            Invocation::cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"),
        ),
        Check::new("dependencies", deny::check),
        Check::new("links", links::check),
    ]
}

fn formatting() -> Check {
    passes("formatting", Invocation::cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> Check {
    passes("clippy", Invocation::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn passes(name: &'static str, invocation: Invocation) -> Check {
    Check::new(name, move || invocation.run().map(|()| Outcome::Passed))
}

/// With nextest where it is installed: it is faster, and a hanging test has a name. It does not run doctests.
fn tests(targets: &[&str]) -> Result<Outcome, Failure> {
    let targets: Vec<String> = targets.iter().map(|&t| t.to_owned()).collect();
    if !Invocation::cargo(&["nextest", "--version"]).succeeds() {
        Invocation::cargo(&["test", "--workspace"]).with(&targets).run()?;
        return Ok(Outcome::Passed);
    }
    Invocation::cargo(&["nextest", "run", "--workspace"]).with(&targets).run()?;
    if targets.is_empty() {
        Invocation::cargo(&["test", "--workspace", "--doc"]).run()?;
    }
    Ok(Outcome::Passed)
}

fn golden_files() -> Result<Outcome, Failure> {
    Invocation::new("node", &["tests/peers/golden.mjs", "--check"]).run()?;
    Ok(Outcome::Passed)
}
