//! `farthing policy check`.

use std::path::Path;

use serde_json::{Value, json};

use super::read;
use crate::exit::Failure;
use crate::output::{DIM, GOOD, Output};

pub(super) fn run(path: &Path, output: Output) -> Result<(), Failure> {
    let policy = read(path)?;
    let (rules, warnings) = (policy.explain(), policy.warnings());
    if output.json {
        let warnings: Vec<Value> = warnings
            .iter()
            .map(
                |warning| json!({"line": warning.line, "column": warning.column, "message": warning.message}),
            )
            .collect();
        output.json(
            &json!({"valid": true, "file": path.to_string_lossy(), "hash": policy.hash(), "rules": rules,
            "warnings": warnings}),
        );
        return Ok(());
    }
    for warning in warnings {
        output.warn(warning.in_file(path.display()));
    }
    output.line(format!("{GOOD}valid{GOOD:#} {} {DIM}{}{DIM:#}", path.display(), policy.hash()));
    for rule in rules {
        output.line(format!("  {rule}"));
    }
    Ok(())
}
