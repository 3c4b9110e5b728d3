//! `farthing history`.

use farthing_ledger::PurchaseFilter;
use serde_json::json;

use super::go_on::tail;
use crate::cli::HistoryArgs;
use crate::exit::Failure;
use crate::output::{Output, printable, state, table, time};
use crate::session::Session;

pub(crate) async fn run(session: &Session, args: &HistoryArgs, output: Output) -> Result<(), Failure> {
    let filter = PurchaseFilter { unresolved: args.unresolved, limit: Some(args.limit), id_ends_with: None };
    let purchases = session.ledger()?.purchases(filter).await?;
    if output.json {
        output.json(&json!({"purchases": purchases.iter().map(farthing_ledger::Purchase::without_payment).collect::<Vec<_>>()}));
        return Ok(());
    }
    if purchases.is_empty() {
        output.note("nothing was bought yet");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = purchases
        .iter()
        .map(|purchase| {
            let terms = &purchase.terms;
            vec![
                tail(&terms.id.0).to_owned(),
                time(purchase.created_at),
                terms.value.to_string(),
                terms.network.display_name().to_owned(),
                plain_state(purchase.state),
                format!("{} {}", terms.method, printable(&terms.url)),
            ]
        })
        .collect();
    let text = table(&["PURCHASE", "WHEN (UTC)", "AMOUNT", "NETWORK", "STATE", "CALL"], &rows);
    output.line(text);
    Ok(())
}

/// The state without colour: a table's columns are measured in characters.
fn plain_state(of: farthing_ledger::PurchaseState) -> String {
    anstream::adapter::strip_str(&state(of)).to_string()
}
