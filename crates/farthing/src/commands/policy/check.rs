//! `farthing policy check`.

use std::path::Path;

use serde_json::json;

use super::read;
use crate::exit::Failure;
use crate::output::{DIM, GOOD, Output};

pub(super) fn run(path: &Path, output: Output) -> Result<(), Failure> {
    let policy = read(path)?;
    let rules = policy.explain();
    if output.json {
        output.json(
            &json!({"valid": true, "file": path.to_string_lossy(), "hash": policy.hash(), "rules": rules}),
        );
        return Ok(());
    }
    output.line(format!("{GOOD}valid{GOOD:#} {} {DIM}{}{DIM:#}", path.display(), policy.hash()));
    for rule in rules {
        output.line(format!("  {rule}"));
    }
    Ok(())
}
