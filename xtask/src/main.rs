//! `cargo xtask`: Farthing's chores, in Rust so that a machine with Rust, Node and Python needs nothing else.
//!
//! Each task lives in a file of its own; [`invocation`] runs programs and says how to repeat them, [`run`] runs a
//! list of checks and sums them up.
#![forbid(unsafe_code)]

mod commands;
mod deny;
mod fuzz;
mod invocation;
mod links;
mod npm;
mod pages;
mod python;
mod run;
mod tasks;
mod test;
mod toolchain;
mod torture;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo             a paid call, end to end, on a local chain
  cargo xtask test             everything that .ci/run checks
  cargo xtask test --quick     formatting, clippy and unit tests, while you work
  cargo xtask devnet           a local Base with USDC, until Ctrl-C
  cargo xtask devnet --help    what that chain can do
  cargo xtask bench            what bench/README.md tells about
  cargo xtask torture          ten minutes of processes that die at random
  cargo xtask fuzz path        ten minutes of inputs that nobody thought of; fuzz/README.md
  cargo xtask soak             100,000 paid calls with failures; target/soak/report.html

CARGO_TARGET_DIR is honoured. What a task installs goes into node_modules, and into tools/ and python/ in the target directory.";

/// Farthing's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing, then run every check and test
    Test(test::Options),
    /// Show a paid call, end to end, on a local chain; --keep leaves it running, --svg FILE draws it
    #[command(disable_help_flag = true)]
    Demo(tasks::Passed),
    /// Run a local Base with USDC on it until Ctrl-C; arguments go to farthing-devnet
    #[command(disable_help_flag = true)]
    Devnet(tasks::Passed),
    /// Run the benchmarks of bench/ in release; arguments go to them
    #[command(disable_help_flag = true)]
    Bench(tasks::Passed),
    /// Make 100,000 paid calls while everything fails, and compare the books; --calls N, --seed S
    #[command(disable_help_flag = true)]
    Soak(tasks::Passed),
    /// Fuzz what reads other people's input, on Rust nightly; needs a while
    Fuzz(fuzz::Options),
    /// Kill wallets, gateways and facilitators at random, and check after each round that nothing was paid twice or lost
    Torture(torture::Options),
    /// Write tests/golden anew from the reference's npm packages
    Golden,
}

/// Whether `cargo xtask <name>` exists.
fn has_task(name: &str) -> bool {
    Arguments::command().find_subcommand(name).is_some()
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Demo(passed) => tasks::demo(&passed),
        Task::Devnet(passed) => tasks::devnet(&passed),
        Task::Bench(passed) => tasks::bench(&passed),
        Task::Soak(passed) => tasks::soak(&passed),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Torture(options) => torture::run(&options),
        Task::Golden => tasks::golden(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_told() {
                workspace::say_error(&failure.to_string());
            }
            ExitCode::FAILURE
        }
    }
}
