//! `farthing ledger`.

use std::path::Path;

use serde_json::json;

use crate::cli::LedgerCommand;
use crate::exit::{Code, Failure};
use crate::output::{BAD, GOOD, Output};
use crate::session::{Session, open_ledger};

pub(crate) async fn run(session: &Session, command: &LedgerCommand, output: Output) -> Result<(), Failure> {
    let LedgerCommand::Verify { file, expect_head } = command;
    let own = session.home().ledger();
    verify(file.as_deref().unwrap_or(&own), expect_head.as_deref(), output).await
}

async fn verify(path: &Path, expect_head: Option<&str>, output: Output) -> Result<(), Failure> {
    if !path.exists() {
        return Err(Failure::new(Code::Configuration, format!("there is no ledger at {}", path.display())));
    }
    let mut report = open_ledger(path)?.verify().await?;
    if expect_head.is_some_and(|head| head != report.head) {
        report.problems.push(format!("the journal's head is {}, not the one expected", report.head));
    }
    let ending = match report.problems.len() {
        0 => Ok(()),
        1 => Err(Failure::new(Code::Damaged, format!("{} has a problem", path.display()))),
        count => Err(Failure::new(Code::Damaged, format!("{} has {count} problems", path.display()))),
    };
    if output.json {
        let value = json!({"whole": report.problems.is_empty(), "rows": report.rows, "head": report.head,
            "problems": report.problems});
        return output.json_ending(value, ending);
    }
    if report.problems.is_empty() {
        output.line(format!("{GOOD}whole{GOOD:#}: {} rows, head {}", report.rows, report.head));
    } else {
        for problem in &report.problems {
            output.line(format!("{BAD}✗{BAD:#} {problem}"));
        }
    }
    ending
}
