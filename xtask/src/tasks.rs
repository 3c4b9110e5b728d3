//! The small tasks: each hands over to a program of its own.

use std::path::PathBuf;

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

/// Builds programs of tests/peers-rs, a workspace of its own, into a folder of its own.
pub(crate) fn build_peers(what: &[&str]) -> Invocation {
    let target = text(&peers_dir());
    let build =
        ["build", "--locked", "--manifest-path", "tests/peers-rs/Cargo.toml", "--target-dir", &target];
    Invocation::cargo(&[&build, what].concat())
}

fn peers_dir() -> PathBuf {
    target_dir().join("peers-rs")
}

/// Builds the peers and the binary, then becomes the benchmark.
pub(crate) fn bench(passed: &Passed) -> Result<(), Failure> {
    let peers = ["--package", "farthing-peers", "--package", "farthing-peer-facilitator"];
    build_peers(&[&["--release"], &peers[..]].concat()).run()?;
    let ours = ["--package", "farthing", "--package", "farthing-bench"];
    Invocation::cargo(&["build", "--release"]).with(&ours.map(str::to_owned)).run()?;
    let (built, peers) = (target_dir().join("release"), peers_dir().join("release"));
    let run = Invocation::new(text(&built.join("farthing-bench")), &[]).with(&passed.arguments);
    let run = run
        .env("FARTHING", text(&built.join("farthing")))
        .env("FARTHING_PEERS", text(&peers.join("farthing-peers")))
        .env("FARTHING_PEER_FACILITATOR", text(&peers.join("farthing-peer-facilitator")));
    Err(run.replace_this_process())
}

/// Builds the release binary, then becomes the long run around it.
pub(crate) fn soak(passed: &Passed) -> Result<(), Failure> {
    npm::install_missing()?;
    Invocation::cargo(&["build", "--release", "--package", "farthing", "--package", "farthing-soak"])
        .run()?;
    let built = target_dir().join("release");
    let farthing = text(&built.join("farthing"));
    let run = Invocation::new(text(&built.join("farthing-soak")), &["--farthing", &farthing]);
    Err(run.with(&passed.arguments).replace_this_process())
}

/// Writes `tests/golden` anew. What changed is for a person to read, in the diff.
pub(crate) fn golden() -> Result<(), Failure> {
    npm::install_missing()?;
    Invocation::new("node", &["tests/peers/golden.mjs"]).run()
}
