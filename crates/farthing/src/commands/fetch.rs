//! `farthing fetch`.

use std::path::PathBuf;
use std::sync::Arc;

use farthing_ambient::{Clock as _, SystemClock};
use farthing_ledger::{Outcome, PurchaseId, PurchaseState};
use farthing_wallet::{CutOff, FetchError, Fetched, FetchedBody, PaidCall, WalletError, has_answer};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::body::{body_json, writable, write_body};
use super::go_on::{GoOn, tail};
use super::{check, request};
use crate::cli::FetchArgs;
use crate::exit::{Code, Failure};
use crate::fence::Fence;
use crate::output::{self, DIM, GOOD, Output, STRONG, WARN, clear_status, printable, say};
use crate::progress::{self, Watch};
use crate::session::Session;
use crate::webhook;

pub(crate) async fn run(session: &Session, args: &FetchArgs, output: Output) -> Result<(), Failure> {
    let limits = request::limits(&args.request)?;
    let fence = Fence::around(session);
    let earlier = match &args.resume {
        Some(id) => Some(check::find_purchase(session, id).await?),
        None => None,
    };
    let call = match &earlier {
        Some(earlier) => request::again(&args.request, args.url.as_deref(), earlier, &fence)?,
        None => request::request(&args.request, args.url.as_deref().unwrap_or_default(), &fence)?,
    };
    if args.dry_run {
        return check::probe(session, &call, &args.request, output).await;
    }
    if let Some(file) = &args.output {
        writable(file, &fence)?;
    }
    let go_on = GoOn::new(session.home(), args);
    let watch = Arc::new(Watch::new(&call));
    let client = session.client(args.request.timeout)?.observed_by(watch.clone());
    let work = async {
        let answer = async {
            match &earlier {
                Some(earlier) => client.resume(call, &earlier.terms.id).await,
                None => client.fetch(call, limits).await,
            }
        };
        let fetched = progress::shown(output, || watch.doing(), answer).await;
        if let Err(FetchError::Wallet(WalletError::Denied(denial))) = &fetched {
            webhook::tell_of(session, denial).await?;
        }
        deliver(fetched.map_err(|error| sent(error, &go_on))?, &go_on, output).await
    };
    tokio::select! {
        biased;
        done = work => done,
        purchase = watch.broken_off() => Err(broken_off(session, &purchase, watch.keeping(), &go_on).await),
    }
}

/// A failed call; when its payment is out, with what can be done about it.
fn sent(error: FetchError, go_on: &GoOn<'_>) -> Failure {
    let purchase = match &error {
        FetchError::Lost { purchase, .. }
        | FetchError::NotKept { purchase, .. }
        | FetchError::NotRecorded { purchase, .. } => purchase.clone(),
        _ => return error.into(),
    };
    Failure::from(error).hint(go_on.how(&purchase)).beside(purchase_json(&purchase))
}

/// Names the purchase to who reads JSON, so that it is gone on with and not paid again.
fn purchase_json(id: &PurchaseId) -> Value {
    json!({"payment": {"purchase": id}})
}

/// What the user is told who has broken a paid call off, whose body was on its way into this file.
async fn broken_off(session: &Session, id: &PurchaseId, file: Option<PathBuf>, go_on: &GoOn<'_>) -> Failure {
    let found = match session.ledger() {
        Ok(ledger) => ledger.purchase(id).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    let part = file.filter(|file| file.exists());
    let part = part.map(|file| format!(". What came is in {}", file.display())).unwrap_or_default();
    let failure = match found {
        Ok(purchase) if has_answer(&purchase) && purchase.state == PurchaseState::Paid => {
            Failure::new(Code::Unexpected, "interrupted; the call is paid, and its answer is kept")
                .hint(go_on.receipt(id))
        }
        Ok(purchase) if purchase.state == PurchaseState::Paid => {
            let value = purchase.terms.value;
            let why = format!("interrupted: {value} are paid, and the answer is not whole{part}");
            Failure::new(Code::Unexpected, why).hint(go_on.how(id))
        }
        Ok(purchase) => {
            let value = purchase.terms.value;
            let why =
                format!("interrupted: the payment of {value} was sent. Purchase {id} stays reserved{part}");
            Failure::new(Code::Unknown, why).hint(go_on.how(id))
        }
        Err(unread) => {
            let why = format!("interrupted: the payment of purchase {id} was sent{part}");
            Failure::new(Code::Unknown, why).also(&unread.message).hint(go_on.how(id))
        }
    };
    failure.beside(purchase_json(id))
}

async fn deliver(fetched: Fetched, go_on: &GoOn<'_>, output: Output) -> Result<(), Failure> {
    let Fetched { status, headers, body, payment } = fetched;
    let (args, payment) = (go_on.args(), payment.as_ref());
    let cut_off = match &body {
        FetchedBody::Kept { cut_off, .. } => cut_off.clone(),
        FetchedBody::Stream(_) => None,
    };
    let ending = conclude(status, payment, cut_off.as_ref(), go_on);
    let file = args.output.as_deref();
    if output.json {
        let mut value = head_json(status, &headers, cut_off.as_ref(), payment);
        if args.include {
            value["headers"] = headers_json(&headers);
        }
        let handed_over = body_json(body, file).await.map(|body| value["body"] = body);
        output.json_ending(value, both(handed_over, ending, payment, go_on))?;
        return output::written().map_err(|failure| kept_all_the_same(failure, payment, go_on));
    }
    if args.include {
        say_head(status, &headers);
    }
    clear_status();
    let handed_over = write_body(body, file).await;
    if let Some(paid) = payment {
        say_payment(paid, output);
    }
    if status.is_redirection() {
        output.note(format!("{WARN}note{WARN:#}: redirects are not followed; call the new address yourself"));
    }
    both(handed_over, ending, payment, go_on)
}

/// One ending out of two: what became of the money comes before what became of the output.
fn both(
    handed_over: Result<(), Failure>,
    ending: Result<(), Failure>,
    payment: Option<&PaidCall>,
    go_on: &GoOn<'_>,
) -> Result<(), Failure> {
    let Err(unwritten) = handed_over else { return ending };
    let failure = match ending {
        Ok(()) => unwritten,
        Err(open) if open.code == Code::Unknown => open.also(&unwritten.message),
        Err(other) => other.hint.iter().fold(unwritten.also(&other.message), |all, hint| all.and_hint(hint)),
    };
    Err(kept_all_the_same(failure, payment, go_on))
}

/// A body that could not be handed over, or not whole, is in the wallet's folder, if it was paid for.
fn kept_all_the_same(failure: Failure, payment: Option<&PaidCall>, go_on: &GoOn<'_>) -> Failure {
    let Some(PaidCall { purchase, outcome, .. }) = payment else { return failure };
    let failure = match outcome {
        Outcome::Paid { .. } => failure.also("the call is paid"),
        _ => failure,
    };
    failure.and_hint(go_on.receipt(&purchase.terms.id))
}

/// All of an answer but its body.
fn head_json(
    status: StatusCode,
    headers: &HeaderMap,
    cut_off: Option<&CutOff>,
    payment: Option<&PaidCall>,
) -> Value {
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
    json!({
        "status": status.as_u16(), "content_type": content_type, "body": null,
        "cut_off": cut_off.map(CutOff::to_string), "payment": payment.map(payment_json),
    })
}

/// The answer's status and headers, also with `--quiet`: they were asked for.
fn say_head(status: StatusCode, headers: &HeaderMap) {
    say(format_args!("{STRONG}{status}{STRONG:#}"));
    for (name, value) in headers {
        // A header may be longer than what is printed of other people's words: it is shown whole.
        let value: String =
            String::from_utf8_lossy(value.as_bytes()).chars().flat_map(char::escape_debug).collect();
        say(format_args!("{DIM}{name}: {value}{DIM:#}"));
    }
}

/// Every header's values, in their order.
fn headers_json(headers: &HeaderMap) -> Value {
    let values = |name| headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    headers.keys().map(|name| (name.to_string(), json!(values(name).collect::<Vec<_>>()))).collect()
}

/// The exit code: what became of the money comes before what became of the call.
fn conclude(
    status: StatusCode,
    payment: Option<&PaidCall>,
    cut_off: Option<&CutOff>,
    go_on: &GoOn<'_>,
) -> Result<(), Failure> {
    if let Some(paid) = payment
        && let Outcome::Unknown { why } = &paid.outcome
    {
        return Err(open(paid, why, cut_off, go_on));
    }
    if let Some(why) = cut_off {
        let paid = if payment.is_some() { ", and it was paid for" } else { "" };
        let why_not = format!("the body is not whole{paid}: {}", printable(&why.to_string()));
        let failure = Failure::new(Code::Unexpected, why_not);
        let Some(paid) = payment else { return Err(failure) };
        let id = &paid.purchase.terms.id;
        return Err(failure.hint(go_on.how_to_get_the_rest(id, why)).and_hint(go_on.receipt(id)));
    }
    if status.is_client_error() || status.is_server_error() {
        return Err(Failure::new(Code::SellerError, format!("the seller answered {status}")));
    }
    Ok(())
}

/// Nobody knows whether the money moved. What was bought may still come, whole, for the same payment.
fn open(paid: &PaidCall, why: &str, cut_off: Option<&CutOff>, go_on: &GoOn<'_>) -> Failure {
    let id = &paid.purchase.terms.id;
    let mut failure = Failure::new(Code::Unknown, printable(why));
    if why.contains("insufficient_funds") || why.contains("insufficient_balance") {
        failure = failure.hint("`farthing balance` shows what the wallet holds");
    }
    let failure = match cut_off {
        Some(cut_off @ CutOff::TooLong { .. }) => failure.and_hint(go_on.how_to_get_the_rest(id, cut_off)),
        _ => failure.and_hint(go_on.how(id)),
    };
    let failure = failure.and_hint(reserved(paid));
    match cut_off {
        Some(why) => failure.also(&format!("the body is not whole: {}", printable(&why.to_string()))),
        None => failure,
    }
}

/// How long the amount stays reserved.
fn reserved(paid: &PaidCall) -> String {
    let amount = paid.asset.format(paid.purchase.terms.amount);
    let until = paid.purchase.signed.as_ref().map(|signed| signed.valid_before);
    match until.filter(|until| *until > SystemClock.now()) {
        Some(until) => {
            let until = output::time(until);
            format!("{amount} stays reserved, because the seller could still settle until {until} UTC")
        }
        None => format!("{amount} stays reserved until the chain has said what became of it"),
    }
}

fn say_payment(paid: &PaidCall, output: Output) {
    let terms = &paid.purchase.terms;
    let amount = paid.asset.format(terms.amount);
    if let Outcome::Paid { transaction } = &paid.outcome {
        output.note(format!(
            "{GOOD}paid{GOOD:#} {STRONG}{amount}{STRONG:#} in {} on {} to {}",
            paid.asset.symbol,
            terms.network.display_name(),
            printable(&terms.pay_to)
        ));
        if let Some(transaction) = transaction {
            output.note(format!("{DIM}transaction{DIM:#} {}", printable(transaction)));
        }
    }
    output.note(format!("{DIM}purchase{DIM:#} {}  (`farthing receipt {}`)", terms.id, tail(&terms.id.0)));
    for (limit, used) in &paid.used {
        output.note(format!("{DIM}budget{DIM:#} {}: {} left", limit.rule, limit.remaining(*used)));
    }
}

fn payment_json(paid: &PaidCall) -> Value {
    let terms = &paid.purchase.terms;
    json!({
        "purchase": terms.id, "amount": terms.amount, "price": paid.asset.format(terms.amount),
        "asset": terms.asset, "symbol": paid.asset.symbol, "network": terms.network, "protocol": terms.protocol,
        "pay_to": terms.pay_to, "payer": terms.payer, "outcome": paid.outcome, "settlement": paid.settlement,
        "budgets": check::budgets_json(&paid.used),
    })
}
