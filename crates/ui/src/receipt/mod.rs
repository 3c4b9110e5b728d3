//! Receipts as documents: one page of HTML that needs nothing else, and one page of PDF.

pub(crate) mod html;
mod pdf;

use farthing_ledger::{JournalRow, NewPurchase, Outcome, Purchase, PurchaseState, ResponseRecord};
use farthing_money::Registry;
use sha2::{Digest, Sha256};

use crate::words::{self, visible};

/// What one purchase says of itself, ready to be written down. Nothing in it can be spent: the signed bytes and the
/// values of query parameters that are named as secrets are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The purchase's id.
    id: String,
    /// `Receipt`, or what it is instead where nothing was paid.
    title: &'static str,
    /// The state, in words.
    state: &'static str,
    /// In dollars.
    value: String,
    /// When it was reserved.
    when: String,
    sections: Vec<Section>,
    /// How it can be verified.
    proof: String,
}

/// Lines that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) lines: Vec<Line>,
}

/// A name and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

fn line(name: &'static str, text: impl Into<String>) -> Line {
    Line { name, text: text.into() }
}

impl Receipt {
    /// The receipt of a purchase. `row` is the journal's row by which it last changed
    /// ([`Ledger::purchase_row`](farthing_ledger::Ledger::purchase_row)); `registry` knows what its asset is called.
    #[must_use]
    pub fn new(purchase: &Purchase, row: &JournalRow, registry: &Registry) -> Self {
        let terms = &purchase.terms;
        let sections = [bought(purchase), paid(purchase, registry), settled(purchase)];
        let answer = purchase.response.as_ref().map(answered);
        Self {
            id: terms.id.to_string(),
            title: title(purchase.state),
            state: words::state(purchase.state),
            value: terms.value.to_string(),
            when: words::time(purchase.created_at),
            sections: sections.into_iter().chain(answer).chain([recorded(terms, row)]).collect(),
            proof: format!("farthing audit verify --expect-head {}", row.hash),
        }
    }

    /// The page as HTML, with its style in it: it loads nothing, runs nothing, and prints on one sheet.
    ///
    /// # Errors
    /// [`UiError::Page`](crate::UiError::Page)
    pub fn html(&self) -> Result<String, crate::UiError> {
        html::write(self)
    }

    /// The page as PDF, in the fonts that every reader has. Those know Western European letters; a character beyond
    /// them is written as its number: `\u{6771}`.
    #[must_use]
    pub fn pdf(&self) -> Vec<u8> {
        pdf::write(self)
    }

    pub(crate) fn sections(&self) -> &[Section] {
        &self.sections
    }
}

fn title(state: PurchaseState) -> &'static str {
    match state {
        PurchaseState::Paid => "Receipt",
        PurchaseState::NotPaid => "Purchase that was not paid",
        PurchaseState::Reserved | PurchaseState::Signed | PurchaseState::Unknown => "Purchase that is open",
    }
}

fn bought(purchase: &Purchase) -> Section {
    let terms = &purchase.terms;
    let mut lines = vec![
        line("Purchase", visible(&terms.id.0)),
        line("Method", visible(&terms.method)),
        line("Address", words::address(&terms.url)),
        line("Reserved", words::time(purchase.created_at)),
        line("Last change", words::time(purchase.updated_at)),
    ];
    lines.extend(terms.agent.as_ref().map(|agent| line("Agent", visible(agent))));
    Section { title: "What was bought", lines }
}

fn paid(purchase: &Purchase, registry: &Registry) -> Section {
    let terms = &purchase.terms;
    let units = format!("{} base units", terms.amount);
    let amount = match registry.get(&terms.network, &terms.asset) {
        Ok(asset) => format!("{} ({units})", visible(&asset.format_units(terms.amount))),
        Err(_) => units,
    };
    let mut lines = vec![
        line("Amount", amount),
        line("In dollars", terms.value.to_string()),
        line("Asset", visible(&terms.asset)),
        line("Network", format!("{} ({})", terms.network.display_name(), terms.network)),
        line("Payer", visible(&terms.payer)),
        line("Payee", visible(&terms.pay_to)),
        line("Protocol", format!("{}, {}", visible(&terms.protocol), visible(&terms.scheme))),
    ];
    if let Some(signed) = &purchase.signed {
        lines.push(line("Nonce", signed.key.as_str().rsplit('/').next().unwrap_or_default()));
        lines.push(line("Valid until", words::time(signed.valid_before)));
    }
    Section { title: "Payment", lines }
}

fn settled(purchase: &Purchase) -> Section {
    let mut lines = vec![line("State", words::state(purchase.state))];
    lines.push(match &purchase.outcome {
        Some(Outcome::Paid { transaction: Some(transaction) }) => line("Transaction", visible(transaction)),
        Some(Outcome::Paid { transaction: None }) => line("Transaction", "not known"),
        Some(Outcome::NotPaid { why } | Outcome::Unknown { why }) => line("Because", visible(why)),
        None => line("Transaction", "none is known yet; `farthing reconcile` asks the chain"),
    });
    Section { title: "Settlement", lines }
}

fn answered(response: &ResponseRecord) -> Section {
    let kind = response.content_type.as_deref().map_or("no media type".to_owned(), visible);
    let size = words::count(response.body_bytes, "byte");
    Section {
        title: "Answer",
        lines: vec![
            line("Status", format!("{}, {size}, {kind}", response.status)),
            line("SHA-256", visible(&response.body_digest)),
        ],
    }
}

fn recorded(terms: &NewPurchase, row: &JournalRow) -> Section {
    Section {
        title: "Record",
        lines: vec![
            line("Request", visible(&terms.request_digest)),
            line("Offer", hex::encode(Sha256::digest(&terms.offer))),
            line("Policy", visible(&terms.policy_hash)),
            line("Ledger row", format!("{}, {}", row.seq, visible(&row.kind))),
            line("Row's hash", row.hash.clone()),
        ],
    }
}
