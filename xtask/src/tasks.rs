//! The small tasks: each hands over to a program of its own.

use crate::invocation::{Failure, Invocation, text};
use crate::npm;
use crate::workspace::target_dir;

/// Arguments for the program behind a task.
#[derive(clap::Args)]
pub(crate) struct Passed {
    /// Handed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Becomes `farthing-devnet`, so that Ctrl-C reaches it and it stops its chain itself.
pub(crate) fn devnet(passed: &Passed) -> Result<(), Failure> {
    let run = Invocation::cargo(&["run", "--quiet", "--package", "farthing-devnet", "--"]);
    Err(run.with(&passed.arguments).replace_this_process())
}

/// Builds the binary and the demo around it, then becomes the demo.
pub(crate) fn demo(passed: &Passed) -> Result<(), Failure> {
    npm::install_missing()?;
    Invocation::cargo(&["build", "--package", "farthing", "--package", "farthing-demo"]).run()?;
    let built = target_dir().join("debug");
    let farthing = text(&built.join("farthing"));
    let run = Invocation::new(text(&built.join("farthing-demo")), &["--farthing", &farthing]);
    Err(run.with(&passed.arguments).replace_this_process())
}

/// Builds the peers in their own workspace, then becomes the benchmark.
pub(crate) fn bench(passed: &Passed) -> Result<(), Failure> {
    let target = target_dir().join("peers-rs");
    let build =
        ["build", "--release", "--locked", "--manifest-path", "tests/peers-rs/Cargo.toml", "--target-dir"];
    Invocation::cargo(&build).with(&[text(&target)]).run()?;
    let run = Invocation::cargo(&["run", "--quiet", "--release", "--package", "farthing-bench", "--"]);
    let run = run.with(&passed.arguments).env("FARTHING_PEERS", text(&target.join("release/farthing-peers")));
    Err(run.replace_this_process())
}

/// Writes `tests/golden` anew. What changed is for a person to read, in the diff.
pub(crate) fn golden() -> Result<(), Failure> {
    npm::install_missing()?;
    Invocation::new("node", &["tests/peers/golden.mjs"]).run()
}
