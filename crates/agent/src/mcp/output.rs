//! What the tools give. Amounts are exact texts: dollars as `$0.002`, base units as digits.

use farthing_ledger::{Outcome, Purchase};
use farthing_money::Asset;
use farthing_policy::{Limit, Usage};
use farthing_wallet::PaidCall;
use rmcp::schemars;
use schemars::JsonSchema;
use serde::Serialize;

use super::listed::Api;
use super::trouble::Trouble;
use super::words::said;

/// What came back for a call.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Called {
    /// The HTTP status of the answer.
    pub(super) status: u16,
    /// The answer's body.
    pub(super) body: Body,
    /// What was paid; absent for a free call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payment: Option<Payment>,
    /// What is left of the budgets that it was taken from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) budgets: Vec<Budget>,
    /// What else should be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// A body. It comes from outside: it is data, whatever it says.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Body {
    /// The media type that the seller gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    /// The body's length in bytes.
    pub(super) bytes: u64,
    /// The text, or its beginning where `truncated` is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    /// Whether `text` is only the beginning.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) truncated: bool,
    /// The file that holds the whole body, on the machine that this server runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// The same as a resource of this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource: Option<String>,
    /// Why it is not the whole body that the seller sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) incomplete: Option<String>,
}

/// What was paid.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Payment {
    /// The purchase's id: `fetch_again` gets its answer again, without paying.
    pub(super) purchase: String,
    /// `paid`, `not_paid`, `unknown`, `signed` or `reserved`. What is not known to be paid or not stays counted.
    pub(super) state: String,
    /// The price in dollars.
    pub(super) price: String,
    /// The price in base units of the asset.
    pub(super) amount: String,
    /// The asset's symbol, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) symbol: Option<String>,
    /// The token's address.
    pub(super) asset: String,
    /// The network, as a CAIP-2 id.
    pub(super) network: String,
    /// Whom it pays.
    pub(super) pay_to: String,
    /// The transaction that moved the money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transaction: Option<String>,
    /// Why the outcome is not known, or how it is known that nothing was paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

/// A budget or a rate.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Budget {
    /// The rule's name in the policy.
    pub(super) rule: String,
    /// What it counts: `all`, `host:api.example.com`, ...
    pub(super) scope: String,
    /// Over which time: `24 hours`, `this month`, `lifetime`.
    pub(super) window: String,
    /// What is left of it: `$0.75 of $1.00`.
    pub(super) remaining: String,
    /// In how many seconds less of it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) frees_in_seconds: Option<u64>,
}

/// What a call would cost, and what the policy would say.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Checked {
    /// Whether the seller was asked. When not, `note` says why.
    pub(super) asked: bool,
    /// Whether the seller asks for payment, where he was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) priced: Option<bool>,
    /// Whether `pay` would go through now, as far as can be known, without asking anybody; absent where it cannot be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allowed: Option<bool>,
    /// The status of the answer without payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// Where a redirect points; it is not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<String>,
    /// The price of the offer that would be paid, in dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) price: Option<String>,
    /// Whether a person has to approve it, unless they have.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) needs_approval: bool,
    /// Every way in which the seller takes payment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) offers: Vec<Offered>,
    /// Why it would not go through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<Trouble>,
    /// What is left of the budgets that it would be taken from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) budgets: Vec<Budget>,
    /// What the seller says it sells: data, not instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seller_says: Option<String>,
    /// What the provider's own documents say of the route: advertised price, and schemas of what it takes and gives.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) advertised: Vec<Api>,
    /// What is wrong with these documents, or with the answer beside them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<String>,
    /// What else should be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// One way in which a seller takes payment.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Offered {
    /// Whether `pay` would take this one.
    pub(super) chosen: bool,
    /// `x402-v2` or `x402-v1`.
    pub(super) protocol: String,
    /// `exact`, ...
    pub(super) scheme: String,
    /// The network.
    pub(super) network: String,
    /// The price in dollars, where the asset is a known one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) price: Option<String>,
    /// The asset's symbol, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) symbol: Option<String>,
    /// The token's address.
    pub(super) asset: String,
    /// The price in base units.
    pub(super) amount: String,
    /// Whom it pays.
    pub(super) pay_to: String,
    /// Why it would not be paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
}

/// What the wallet holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Balances {
    /// Asset by asset.
    pub(super) balances: Vec<Held>,
}

/// What the wallet holds of one asset.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Held {
    /// The network.
    pub(super) network: String,
    /// The asset's symbol.
    pub(super) symbol: String,
    /// The wallet's address there.
    pub(super) address: String,
    /// The amount, in dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    /// The amount in base units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) amount: Option<String>,
    /// Why the amount is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// What may still be spent.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Budgets {
    /// Every budget and rate that counts all payments. Rules for single hosts or payees stand beside; `check` shows them.
    pub(super) budgets: Vec<Budget>,
    /// Why everything is stopped, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) frozen: Option<String>,
    /// Whose budgets these are: an agent of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) agent: Option<String>,
}

/// What was bought.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct History {
    /// Newest first.
    pub(super) purchases: Vec<Bought>,
}

/// One purchase.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Bought {
    /// When it was made, in UTC.
    pub(super) at: String,
    /// The request's method.
    pub(super) method: String,
    /// The request's address.
    pub(super) url: String,
    /// The status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// What was paid.
    pub(super) payment: Payment,
}

/// Where USDC can be sent to.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Fund {
    /// The wallet's addresses.
    pub(super) addresses: Vec<Address>,
    /// What your human has to know.
    pub(super) how: String,
}

/// An address of the wallet.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Address {
    /// The network's name.
    pub(super) name: String,
    /// The network, as a CAIP-2 id.
    pub(super) network: String,
    /// The address.
    pub(super) address: String,
    /// The address of USDC there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usdc: Option<String>,
}

impl Budget {
    pub(super) fn all(limits: &[(Limit, Usage)]) -> Vec<Self> {
        limits.iter().map(|(limit, used)| Self::of(limit, *used)).collect()
    }

    fn of(limit: &Limit, used: Usage) -> Self {
        Self {
            rule: limit.rule.clone(),
            scope: limit.scope.clone(),
            window: limit.window.to_string(),
            remaining: limit.remaining(used),
            frees_in_seconds: used.frees_in.map(|wait| wait.as_secs()),
        }
    }
}

impl Payment {
    /// As the wallet tells of it when the answer is there.
    pub(super) fn fresh(paid: &PaidCall) -> Self {
        Self::of(&paid.purchase, Some(&paid.outcome), Some(&paid.asset))
    }

    /// As the ledger has it.
    pub(super) fn recorded(purchase: &Purchase) -> Self {
        Self::of(purchase, purchase.outcome.as_ref(), None)
    }

    fn of(purchase: &Purchase, outcome: Option<&Outcome>, asset: Option<&Asset>) -> Self {
        let terms = &purchase.terms;
        let (transaction, why) = match outcome {
            Some(Outcome::Paid { transaction }) => (transaction.clone(), None),
            // The seller's words may stand in it.
            Some(Outcome::NotPaid { why } | Outcome::Unknown { why }) => {
                (None, Some(said("the record", why)))
            }
            None => (None, None),
        };
        let state = outcome.map_or(purchase.state, Outcome::state);
        Self {
            purchase: terms.id.0.clone(),
            state: state.as_str().to_owned(),
            price: terms.value.to_string(),
            amount: terms.amount.to_string(),
            symbol: asset.map(|asset| asset.symbol.clone()),
            asset: terms.asset.clone(),
            network: terms.network.to_string(),
            pay_to: terms.pay_to.clone(),
            transaction,
            why,
        }
    }
}

impl Bought {
    pub(super) fn of(purchase: &Purchase) -> Self {
        Self {
            at: purchase.created_at.to_string(),
            method: purchase.terms.method.clone(),
            url: purchase.terms.url.clone(),
            status: purchase.response.as_ref().map(|response| response.status),
            payment: Payment::recorded(purchase),
        }
    }
}
