use std::fmt;

use farthing_ambient::Timestamp;
use farthing_money::{BaseUnits, Network, Usd};
use farthing_policy::{Denial, Limit, Usage};
use farthing_protocol::PaymentKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A purchase's identity: a ULID, made before anything is signed, so that a retry can name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PurchaseId(pub String);

impl fmt::Display for PurchaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a buyer is about to pay for: the exact terms that will be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPurchase {
    /// The purchase.
    pub id: PurchaseId,
    /// The request's method.
    pub method: String,
    /// The request's URL, without user information.
    pub url: String,
    /// SHA-256 of the request's method, URL, headers that matter and body: a retry must be the same request.
    pub request_digest: String,
    /// `x402-v2`.
    pub protocol: String,
    /// `exact`.
    pub scheme: String,
    /// Where it is paid.
    pub network: Network,
    /// The token's address.
    pub asset: String,
    /// Base units of `asset`.
    pub amount: BaseUnits,
    /// The amount in dollars, for budgets.
    pub value: Usd,
    /// Whom it pays.
    pub pay_to: String,
    /// Who pays.
    pub payer: String,
    /// The offer's JSON as it came.
    pub offer: String,
    /// SHA-256 of the policy that allowed it.
    pub policy_hash: String,
    /// Whose purchase, where agents have identities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// In which session of that agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// What was signed for a purchase. Written before it leaves the machine.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRecord {
    /// The payment's identity on the chain.
    pub key: PaymentKey,
    /// The request header's name.
    pub header_name: String,
    /// The request header's value: a retry sends these bytes again.
    pub header_value: String,
    /// When the signature expires on the chain.
    pub valid_before: Timestamp,
}

impl fmt::Debug for SignedRecord {
    /// Without the header's value: whoever has it can spend it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRecord")
            .field("key", &self.key)
            .field("header_name", &self.header_name)
            .field("valid_before", &self.valid_before)
            .finish_non_exhaustive()
    }
}

/// What came back for a purchase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseRecord {
    /// The HTTP status.
    pub status: u16,
    /// The media type.
    pub content_type: Option<String>,
    /// SHA-256 of the body, in hex.
    pub body_digest: String,
    /// The body's length in bytes.
    pub body_bytes: u64,
    /// Where the body is kept, relative to the wallet's folder.
    pub body_file: Option<String>,
    /// The seller's word on the settlement: the decoded response header's JSON.
    pub settlement: Option<String>,
}

/// How a purchase ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The money moved: the reservation is spent.
    Paid {
        /// The transaction, where it is known.
        transaction: Option<String>,
    },
    /// The money provably did not and cannot move: the reservation is released.
    NotPaid {
        /// How that is known.
        why: String,
    },
    /// Nobody can tell yet: the reservation stays until `reconcile`.
    Unknown {
        /// What is missing.
        why: String,
    },
}

impl Outcome {
    /// The state that this outcome brings a purchase to.
    #[must_use]
    pub fn state(&self) -> PurchaseState {
        match self {
            Self::Paid { .. } => PurchaseState::Paid,
            Self::NotPaid { .. } => PurchaseState::NotPaid,
            Self::Unknown { .. } => PurchaseState::Unknown,
        }
    }
}

/// How far a purchase has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurchaseState {
    /// The amount is reserved, nothing is signed.
    Reserved,
    /// Signed; it may have left the machine.
    Signed,
    /// The money moved.
    Paid,
    /// The money did not and cannot move.
    NotPaid,
    /// Unknown; still reserved.
    Unknown,
}

impl PurchaseState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Reserved, Self::Signed, Self::Paid, Self::NotPaid, Self::Unknown];

    /// The state's name, as it stands in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Signed => "signed",
            Self::Paid => "paid",
            Self::NotPaid => "not_paid",
            Self::Unknown => "unknown",
        }
    }
}

/// A purchase as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    /// The terms.
    #[serde(flatten)]
    pub terms: NewPurchase,
    /// How far it has come.
    pub state: PurchaseState,
    /// When it was reserved.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What was signed.
    pub signed: Option<SignedRecord>,
    /// What came back.
    pub response: Option<ResponseRecord>,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

impl Purchase {
    /// As JSON without the signed bytes: they are worth money until they expire. What stands in the record as a text of
    /// JSON is JSON here, and what it does not have is null.
    #[must_use]
    pub fn without_payment(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        for key in ["agent", "session"] {
            if let Some(purchase) = value.as_object_mut() {
                purchase.entry(key).or_insert(Value::Null);
            }
        }
        if let Some(signed) = value.get_mut("signed").and_then(Value::as_object_mut) {
            signed.remove("header_value");
            signed.remove("header_name");
        }
        for place in ["/offer", "/response/settlement"] {
            if let Some(text) = value.pointer_mut(place)
                && let Some(parsed) = text.as_str().and_then(|raw| serde_json::from_str::<Value>(raw).ok())
            {
                *text = parsed;
            }
        }
        value
    }
}

/// The answer to a wish to reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Reserved {
    /// The amount is taken from every limit and the purchase is written.
    Granted {
        /// What is used now of each limit that applied, in the order of the limits.
        used: Vec<(Limit, Usage)>,
        /// What limits in shadow mode would have denied.
        shadowed: Vec<Denial>,
    },
    /// A limit has no room, a person has to approve it first, or everything is frozen; nothing was written but the
    /// refusal in the journal, and a request for approval.
    Denied(Denial),
}

/// Which purchases to list. Newest first.
#[derive(Debug, Clone, Default)]
pub struct PurchaseFilter {
    /// Only those not final: reserved, signed, unknown.
    pub unresolved: bool,
    /// Only those in this state.
    pub state: Option<PurchaseState>,
    /// Only those reserved at this time or later.
    pub since: Option<Timestamp>,
    /// Only those reserved before this time.
    pub until: Option<Timestamp>,
    /// Only those whose URL has this host, in any spelling of it, without a port.
    pub host: Option<String>,
    /// Only those of this agent.
    pub agent: Option<String>,
    /// Only those paid on this network.
    pub network: Option<Network>,
    /// Only those whose id ends so, as people copy it.
    pub id_ends_with: Option<String>,
    /// Only those reserved before this one: the last of a page asks for the next page.
    pub before: Option<PurchaseId>,
    /// At most so many; all where `None`.
    pub limit: Option<u32>,
}
