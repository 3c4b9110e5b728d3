//! `farthing reconcile`.

use farthing_ledger::Outcome;
use farthing_wallet::Wallet as _;
use serde_json::json;

use super::fetch::tail;
use crate::exit::Failure;
use crate::output::{DIM, GOOD, Output, WARN, printable};
use crate::session::Session;

pub(crate) async fn run(session: &Session, output: Output) -> Result<(), Failure> {
    let wallet = session.wallet()?;
    let reconciled = wallet.reconcile().await?;
    if output.json {
        let rows: Vec<_> = reconciled
            .iter()
            .map(|one| match &one.outcome {
                Ok(outcome) => json!({"purchase": one.before.terms.id, "outcome": outcome}),
                Err(why) => json!({"purchase": one.before.terms.id, "still_unknown": why}),
            })
            .collect();
        output.json(&json!({"reconciled": rows}));
        return Ok(());
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
            Ok(Outcome::Unknown { why }) | Err(why) => {
                format!("{WARN}still reserved{WARN:#}: {}", printable(why))
            }
        };
        output.line(format!("{}  {}  {what}", tail(&terms.id.0), terms.value));
    }
    Ok(())
}
