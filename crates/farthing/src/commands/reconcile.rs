//! `farthing reconcile`.

use farthing_ledger::Outcome;
use farthing_wallet::{Reconciled, StillOpen, Wallet as _, has_answer};
use serde_json::{Value, json};

use super::go_on::{get_answer, tail};
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::{DIM, GOOD, Output, WARN, printable};
use crate::progress::shown;
use crate::session::Session;

pub(crate) async fn run(session: &Session, output: Output) -> Result<(), Failure> {
    let wallet = session.wallet()?;
    let asking = || "asking the chains what became of payments".to_owned();
    let reconciled = shown(output, asking, wallet.reconcile()).await?;
    let ending = ending(&reconciled);
    if output.json {
        let rows: Vec<_> = reconciled.iter().map(|one| to_json(one, session.home())).collect();
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
        if let Some(hint) = hint(one, session.home()) {
            output.line(format!("          {hint}"));
        }
    }
    ending
}

fn to_json(one: &Reconciled, home: &Home) -> Value {
    let still_unknown = one.outcome.as_ref().err().map(ToString::to_string);
    json!({
        "purchase": one.before.terms.id, "outcome": one.outcome.as_ref().ok(), "hint": hint(one, home),
        "still_unknown": still_unknown,
    })
}

/// How to get what turned out to be paid for and never came.
fn hint(one: &Reconciled, home: &Home) -> Option<String> {
    let paid = matches!(one.outcome, Ok(Outcome::Paid { .. }));
    (paid && !has_answer(&one.before)).then(|| get_answer(&one.before, home))
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
