//! Programs on other people's libraries, which `cargo xtask test` installs.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::FARTHING;

/// A folder of the repository, from its root.
pub(crate) fn folder(path: &str) -> PathBuf {
    // Asked when the test runs: a target directory may serve several checkouts.
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..").join(path)
}

/// A program of tests/peers, on the npm packages there.
pub(crate) fn node(script: &str) -> Command {
    let peers = folder("tests/peers");
    assert!(peers.join("node_modules").exists(), "run `cargo xtask test` once: it installs tests/peers");
    let mut command = Command::new("node");
    command.arg(peers.join(script));
    command
}

/// A Python program, in one of the environments in the target directory.
pub(crate) fn python(environment: &str, script: &str) -> Command {
    let target = Path::new(FARTHING).ancestors().nth(2).unwrap();
    let python = target.join(environment).join("bin/python");
    assert!(python.exists(), "run `cargo xtask test --only python` once: it installs {}", python.display());
    let mut command = Command::new(python);
    command.arg(folder(script));
    command
}
