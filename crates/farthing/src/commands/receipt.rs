//! `farthing receipt`.

use farthing_ledger::{Outcome, Purchase};
use farthing_wallet::BodyStore;
use serde_json::Value;

use super::check::find_purchase;
use crate::cli::ReceiptArgs;
use crate::exit::{Code, Failure};
use crate::output::{DIM, Output, STRONG, printable, state, time};
use crate::session::Session;

pub(crate) async fn run(session: &Session, args: &ReceiptArgs, output: Output) -> Result<(), Failure> {
    let purchase = find_purchase(session, &args.id).await?;
    if args.body {
        return print_body(session, &purchase);
    }
    if output.json {
        output.json(&to_json(&purchase));
        return Ok(());
    }
    for (name, value) in lines(&purchase) {
        output.line(format!("{DIM}{name:<12}{DIM:#} {value}"));
    }
    Ok(())
}

fn lines(purchase: &Purchase) -> Vec<(&'static str, String)> {
    let terms = &purchase.terms;
    let mut lines = vec![
        ("purchase", format!("{STRONG}{}{STRONG:#}", terms.id)),
        ("state", state(purchase.state)),
        ("call", format!("{} {}", terms.method, printable(&terms.url))),
        ("amount", format!("{} ({} base units of {})", terms.value, terms.amount, terms.asset)),
        ("network", format!("{} ({})", terms.network.display_name(), terms.network)),
        ("protocol", format!("{}, {}", terms.protocol, printable(&terms.scheme))),
        ("from", terms.payer.clone()),
        ("to", printable(&terms.pay_to)),
        ("reserved", format!("{} UTC", time(purchase.created_at))),
    ];
    if let Some(signed) = &purchase.signed {
        lines.push(("nonce", signed.key.as_str().rsplit('/').next().unwrap_or_default().to_owned()));
        lines.push(("valid until", format!("{} UTC", time(signed.valid_before))));
    }
    match &purchase.outcome {
        Some(Outcome::Paid { transaction }) => {
            let transaction = transaction.as_deref().map_or("not known".to_owned(), printable);
            lines.push(("transaction", transaction));
        }
        Some(Outcome::NotPaid { why } | Outcome::Unknown { why }) => lines.push(("because", printable(why))),
        None => {}
    }
    if let Some(response) = &purchase.response {
        let kind = response.content_type.as_deref().unwrap_or("no media type");
        lines.push((
            "answer",
            format!("{}, {} bytes, {}", response.status, response.body_bytes, printable(kind)),
        ));
        lines.push(("sha-256", response.body_digest.clone()));
        if let Some(file) = &response.body_file {
            let part = if BodyStore::is_partial(file) { " (not the whole body)" } else { "" };
            lines.push(("kept in", format!("{file}{part}")));
        }
    }
    lines.push(("policy", terms.policy_hash.clone()));
    lines
}

/// The purchase as the ledger has it, but for the signed bytes: they are worth money until they expire.
pub(crate) fn to_json(purchase: &Purchase) -> Value {
    let mut value = serde_json::to_value(purchase).unwrap_or_default();
    if let Some(signed) = value.get_mut("signed").and_then(Value::as_object_mut) {
        signed.remove("header_value");
        signed.remove("header_name");
    }
    for place in ["/offer", "/response/settlement"] {
        // They stand in the ledger as they came.
        if let Some(text) = value.pointer_mut(place)
            && let Some(parsed) = text.as_str().and_then(|raw| serde_json::from_str::<Value>(raw).ok())
        {
            *text = parsed;
        }
    }
    value
}

fn print_body(session: &Session, purchase: &Purchase) -> Result<(), Failure> {
    let file = purchase.response.as_ref().and_then(|response| response.body_file.as_deref());
    let file = file.ok_or_else(|| Failure::new(Code::Configuration, "no body was kept for this purchase"))?;
    let path = session.home().folder().join(file);
    let failed =
        |error: std::io::Error| Failure::new(Code::Unexpected, format!("{}: {error}", path.display()));
    let mut kept = std::fs::File::open(&path).map_err(failed)?;
    match std::io::copy(&mut kept, &mut std::io::stdout().lock()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(()),
    }
}
