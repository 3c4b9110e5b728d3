//! `farthing policy import intercept`.

use std::io::Write as _;
use std::path::Path;

use farthing_policy::Policy;
use farthing_policy::tools::validation_errors;
use serde_json::json;

use crate::cli::ImportCommand;
use crate::exit::{Code, Failure};
use crate::home;
use crate::output::{GOOD, Output};

/// What is added to the file, which runs as it is: its own words stay, with their comments.
const FOOT: &str = "
# Brought along from Intercept by `farthing policy import intercept`. Everything above means what it meant there. What
# Farthing adds, to be filled in as you like (docs/policy.md):
#
# payments:                       # what may be paid for calls, wherever they go
#   max: \"$0.10\"
#   budgets: [{name: day, max: \"$5.00\", per: 24 hours}]
#
# Under a rule:   rate_limit: 5/60 minutes      a window that rolls: no double use around the full hour
#                 each: args.customer           counted apart for each customer
#                 refund: on_failure            in `state`: a call that failed gives back what it took
#                 shadow: true                  reports, and denies nothing
";

pub(super) fn run(command: &ImportCommand, output: Output) -> Result<(), Failure> {
    let ImportCommand::Intercept { file, output: target } = command;
    let text = home::read(file)?;
    let errors = validation_errors(&text);
    if !errors.is_empty() {
        let found = errors.join("; ");
        return Err(Failure::new(Code::Configuration, format!("{}: {found}", file.display())));
    }
    let policy = format!("{}\n{FOOT}", text.trim_end());
    Policy::parse(&policy)
        .map_err(|error| Failure::new(Code::Configuration, error.in_file(file.display())))?;
    if let Some(target) = target {
        write_new(target, &policy)?;
    }
    match (target, output.json) {
        (Some(target), true) => output.json(&json!({"file": target.to_string_lossy(), "policy": null})),
        (None, true) => output.json(&json!({"file": null, "policy": policy})),
        (Some(target), false) => output.note(format!("{GOOD}written{GOOD:#} {}", target.display())),
        (None, false) => output.line(policy.trim_end()),
    }
    Ok(())
}

fn write_new(file: &Path, policy: &str) -> Result<(), Failure> {
    let broken =
        |error: std::io::Error| Failure::new(Code::Configuration, format!("{}: {error}", file.display()));
    let mut new = std::fs::OpenOptions::new().write(true).create_new(true).open(file).map_err(broken)?;
    new.write_all(policy.as_bytes()).map_err(broken)
}
