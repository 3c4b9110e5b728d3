//! `farthing check`, and what `fetch --dry-run` shows.

use farthing_ledger::PurchaseId;
use farthing_policy::{Limit, Measure, Usage};
use farthing_protocol::{Challenge, Offer};
use farthing_wallet::{Appraisal, Probe, Verdict};
use serde_json::{Value, json};

use super::request;
use crate::cli::CheckArgs;
use crate::exit::{Code, Failure};
use crate::output::{BAD, DIM, GOOD, Output, STRONG, printable};
use crate::session::Session;

pub(crate) async fn run(session: &Session, args: &CheckArgs, output: Output) -> Result<(), Failure> {
    let client = session.client(args.request.timeout)?;
    let probe = client.probe(&request::request(&args.request)?, &request::limits(&args.request)?).await?;
    show(&probe, output)
}

/// Prints a probe. A call that the wallet would refuse is an error, so that scripts can ask.
pub(crate) fn show(probe: &Probe, output: Output) -> Result<(), Failure> {
    let (challenge, appraisal) = match probe {
        Probe::Free(status, _) => {
            if output.json {
                output.json(&json!({"priced": false, "status": status.as_u16()}));
            } else {
                output
                    .line(format!("{GOOD}free{GOOD:#}: the seller answered {status} and asked for nothing"));
            }
            return Ok(());
        }
        Probe::Priced { challenge, appraisal } => (challenge, appraisal),
    };
    if output.json {
        return output.json_ending(to_json(challenge, appraisal), verdict(appraisal));
    }
    print(challenge, appraisal, output);
    verdict(appraisal)
}

fn verdict(appraisal: &Appraisal) -> Result<(), Failure> {
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

fn print(challenge: &Challenge, appraisal: &Appraisal, output: Output) {
    for (index, (offer, verdict)) in appraisal.offers.iter().enumerate() {
        output.line(offer_line(offer, verdict, appraisal.chosen == Some(index)));
    }
    for why in &appraisal.unreadable {
        output.line(format!("  {DIM}{}{DIM:#}", printable(why)));
    }
    let mut descriptions = challenge.offers.iter().filter_map(|offer| offer.description.as_deref());
    if let Some(description) = descriptions.find(|text| !text.is_empty()) {
        output.line(format!("{DIM}sells{DIM:#}   {}", printable(description)));
    }
    if appraisal.chosen.is_some() && appraisal.denied.is_none() {
        output.line(format!("{GOOD}allowed{GOOD:#} by the policy"));
    }
    for (limit, used) in &appraisal.used {
        output.line(format!("{DIM}budget{DIM:#}  {}: {} left", limit.rule, limit.remaining(*used)));
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

fn to_json(challenge: &Challenge, appraisal: &Appraisal) -> Value {
    let offers: Vec<Value> = appraisal
        .offers
        .iter()
        .enumerate()
        .map(|(index, (offer, verdict))| offer_json(offer, verdict, appraisal.chosen == Some(index)))
        .collect();
    json!({
        "priced": true,
        "allowed": appraisal.chosen.is_some() && appraisal.denied.is_none(),
        "offers": offers,
        "unreadable": appraisal.unreadable,
        "seller_says": challenge.error,
        "denial": appraisal.denied,
        "budgets": budgets_json(&appraisal.used),
    })
}

fn offer_json(offer: &Offer, verdict: &Verdict, chosen: bool) -> Value {
    let terms = &offer.requirements;
    let (price, symbol, denial, why) = match verdict {
        Verdict::Payable { asset, .. } => (Some(asset.format(terms.amount)), Some(&asset.symbol), None, None),
        Verdict::Denied { asset, denial } => {
            (Some(asset.format(terms.amount)), Some(&asset.symbol), Some(denial), None)
        }
        Verdict::Unpayable(why) => (None, None, None, Some(why)),
    };
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

/// The full id of a purchase from its end, as people copy it.
pub(crate) async fn find_purchase(session: &Session, id: &str) -> Result<PurchaseId, Failure> {
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
    let all = session.ledger()?.purchases(farthing_ledger::PurchaseFilter::default()).await?;
    let mut found = all.iter().map(|purchase| &purchase.terms.id).filter(|known| known.0.ends_with(&wanted));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(_), _) => Err(Failure::new(
            Code::Configuration,
            format!("`{}` names more than one purchase", printable(id)),
        )
        .hint("give more of its last characters")),
        (None, _) => Err(Failure::new(Code::Configuration, format!("no purchase `{}`", printable(id)))
            .hint("`farthing history` lists purchases")),
    }
}
