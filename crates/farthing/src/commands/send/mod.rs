//! `farthing send`: money out of the wallet, under the same caps as everything else.
//!
//! A transfer is an `exact` payment whose payee is the receiver. Who brings it onto the chain, this wallet with its own ETH
//! or a facilitator, can neither change nor repeat it; so it is sent at most once, whichever way it is tried.

mod confirm;
mod plan;
mod settle;

use farthing_keystore::Keys;
use farthing_ledger::{Outcome, PolicyChange, Purchase, PurchaseState};
use farthing_policy::Denial;
use farthing_rail::Payer;
use farthing_wallet::{
    Appraisal, Authorization, CallLimits, PurchaseResult, Transfer, Wallet as _, WalletError,
};
use serde_json::json;

use super::check::find_purchase;
use super::freeze::person;
use super::go_on::command;
use super::person::typed_unlock;
use crate::cli::SendArgs;
use crate::exit::{Code, Failure};
use crate::output::{DIM, GOOD, Output, STRONG, printable};
use crate::progress::{Stop, shown};
use crate::session::Session;
use crate::webhook;
use plan::Plan;
use settle::{Seen, Settling, Way};

pub(crate) async fn run(session: &Session, args: &SendArgs, output: Output) -> Result<(), Failure> {
    match &args.resume {
        Some(id) => resume(session, args, id, output).await,
        None => send(session, args, output).await,
    }
}

async fn send(session: &Session, args: &SendArgs, output: Output) -> Result<(), Failure> {
    let plan = Plan::of(session, args).await?;
    let limits = args.limits();
    let wallet = session.wallet_of(plan.payer.clone(), session.policy()?.into())?;
    let appraisal = wallet.appraise(&plan.transfer.request, &plan.transfer.challenge, &limits).await?;
    let beyond = refusal(&appraisal, args)?;
    let way = Way::of(session, args)?;
    way.check(session, &plan.asset.network, &plan.from).await?;
    confirm::ask(&plan, &appraisal, beyond.as_ref(), &way, args)?;
    let keys = unlock(session, &plan, args)?;
    // Before anything is signed: what cannot be settled now would stay reserved until its signature has expired.
    let settling = Settling::begin(session, &way, &plan.asset.network, || Ok(keys.clone())).await?;
    // As well before: whoever breaks it off has to hear of the signature that there is.
    let stop = Stop::listen();
    let authorization = authorize(session, &plan, &keys, &limits, args).await?;
    finish(session, &way, &settling, stop, &authorization, &*plan.payer, output).await
}

/// Why it may not be sent; or, for a person who goes beyond the policy, what the policy says.
fn refusal(appraisal: &Appraisal, args: &SendArgs) -> Result<Option<Denial>, Failure> {
    if let Some(shortage) = appraisal.shortage() {
        return Err(WalletError::Short(shortage).into());
    }
    let denial = appraisal.denied.as_ref().or(appraisal.only_denial());
    match denial {
        None if appraisal.chosen.is_none() => Err(WalletError::NoPayableOffer(appraisal.reasons()).into()),
        Some(denial) if !args.beyond_policy => {
            let refused = Failure::from(WalletError::Denied(Box::new(denial.clone())));
            Err(refused
                .and_hint("--beyond-policy lets a person send it who types the passphrase at a terminal"))
        }
        denial => Ok(denial.cloned()),
    }
}

/// The key: beyond the policy only with a passphrase that somebody types.
fn unlock(session: &Session, plan: &Plan, args: &SendArgs) -> Result<Keys, Failure> {
    if !args.beyond_policy {
        return session.unlock(&plan.keystore);
    }
    typed_unlock(&plan.keystore)
}

/// Decides, reserves and signs, under the policy in force, or under one that allows this transfer alone.
async fn authorize(
    session: &Session,
    plan: &Plan,
    keys: &Keys,
    limits: &CallLimits,
    args: &SendArgs,
) -> Result<Authorization, Failure> {
    let policy = if args.beyond_policy { plan.policy_of_its_own()? } else { session.policy()? };
    if args.beyond_policy {
        let who = format!("send --beyond-policy by {}", person());
        let change = PolicyChange::Loaded { hash: policy.hash().to_owned() };
        session.ledger()?.policy_read(who, change).await?;
    }
    let wallet = session.wallet_of(session.unlocked_payer(keys)?, policy.into())?;
    let Transfer { request, challenge } = &plan.transfer;
    let authorized = wallet.authorize(request, challenge, limits).await;
    if let Err(WalletError::Denied(denial)) = &authorized {
        webhook::tell_of(session, denial).await?;
    }
    Ok(authorized?)
}

/// Settles what is signed, writes down how it stands, and says so.
async fn finish(
    session: &Session,
    way: &Way,
    settling: &Settling,
    mut stop: Stop,
    authorization: &Authorization,
    payer: &dyn Payer,
    output: Output,
) -> Result<(), Failure> {
    let id = &authorization.purchase.terms.id;
    // Before it leaves: whatever becomes of this process, the transfer can be gone on with.
    output.note(format!("{DIM}purchase{DIM:#} {id}"));
    let doing = || format!("{} brings it onto the chain", way.words());
    let outcome = tokio::select! {
        biased;
        () = stop.asked() => Outcome::Unknown { why: "interrupted before the chain showed it".to_owned() },
        outcome = shown(output, doing, settling.settle(authorization, payer)) => outcome,
    };
    let wallet = session.wallet()?;
    let outcome = wallet.record(id, PurchaseResult { response: None, outcome }).await?;
    say(session, way, authorization, &outcome, output)
}

fn say(
    session: &Session,
    way: &Way,
    authorization: &Authorization,
    outcome: &Outcome,
    output: Output,
) -> Result<(), Failure> {
    let ending = ending(session, &authorization.purchase, outcome);
    if output.json {
        return output.json_ending(to_json(way, authorization, outcome), ending);
    }
    if let Outcome::Paid { transaction } = outcome {
        let terms = &authorization.purchase.terms;
        let (amount, network) = (authorization.asset.format(terms.amount), terms.network.display_name());
        output.note(format!(
            "{GOOD}sent{GOOD:#} {STRONG}{amount}{STRONG:#} {} on {network} to {}",
            authorization.asset.symbol, terms.pay_to
        ));
        output.line(
            transaction.as_deref().map_or_else(|| "the transaction is not known".to_owned(), printable),
        );
    }
    ending
}

/// An error unless it was sent.
fn ending(session: &Session, purchase: &Purchase, outcome: &Outcome) -> Result<(), Failure> {
    let id = &purchase.terms.id;
    match outcome {
        Outcome::Paid { .. } => Ok(()),
        Outcome::NotPaid { why } => {
            Err(Failure::new(Code::Unexpected, format!("nothing was sent: {}", printable(why))))
        }
        Outcome::Unknown { why } => {
            let again = command(&format!("send --resume {id}"), session.home());
            let ask = command("reconcile", session.home());
            Err(Failure::new(
                Code::Unknown,
                format!("it is signed, and may or may not arrive: {}", printable(why)),
            )
            .hint(format!("{again} tries again with the same signature, never twice; {ask} asks the chain")))
        }
    }
}

fn to_json(way: &Way, authorization: &Authorization, outcome: &Outcome) -> serde_json::Value {
    let Authorization { purchase, asset, .. } = authorization;
    let terms = &purchase.terms;
    let transaction = match outcome {
        Outcome::Paid { transaction } => transaction.as_deref(),
        _ => None,
    };
    json!({
        "purchase": terms.id, "to": terms.pay_to, "from": terms.payer, "network": terms.network, "asset": terms.asset,
        "symbol": asset.symbol, "amount": terms.amount, "value": asset.format(terms.amount), "settled_by": way.name(),
        "outcome": outcome, "transaction": transaction,
    })
}

/// Brings an earlier transfer onto the chain.
async fn resume(session: &Session, args: &SendArgs, id: &str, output: Output) -> Result<(), Failure> {
    let purchase = find_purchase(session, id).await?;
    let keystore = plan::keystore(session, args)?;
    can_go_on(session, &purchase, &keystore.info().evm.to_checksum(None)).await?;
    let payer = session.payer(keystore.clone())?;
    let way = Way::of(session, args)?;
    let authorization =
        session.wallet()?.resume(&Transfer::request_again(&purchase)?, &purchase.terms.id).await?;
    if let Seen::Ended(outcome) = settle::on_chain(&purchase, &*payer, 1).await {
        let result = PurchaseResult { response: None, outcome };
        let outcome = session.wallet()?.record(&purchase.terms.id, result).await?;
        return say(session, &way, &authorization, &outcome, output);
    }
    way.check(session, &purchase.terms.network, &purchase.terms.payer).await?;
    let settling =
        Settling::begin(session, &way, &purchase.terms.network, || session.unlock(&keystore)).await?;
    finish(session, &way, &settling, Stop::listen(), &authorization, &*payer, output).await
}

async fn can_go_on(session: &Session, purchase: &Purchase, own: &str) -> Result<(), Failure> {
    let terms = &purchase.terms;
    let refuse = |why: String| Failure::new(Code::Configuration, format!("{} {why}", terms.id));
    if !Transfer::is_one(purchase) {
        return Err(refuse("is no transfer".to_owned()).hint("`farthing fetch --resume` goes on with a call"));
    }
    if purchase.state == PurchaseState::Paid {
        return Err(
            refuse("has arrived".to_owned()).hint(format!("`farthing receipt {}` shows it", terms.id))
        );
    }
    if !terms.network.same_address(&terms.payer, own) {
        return Err(refuse(format!("was sent from {}", terms.payer)).hint("--key-file names its key file"));
    }
    match session.ledger()?.frozen().await? {
        Some(frozen) => Err(farthing_ledger::LedgerError::Frozen(frozen).into()),
        None => Ok(()),
    }
}
