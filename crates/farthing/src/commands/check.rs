//! `farthing check`, and what `fetch --dry-run` shows.

use std::sync::Arc;

use farthing_ledger::{Purchase, PurchaseFilter};
use farthing_policy::{Clearance, Limit, Measure, Usage};
use farthing_protocol::{Challenge, Offer};
use farthing_wallet::{Appraisal, FetchError, Probe, Request, Verdict};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::described::{self, Described};
use super::request;
use crate::cli::{CheckArgs, RequestArgs};
use crate::exit::{Code, Failure};
use crate::fence::Fence;
use crate::output::{BAD, DIM, GOOD, Output, STRONG, WARN, brief, printable};
use crate::progress::{self, Watch};
use crate::session::Session;

pub(crate) async fn run(session: &Session, args: &CheckArgs, output: Output) -> Result<(), Failure> {
    let call = request::request(&args.request, &args.url, &Fence::around(session))?;
    let limits = request::limits(&args.request)?;
    let watch = Arc::new(Watch::new(&call));
    let client = session.client(args.request.timeout)?.observed_by(watch.clone());
    let asking = async { tokio::join!(client.probe(&call, &limits), described::origin_of(session, &call)) };
    let (probe, origin) = progress::shown(output, || watch.doing(), asking).await;
    let described = origin?.map(|origin| Described::new(session, &origin, &call, &probe)).transpose()?;
    let probe = match probe {
        Ok(probe) => probe,
        Err(error) => return show_failed(error, described.as_ref(), output),
    };
    let unsaid = args.request.method.is_none() && args.request.data.is_none();
    let other =
        described.as_ref().filter(|_| unsaid).and_then(|described| described.other_methods(&call.method));
    match (probe, other) {
        (Probe::Free(status, headers), Some(methods)) if !status.is_success() => {
            show_other_methods(status, &headers, &methods, described.as_ref(), output);
            Ok(())
        }
        (probe, _) => show(probe, described.as_ref(), output),
    }
}

/// Nothing is known of the live price: what the documents say is all there is, and stands beside what went wrong.
fn show_failed(error: FetchError, described: Option<&Described>, output: Output) -> Result<(), Failure> {
    let failure = Failure::from(error);
    if output.json {
        return Err(failure.beside(with_document(json!({}), described)));
    }
    if let Some(described) = described {
        described.print(output);
    }
    Err(failure)
}

/// The route is sold under another method, which is not sent unasked: its document says at which price.
fn show_other_methods(
    status: StatusCode,
    headers: &HeaderMap,
    methods: &str,
    described: Option<&Described>,
    output: Output,
) {
    if output.json {
        let mut value = unpriced(status, headers);
        value["listed_under"] = json!(methods);
        return output.json(&with_document(value, described));
    }
    if let Some(described) = described {
        described.print(output);
    }
    output.note(format!(
        "{DIM}GET was answered {status}; the price of {methods} is what the document says. `-X METHOD` and `-d BODY` ask \
         for the live one{DIM:#}"
    ));
}

fn with_document(mut value: Value, described: Option<&Described>) -> Value {
    if let Some(described) = described {
        value["document"] = described.to_json();
    }
    value
}

/// Asks for the price and prints what the wallet thinks of it.
pub(crate) async fn probe(
    session: &Session,
    call: &Request,
    args: &RequestArgs,
    output: Output,
) -> Result<(), Failure> {
    let limits = request::limits(args)?;
    let watch = Arc::new(Watch::new(call));
    let client = session.client(args.timeout)?.observed_by(watch.clone());
    let probe = progress::shown(output, || watch.doing(), client.probe(call, &limits)).await?;
    show(probe, None, output)
}

/// Prints a probe. A call that the wallet would refuse is an error, so that scripts can ask.
fn show(probe: Probe, described: Option<&Described>, output: Output) -> Result<(), Failure> {
    let (challenge, appraisal, refused) = match probe {
        Probe::Free(status, headers) => return show_unpriced(status, &headers, described, output),
        Probe::Priced { challenge, appraisal, refused } => (challenge, appraisal, refused),
    };
    let ending = verdict(&appraisal, refused);
    if output.json {
        let value = with_document(to_json(&challenge, &appraisal, ending.is_ok()), described);
        return output.json_ending(value, ending);
    }
    print(&challenge, &appraisal, ending.is_ok(), output);
    if let Some(described) = described {
        described.print(output);
    }
    ending
}

/// Only what was served is free: an error or a redirect says nothing about the price.
fn show_unpriced(
    status: StatusCode,
    headers: &HeaderMap,
    described: Option<&Described>,
    output: Output,
) -> Result<(), Failure> {
    let ending = if status.is_client_error() || status.is_server_error() {
        Err(Failure::new(Code::SellerError, format!("the seller answered {status} and named no price")))
    } else {
        Ok(())
    };
    if output.json {
        return output.json_ending(with_document(unpriced(status, headers), described), ending);
    }
    if status.is_success() {
        output.line(format!("{GOOD}free{GOOD:#}: the seller answered {status} and asked for nothing"));
    } else if ending.is_ok() {
        let place = location(headers)
            .map(|place| format!(" and points to {}", printable(&place)))
            .unwrap_or_default();
        output.line(format!(
            "{WARN}no price{WARN:#}: the seller answered {status}{place}; redirects are not followed"
        ));
    }
    if let Some(described) = described {
        described.print(output);
    }
    ending
}

fn unpriced(status: StatusCode, headers: &HeaderMap) -> Value {
    json!({"priced": false, "status": status.as_u16(), "location": location(headers)})
}

fn location(headers: &HeaderMap) -> Option<String> {
    headers.get("location").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// What `fetch` would say.
fn verdict(appraisal: &Appraisal, refused: Option<FetchError>) -> Result<(), Failure> {
    if let Some(refused) = refused {
        return Err(refused.into());
    }
    if let (None, Some(shortage)) = (appraisal.chosen, appraisal.shortage()) {
        return Err(farthing_wallet::WalletError::Short(shortage).into());
    }
    let denial = appraisal.denied.as_ref().or_else(|| match appraisal.chosen {
        None => appraisal.only_denial(),
        Some(_) => None,
    });
    match denial {
        Some(denial) => Err(farthing_wallet::WalletError::Denied(Box::new(denial.clone())).into()),
        None if appraisal.chosen.is_none() => {
            Err(Failure::new(Code::Unpayable, "none of the offers can be paid"))
        }
        None => Ok(()),
    }
}

fn print(challenge: &Challenge, appraisal: &Appraisal, allowed: bool, output: Output) {
    for (index, (offer, verdict)) in appraisal.offers.iter().enumerate() {
        output.line(offer_line(offer, verdict, appraisal.chosen == Some(index)));
    }
    for why in &appraisal.unreadable {
        output.line(format!("  {DIM}{}{DIM:#}", printable(why)));
    }
    let mut descriptions = challenge.offers.iter().filter_map(|offer| offer.description.as_deref());
    if let Some(description) = descriptions.find(|text| !text.is_empty()) {
        output.line(format!("{DIM}sells{DIM:#}   {}", brief(description)));
    }
    match chosen_clearance(appraisal) {
        Some(clearance) if allowed && clearance.approval.is_some() => {
            output.line(format!(
                "{WARN}needs approval{WARN:#} by a person, the policy says; `farthing fetch` asks for it"
            ));
        }
        _ if allowed => output.line(format!("{GOOD}allowed{GOOD:#} by the policy")),
        _ => {}
    }
    for denial in chosen_clearance(appraisal).iter().flat_map(|clearance| &clearance.shadowed) {
        output.line(format!("{DIM}shadow{DIM:#}  `{}` would deny it: {denial}", denial.rule));
    }
    for (limit, used) in &appraisal.used {
        output.line(format!("{DIM}budget{DIM:#}  {}: {} left", limit.rule, limit.remaining(*used)));
    }
}

/// What the policy said of the offer that would be paid.
fn chosen_clearance(appraisal: &Appraisal) -> Option<&Clearance> {
    match appraisal.offers.get(appraisal.chosen?)? {
        (_, Verdict::Payable { clearance, .. }) => Some(clearance),
        _ => None,
    }
}

fn offer_line(offer: &Offer, verdict: &Verdict, chosen: bool) -> String {
    let terms = &offer.requirements;
    let place =
        format!("on {} ({}, {})", terms.network.display_name(), printable(&terms.scheme), offer.protocol);
    match verdict {
        Verdict::Payable { asset, .. } => {
            let mark = if chosen { format!("{GOOD}→{GOOD:#}") } else { " ".to_owned() };
            let price = asset.format(terms.amount);
            format!(
                "{mark} {STRONG}{price}{STRONG:#} in {} {place} to {}",
                asset.symbol,
                printable(&terms.pay_to)
            )
        }
        Verdict::Denied { asset, denial } => {
            let price = asset.format(terms.amount);
            format!("{BAD}✗{BAD:#} {price} in {} {place}: {denial}", asset.symbol)
        }
        Verdict::Short { asset, held } => {
            let (price, held) = (asset.format(terms.amount), asset.format(*held));
            format!("{BAD}✗{BAD:#} {price} in {} {place}: the wallet holds {held}", asset.symbol)
        }
        Verdict::Unpayable(why) => {
            let amount = terms.amount;
            format!(
                "{DIM}✗ {amount} base units of {} {place}: {}{DIM:#}",
                printable(&terms.asset),
                printable(why)
            )
        }
    }
}

fn to_json(challenge: &Challenge, appraisal: &Appraisal, allowed: bool) -> Value {
    let offers: Vec<Value> = appraisal
        .offers
        .iter()
        .enumerate()
        .map(|(index, (offer, verdict))| offer_json(offer, verdict, appraisal.chosen == Some(index)))
        .collect();
    json!({
        "priced": true,
        "allowed": allowed,
        "offers": offers,
        "unreadable": appraisal.unreadable,
        "seller_says": challenge.error,
        "denial": appraisal.denied,
        "needs_approval": chosen_clearance(appraisal).is_some_and(|clearance| clearance.approval.is_some()),
        "shadowed": chosen_clearance(appraisal).map(|clearance| &clearance.shadowed),
        "budgets": budgets_json(&appraisal.used),
    })
}

fn offer_json(offer: &Offer, verdict: &Verdict, chosen: bool) -> Value {
    let terms = &offer.requirements;
    let (asset, denial, why) = match verdict {
        Verdict::Payable { asset, .. } => (Some(asset), None, None),
        Verdict::Denied { asset, denial } => (Some(asset), Some(denial), None),
        Verdict::Short { asset, held } => {
            (Some(asset), None, Some(format!("the wallet holds {}", asset.format(*held))))
        }
        Verdict::Unpayable(why) => (None, None, Some(why.clone())),
    };
    let (price, symbol) = (asset.map(|asset| asset.format(terms.amount)), asset.map(|asset| &asset.symbol));
    json!({
        "chosen": chosen, "protocol": offer.protocol.as_str(), "scheme": terms.scheme, "network": terms.network,
        "asset": terms.asset, "symbol": symbol, "amount": terms.amount, "price": price, "pay_to": terms.pay_to,
        "max_timeout_seconds": terms.max_timeout_seconds, "denial": denial, "unpayable": why,
        "resource": offer.resource_url, "description": offer.description,
    })
}

/// Budgets with what is used and what remains of each: dollars, or for a rate a number of payments.
pub(crate) fn budgets_json(used: &[(Limit, Usage)]) -> Vec<Value> {
    used.iter()
        .map(|(limit, usage)| {
            let (max, remaining) = match limit.measure {
                Measure::Amount(most) => (json!(most), json!(most.saturating_sub(usage.amount))),
                Measure::Count(most) => (json!(most), json!(most.saturating_sub(usage.count))),
            };
            json!({"rule": limit.rule, "scope": limit.scope, "window": limit.window.to_string(), "max": max,
                "remaining": remaining, "used": usage.amount, "payments": usage.count})
        })
        .collect()
}

/// How many of an id's last characters name a purchase, at least.
const FEWEST_CHARACTERS: usize = 4;

/// A purchase by the end of its id, as people copy it.
pub(crate) async fn find_purchase(session: &Session, id: &str) -> Result<Purchase, Failure> {
    let wanted = id.trim().to_ascii_uppercase();
    if wanted.len() < FEWEST_CHARACTERS {
        return Err(Failure::new(
            Code::Configuration,
            format!(
                "`{}` is too short for a purchase: give {FEWEST_CHARACTERS} of its last characters or more",
                printable(id)
            ),
        )
        .hint("`farthing history` lists purchases"));
    }
    let filter = PurchaseFilter { id_ends_with: Some(wanted), limit: Some(2), ..PurchaseFilter::default() };
    let mut found = session.ledger()?.purchases(filter).await?.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), _) => Err(Failure::new(
            Code::Configuration,
            format!("`{}` names more than one purchase", printable(id)),
        )
        .hint("give more of its last characters")),
        (None, _) => Err(Failure::new(Code::Configuration, format!("no purchase `{}`", printable(id)))
            .hint("`farthing history` lists purchases")),
    }
}
