//! Whether this machine has what the checks need, and tools that are built once.

use std::fs;
use std::path::PathBuf;

use crate::invocation::{Failure, Invocation, text};
use crate::run::Outcome;
use crate::workspace::{say, target_dir};

/// As the root's `rust-version`.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");
/// What the reference's npm packages and the Solidity compiler run on.
const NODE: &str = "20";

/// What Chromium is called. The tests of the local page look for it in the same way.
const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Rust with rustfmt and clippy, which it installs where rustup can; Node with npm, and Chromium, which it can't install.
///
/// # Errors
/// What is missing, and how to get it.
pub(crate) fn check() -> Result<Outcome, Failure> {
    rust()?;
    components()?;
    node()?;
    chromium()?;
    Ok(Outcome::Passed)
}

fn rust() -> Result<(), Failure> {
    let line = Invocation::new("rustc", &["--version"]).output()?;
    let found = line.split_whitespace().nth(1).unwrap_or_default();
    say(&format!("rust {found}"));
    if at_least(found, RUST) {
        return Ok(());
    }
    Err(Failure::new(format!("Rust {RUST} or newer is needed, this is {found}. Run: rustup update stable")))
}

fn components() -> Result<(), Failure> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if !Invocation::cargo(&[subcommand, "--version"]).succeeds() {
            say(&format!("{component} is missing, rustup adds it"));
            Invocation::new("rustup", &["component", "add", component]).run()?;
        }
    }
    Ok(())
}

fn node() -> Result<(), Failure> {
    let Ok(version) = Invocation::new("node", &["--version"]).output() else {
        return Err(no_node("there is none on PATH"));
    };
    let found = version.trim().trim_start_matches('v');
    if !at_least(found, NODE) {
        return Err(no_node(&format!("this is {found}")));
    }
    let Ok(npm) = Invocation::new("npm", &["--version"]).output() else {
        return Err(Failure::new("npm is needed beside Node. Run: apt-get install npm"));
    };
    say(&format!("node {found}, npm {}", npm.trim()));
    Ok(())
}

/// The local page is tested in it.
fn chromium() -> Result<(), Failure> {
    let named = std::env::var("FARTHING_CHROMIUM").ok();
    let names = named.iter().map(String::as_str).chain(CHROMIUM);
    let found = names.into_iter().find_map(|name| Invocation::new(name, &["--version"]).output().ok());
    let version = found.ok_or_else(|| {
        Failure::new(
            "Chromium is needed: the local page is tested in it. Run: apt-get install chromium; or name another \
             browser of its kind in FARTHING_CHROMIUM",
        )
    })?;
    say(version.trim().lines().last().unwrap_or_default());
    Ok(())
}

fn no_node(found: &str) -> Failure {
    Failure::new(format!(
        "Node.js {NODE} or newer is needed, {found}. Debian 13 and later: apt-get install nodejs npm. \
         Debian 12 ships 18: take {NODE} or newer from https://nodejs.org/en/download"
    ))
}

/// A program of the registry, built once per target directory. A release profile may spend minutes on link-time
/// optimisation; these run for seconds, or wait for others, and need none.
///
/// # Errors
/// It can't be built.
pub(crate) fn tool(name: &str, version: &str) -> Result<PathBuf, Failure> {
    let root = target_dir().join("tools").join(format!("{name}-{version}"));
    let program = root.join("bin").join(name);
    if program.is_file() {
        return Ok(program);
    }
    say(&format!("{name} {version} is built once, into {}", root.display()));
    let build = root.join("build");
    let (root, build_text) = (text(&root), text(&build));
    Invocation::cargo(&["install", name, "--version", version, "--locked", "--root", &root])
        .env("CARGO_TARGET_DIR", build_text)
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .run()?;
    fs::remove_dir_all(&build).map_err(|error| Failure::new(format!("{}: {error}", build.display())))?;
    Ok(program)
}

/// Compares versions part by part; what follows a `-` is left out, and a missing part is 0.
fn at_least(found: &str, wanted: &str) -> bool {
    let parts = |version: &str| -> [u64; 3] {
        let mut numbers =
            version.split('-').next().unwrap_or_default().split('.').map(|n| n.parse().unwrap_or(0));
        std::array::from_fn(|_| numbers.next().unwrap_or(0))
    };
    parts(found) >= parts(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(at_least("1.95.0", "1.95"));
        assert!(at_least("1.100.0-nightly", "1.95"));
        assert!(at_least("22.1.0", "20"));
        assert!(!at_least("1.94.9", "1.95"));
        assert!(!at_least("9.11.2", "20"));
        assert!(!at_least("", "20"));
    }
}
