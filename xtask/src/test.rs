//! `cargo xtask test`: every check, in the order in which a mistake shows soonest.

use crate::invocation::{Failure, Invocation};
use crate::run::{Check, Outcome};
use crate::{commands, deny, links, npm, python, run, tasks, toolchain};

/// What to leave out.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Formatting, clippy and the unit tests of libraries and programs only
    #[arg(long)]
    quick: bool,

    /// One check only, by its name in the summary
    #[arg(long, value_name = "CHECK", conflicts_with = "quick")]
    only: Option<String>,
}

/// Installs what is missing and runs the checks.
///
/// # Errors
/// The first check that fails; the summary has told it already.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    match &options.only {
        Some(name) => run::all(&one(name)?),
        None if options.quick => run::all(&quick()),
        None => run::all(&everything()),
    }
}

fn one(name: &str) -> Result<Vec<Check>, Failure> {
    let (wanted, others): (Vec<_>, Vec<_>) = everything().into_iter().partition(|check| check.name == name);
    if wanted.is_empty() {
        let names: Vec<_> = others.iter().map(|check| check.name).collect();
        return Err(Failure::new(format!("there is no check `{name}`: {}", names.join(", "))));
    }
    Ok(wanted)
}

fn quick() -> Vec<Check> {
    vec![
        Check::new("toolchain", toolchain::check),
        formatting(),
        clippy(),
        Check::new("tests", || tests(&["--lib", "--bins"])),
    ]
}

fn everything() -> Vec<Check> {
    vec![
        Check::new("toolchain", toolchain::check),
        Check::new("packages", npm::install_missing),
        Check::new("python", python::install_missing),
        formatting(),
        clippy(),
        // The end-to-end tests start programs that no test target depends on. With all targets, because what the tests
        // turn on besides, such as fault points, would have everything built a second time otherwise.
        passes("build", everything_built()),
        passes("peers", tasks::build_peers(&["--package", "farthing-peer-buyers"])),
        Check::new("tests", || tests(&[])),
        Check::new("golden", golden_files),
        passes(
            "docs",
            Invocation::cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"),
        ),
        Check::new("dependencies", deny::check),
        Check::new("links", links::check),
        Check::new("commands", commands::check),
    ]
}

/// Everything, as the tests have it.
pub(crate) fn everything_built() -> Invocation {
    Invocation::cargo(&["build", "--workspace", "--all-targets"])
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

/// With nextest where it is installed: it is faster, and a hanging test has a name. It does not run doctests. All tests run,
/// so that one run tells of every failure.
fn tests(targets: &[&str]) -> Result<Outcome, Failure> {
    let targets: Vec<String> = targets.iter().map(|&t| t.to_owned()).collect();
    if !Invocation::cargo(&["nextest", "--version"]).succeeds() {
        Invocation::cargo(&["test", "--workspace", "--no-fail-fast"]).with(&targets).run()?;
        return Ok(Outcome::Passed);
    }
    let run = Invocation::cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]).with(&targets).run();
    let documented = match targets.is_empty() {
        true => Invocation::cargo(&["test", "--workspace", "--doc"]).run(),
        false => Ok(()),
    };
    run.and(documented).map(|()| Outcome::Passed)
}

fn golden_files() -> Result<Outcome, Failure> {
    Invocation::new("node", &["tests/peers/golden.mjs", "--check"]).run()?;
    Ok(Outcome::Passed)
}
