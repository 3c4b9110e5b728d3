//! `farthing receipt`.

use std::path::Path;

use farthing_ambient::causes;
use farthing_ledger::{Outcome, Purchase, PurchaseState};
use farthing_ui::Receipt;
use farthing_wallet::{BodyStore, FetchedBody, has_answer};
use serde_json::json;

use super::body::{body_json, writable, write, write_body};
use super::check::find_purchase;
use super::go_on::get_answer;
use crate::cli::ReceiptArgs;
use crate::exit::{Code, Failure};
use crate::fence::Fence;
use crate::output::{DIM, Output, STRONG, printable, state, time};
use crate::session::Session;

pub(crate) async fn run(session: &Session, args: &ReceiptArgs, output: Output) -> Result<(), Failure> {
    let purchase = find_purchase(session, &args.id).await?;
    if let Some(file) = &args.output {
        writable(file, &Fence::around(session))?;
    }
    if args.body {
        return print_body(session, &purchase, args.output.as_deref(), output).await;
    }
    if args.html || args.pdf {
        return document(session, &purchase, args, output).await;
    }
    if output.json {
        output.json(&purchase.without_payment());
        return Ok(());
    }
    for (name, value) in lines(&purchase) {
        output.line(format!("{DIM}{name:<12}{DIM:#} {value}"));
    }
    Ok(())
}

/// The receipt as a page, to a file or, what is text, to stdout.
async fn document(
    session: &Session,
    purchase: &Purchase,
    args: &ReceiptArgs,
    output: Output,
) -> Result<(), Failure> {
    let row = session.ledger()?.purchase_row(&purchase.terms.id).await?;
    let receipt = Receipt::new(purchase, &row, &session.config().registry()?);
    let failed = |error| Failure::new(Code::Unexpected, causes(&error));
    let page = if args.pdf { receipt.pdf() } else { receipt.html().map_err(failed)?.into_bytes() };
    let Some(file) = &args.output else {
        let text = String::from_utf8_lossy(&page);
        match output.json {
            true => output.json(&json!({"file": null, "html": text})),
            false => output.line(text),
        }
        return Ok(());
    };
    write(&page, file).await?;
    match output.json {
        true => output.json(&json!({"file": file.to_string_lossy(), "html": null})),
        false => output.note(format!("written to {}", file.display())),
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

/// Prints what was kept, as `fetch` did. What is not what was paid for is said to be not.
async fn print_body(
    session: &Session,
    purchase: &Purchase,
    target: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    let nothing = || {
        let failure = Failure::new(Code::Configuration, "no body was kept for this purchase");
        match purchase.state {
            PurchaseState::Paid if !has_answer(purchase) => {
                failure.hint(get_answer(purchase, session.home()))
            }
            _ => failure,
        }
    };
    let response = purchase.response.as_ref().ok_or_else(nothing)?;
    let file = response.body_file.as_deref().ok_or_else(nothing)?;
    let path = session.home().folder().join(file);
    let body = FetchedBody::Kept { path, bytes: response.body_bytes, cut_off: None };
    let ending = if BodyStore::is_partial(file) {
        let why = format!("this is not the whole body: {} bytes of it came", response.body_bytes);
        Err(Failure::new(Code::Unexpected, why).hint(get_answer(purchase, session.home())))
    } else {
        Ok(())
    };
    if output.json {
        let value = json!({
            "purchase": purchase.terms.id, "status": response.status, "content_type": response.content_type,
            "body": body_json(body, target).await?,
        });
        return output.json_ending(value, ending);
    }
    write_body(body, target).await?;
    if response.status >= 400 {
        output.warn(format_args!("this is not what was paid for: the seller answered {}", response.status));
    }
    ending
}
