//! Which step may follow which: the state machines of purchases, claims and settlements, without a database.

use crate::{ClaimState, LedgerError, Outcome, Purchase, PurchaseState, ResponseRecord, SettlementState};

type Result<T> = std::result::Result<T, LedgerError>;

/// What an allowed step needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It has to be written.
    Write,
    /// The record says so already.
    Already,
}

/// Only what is reserved and unsigned may be signed: a purchase has one payment.
pub(crate) fn sign(purchase: &Purchase) -> Result<()> {
    match purchase.state {
        PurchaseState::Reserved => Ok(()),
        _ => Err(refuse(purchase, "signed")),
    }
}

/// Only what is reserved and unsigned may be given back without asking the chain.
pub(crate) fn release_unsigned(purchase: &Purchase) -> Result<Step> {
    match purchase.state {
        PurchaseState::Reserved => Ok(Step::Write),
        PurchaseState::NotPaid => Ok(Step::Already),
        _ => Err(refuse(purchase, "released unsigned")),
    }
}

/// A response comes after signing; also late, when the purchase is unknown or was found paid. A later one, to the same
/// payment sent again, takes the place of a failure; as a success also of a part. A whole success stays.
pub(crate) fn respond(purchase: &Purchase, response: &ResponseRecord) -> Result<Step> {
    use PurchaseState::{Paid, Signed, Unknown};
    match (&purchase.response, purchase.state) {
        (Some(known), _) if known == response => Ok(Step::Already),
        (None, Signed | Unknown | Paid) => Ok(Step::Write),
        (Some(known), Signed | Unknown | Paid) if gives_way(known, response) => Ok(Step::Write),
        _ => Err(refuse(purchase, "responded")),
    }
}

fn gives_way(known: &ResponseRecord, response: &ResponseRecord) -> bool {
    !succeeded(known) || (is_partial(known) && succeeded(response))
}

/// Whether only a part of the body came, as its file's name says.
fn is_partial(response: &ResponseRecord) -> bool {
    response.body_file.as_deref().is_some_and(|file| file.ends_with(".part"))
}

fn succeeded(response: &ResponseRecord) -> bool {
    response.status < 400
}

/// Paid and not paid are final. What was never signed cannot have been paid.
pub(crate) fn finish(purchase: &Purchase, outcome: &Outcome) -> Result<Step> {
    use PurchaseState::{NotPaid, Paid, Reserved, Signed, Unknown};
    let wanted = outcome.state();
    match (purchase.state, wanted) {
        (Reserved, NotPaid) | (Signed, _) => Ok(Step::Write),
        (Unknown, _) if purchase.outcome.as_ref() == Some(outcome) => Ok(Step::Already),
        (Unknown, _) => Ok(Step::Write),
        (Paid, Paid) if !contradicts(purchase.outcome.as_ref(), outcome) => Ok(Step::Already),
        (NotPaid, NotPaid) => Ok(Step::Already),
        _ => Err(refuse(purchase, wanted.as_str())),
    }
}

/// Two payments of one purchase by different transactions: one of them must be wrong.
fn contradicts(known: Option<&Outcome>, new: &Outcome) -> bool {
    let transaction = |outcome: &Outcome| match outcome {
        Outcome::Paid { transaction } => transaction.clone(),
        _ => None,
    };
    match (known.and_then(transaction), transaction(new)) {
        (Some(known), Some(new)) => !known.eq_ignore_ascii_case(&new),
        _ => false,
    }
}

pub(crate) fn refuse(purchase: &Purchase, wanted: &'static str) -> LedgerError {
    LedgerError::WrongState {
        what: "purchase",
        id: purchase.terms.id.to_string(),
        state: purchase.state.as_str().to_owned(),
        wanted,
    }
}

/// Where a claim may go.
pub(crate) fn move_claim(id: &str, from: &ClaimState, to: &ClaimState) -> Result<()> {
    use ClaimState::{Settling, Taken};
    match (from, to) {
        (Taken | Settling { .. }, to) if *to != Taken => Ok(()),
        _ => Err(LedgerError::WrongState {
            what: "claim",
            id: id.to_owned(),
            state: from.as_str().to_owned(),
            wanted: to.as_str(),
        }),
    }
}

/// Where a settlement may go. An abandoned one goes on only by beginning again. What has a transaction is out: only the
/// chain ends it.
pub(crate) fn move_settlement(id: &str, from: &SettlementState, to: &SettlementState) -> Result<Step> {
    match from {
        _ if from == to => Ok(Step::Already),
        SettlementState::Pending { transaction } if transaction.is_none() || !is_abandoned(to) => {
            Ok(Step::Write)
        }
        _ => Err(LedgerError::WrongState {
            what: "settlement",
            id: id.to_owned(),
            state: from.as_str().to_owned(),
            wanted: to.as_str(),
        }),
    }
}

fn is_abandoned(state: &SettlementState) -> bool {
    matches!(state, SettlementState::Abandoned { .. })
}
