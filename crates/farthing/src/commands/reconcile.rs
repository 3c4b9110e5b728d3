//! `farthing reconcile`.

use farthing_ledger::Outcome;
use farthing_wallet::{Reconciled, StillOpen, Wallet as _};
use serde_json::json;

use super::fetch::tail;
use crate::exit::{Code, Failure};
use crate::output::{DIM, GOOD, Output, WARN, printable};
use crate::progress::shown;
use crate::session::Session;

pub(crate) async fn run(session: &Session, output: Output) -> Result<(), Failure> {
    let wallet = session.wallet()?;
    let asking = || "asking the chains what became of payments".to_owned();
    let reconciled = shown(output, asking, wallet.reconcile()).await?;
    let ending = ending(&reconciled);
    if output.json {
        let rows: Vec<_> = reconciled
            .iter()
            .map(|one| match &one.outcome {
                Ok(outcome) => json!({"purchase": one.before.terms.id, "outcome": outcome}),
                Err(why) => {
                    json!({"purchase": one.before.terms.id, "still_unknown": why.to_string()})
                }
            })
            .collect();
        return output.json_ending(json!({"reconciled": rows}), ending);
    }
    if reconciled.is_empty() {
        output.line("every purchase is settled or released");
    }
    for one in &reconciled {
        let terms = &one.before.terms;
        let what = match &one.outcome {
            Ok(Outcome::Paid { transaction }) => {
                let transaction = transaction.as_deref().map(printable).unwrap_or_default();
                format!("{GOOD}paid{GOOD:#} {DIM}{transaction}{DIM:#}")
            }
            Ok(Outcome::NotPaid { why }) => format!("{GOOD}released{GOOD:#}: {}", printable(why)),
            Ok(Outcome::Unknown { why }) => format!("{WARN}still reserved{WARN:#}: {}", printable(why)),
            Err(why) => format!("{WARN}still reserved{WARN:#}: {}", printable(&why.to_string())),
        };
        output.line(format!("{}  {}  {what}", tail(&terms.id.0), terms.value));
    }
    ending
}

/// An error when a chain could not be asked, so that scripts try again.
fn ending(reconciled: &[Reconciled]) -> Result<(), Failure> {
    let silent = reconciled.iter().find_map(|one| match &one.outcome {
        Err(StillOpen::Silent(why)) => Some(why),
        _ => None,
    });
    silent.map_or(Ok(()), |why| {
        Err(Failure::new(Code::Unreachable, why).hint("nothing is lost; try again later"))
    })
}
