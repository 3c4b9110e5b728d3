//! `cargo xtask torture`: the long form of tests/e2e/crash.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::invocation::{Failure, Invocation};
use crate::workspace::say;

/// How long, and which chance.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// For how many minutes new rounds begin
    #[arg(long, value_name = "N", default_value = "10")]
    minutes: u64,

    /// Who dies where and when; another one each time where none is given
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// Runs the test that does nothing else, in its own words.
///
/// # Errors
/// An invariant that does not hold. The test has told the seed and where it kept the files.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let seed = options.seed.unwrap_or_else(any_seed);
    say(&format!("Again:  cargo xtask torture --minutes {} --seed {seed}", options.minutes));
    let test = ["test", "--package", "farthing", "--test", "e2e", "--", "crash::torture::torture"];
    Invocation::cargo(&test)
        .with(&["--exact", "--ignored", "--nocapture"].map(str::to_owned))
        .env("FARTHING_TORTURE_MINUTES", options.minutes.to_string())
        .env("FARTHING_TORTURE_SEED", seed.to_string())
        .run()
}

fn any_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs())
}
