//! `farthing policy`.

mod bound;
mod check;
mod example;
mod explain;
mod import;
mod simulate;

use std::path::{Path, PathBuf};

use farthing_policy::Policy;

use crate::cli::PolicyCommand;
use crate::exit::{Code, Failure};
use crate::home::{self, Home};
use crate::output::Output;

pub(crate) async fn run(home: &Home, command: &PolicyCommand, output: Output) -> Result<(), Failure> {
    match command {
        PolicyCommand::Check { file } => check::run(&path(home, file.as_ref()), output),
        PolicyCommand::Explain(args) => explain::run(home, args, output).await,
        PolicyCommand::Import(command) => import::run(command, output),
        PolicyCommand::Example { name } => example::run(name, output),
        PolicyCommand::Simulate(args) => simulate::run(home, args, output).await,
        PolicyCommand::Bound(args) => bound::run(home, args, output),
    }
}

/// The file that is meant: the wallet's own where none is named.
fn path(home: &Home, file: Option<&PathBuf>) -> PathBuf {
    file.cloned().unwrap_or_else(|| home.policy())
}

/// Reads the policy that is meant. A wallet without the file has the starter's small caps.
fn meant(home: &Home, file: Option<&PathBuf>) -> Result<Policy, Failure> {
    let path = path(home, file);
    match file {
        None => parsed(&home::read_or(&path, Policy::starter())?, &path),
        Some(_) => read(&path),
    }
}

fn read(path: &Path) -> Result<Policy, Failure> {
    parsed(&home::read(path)?, path)
}

fn parsed(text: &str, path: &Path) -> Result<Policy, Failure> {
    Policy::parse(text).map_err(|error| {
        Failure::new(Code::Configuration, error.in_file(path.display()))
            .hint("docs/policy.md explains every key")
    })
}
