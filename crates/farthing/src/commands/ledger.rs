//! `farthing ledger`.

use std::path::Path;

use serde_json::json;

use crate::cli::LedgerCommand;
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::{BAD, GOOD, Output, printable};
use crate::session::{Session, existing_ledger, named_ledger};

pub(crate) async fn run(session: &Session, command: &LedgerCommand, output: Output) -> Result<(), Failure> {
    let LedgerCommand::Verify { file, expect_head } = command;
    verify(session.home(), file.as_deref(), expect_head.as_deref(), output).await
}

/// Verifies the ledger that is named, or the wallet's own.
pub(crate) async fn verify(
    home: &Home,
    file: Option<&Path>,
    expect_head: Option<&str>,
    output: Output,
) -> Result<(), Failure> {
    let own = home.ledger();
    let path = file.unwrap_or(&own);
    let ledger = if file.is_some() { named_ledger(path)? } else { existing_ledger(path)? };
    let mut report = match expect_head {
        Some(head) => ledger.verify_since(head).await?,
        None => ledger.verify().await?,
    };
    if let Some(head) = expect_head
        && report.rows_since.is_none()
    {
        report.problems.push(format!(
            "no row of the journal has the hash {}: rows were cut off or changed since it was the head, or it was \
             another ledger's",
            printable(head)
        ));
    }
    let ending = match report.problems.len() {
        0 => Ok(()),
        1 => Err(Failure::new(Code::Damaged, format!("{} has a problem", path.display()))),
        count => Err(Failure::new(Code::Damaged, format!("{} has {count} problems", path.display()))),
    };
    if output.json {
        let value = json!({"whole": report.problems.is_empty(), "rows": report.rows, "head": report.head,
            "rows_since_expected_head": report.rows_since, "problems": report.problems});
        return output.json_ending(value, ending);
    }
    if report.problems.is_empty() {
        let since = report.rows_since.map(|rows| format!(", {rows} of them after the expected head"));
        let since = since.unwrap_or_default();
        output.line(format!("{GOOD}whole{GOOD:#}: {} rows{since}, head {}", report.rows, report.head));
    } else {
        for problem in &report.problems {
            output.line(format!("{BAD}✗{BAD:#} {problem}"));
        }
    }
    ending
}
