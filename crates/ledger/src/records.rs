use std::fmt;

use farthing_ambient::Timestamp;
use farthing_money::{BaseUnits, Network, Usd};
use farthing_policy::{Denial, Limit, Usage};
use farthing_protocol::PaymentKey;
use serde::{Deserialize, Serialize};

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
}

/// What was signed for a purchase. Written before it leaves the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// The answer to a wish to reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Reserved {
    /// The amount is taken from every limit and the purchase is written. What is used now, limit by limit.
    Granted(Vec<(Limit, Usage)>),
    /// A limit has no room; nothing was written but the refusal in the journal.
    Denied(Denial),
}

/// Which purchases to list. Newest first.
#[derive(Debug, Clone, Default)]
pub struct PurchaseFilter {
    /// Only those not final: reserved, signed, unknown.
    pub unresolved: bool,
    /// At most so many; all where `None`.
    pub limit: Option<u32>,
}

/// A seller's taking of a payment before the handler runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewClaim {
    /// The payment.
    pub key: PaymentKey,
    /// The route that is being paid.
    pub route: String,
    /// The request's method and path.
    pub request: String,
    /// The payer.
    pub payer: String,
    /// The payee.
    pub pay_to: String,
    /// Where.
    pub network: Network,
    /// The token's address.
    pub asset: String,
    /// Base units of `asset`.
    pub amount: BaseUnits,
}

/// The answer to a wish to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Claimed {
    /// This caller, and nobody else, may serve.
    Granted,
    /// Somebody has it, or had it.
    Duplicate(Claim),
}

/// How far a claimed payment has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ClaimState {
    /// The handler runs, or died running.
    Taken,
    /// The handler failed: nothing will be settled. The payment may be claimed again.
    Released {
        /// Why.
        why: String,
    },
    /// The money moved.
    Settled {
        /// The transaction.
        transaction: String,
    },
    /// Settlement was sent and is not known yet.
    Settling {
        /// The transaction, once there is one.
        transaction: Option<String>,
    },
    /// Settlement failed for good; the response was withheld.
    Failed {
        /// The protocol's code.
        reason: String,
    },
}

/// A claim as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What was claimed.
    #[serde(flatten)]
    pub claim: NewClaim,
    /// How far it has come.
    pub state: ClaimState,
    /// When.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A facilitator's wish to settle a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSettlement {
    /// The payment.
    pub key: PaymentKey,
    /// SHA-256 over the whole canonical payment and requirements: another payee or amount is another binding.
    pub binding: String,
    /// The payment's JSON, to take the settlement up again after a crash.
    pub payment: String,
    /// The requirements' JSON, likewise.
    pub requirements: String,
    /// The payee.
    pub pay_to: String,
    /// Where.
    pub network: Network,
    /// The token's address.
    pub asset: String,
    /// Base units of `asset`.
    pub amount: BaseUnits,
}

/// The answer to a wish to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Started {
    /// This caller, and nobody else, settles it.
    New,
    /// It is known. The caller compares the binding and answers from the record.
    Known(SettlementRecord),
}

/// How a settlement stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SettlementState {
    /// Begun; a transaction may be out.
    Pending {
        /// The transaction, once there is one.
        transaction: Option<String>,
    },
    /// The payee was paid.
    Confirmed {
        /// The transaction.
        transaction: String,
        /// The payer.
        payer: String,
    },
    /// The chain refused it, for good.
    Failed {
        /// The protocol's code.
        reason: String,
        /// For people.
        message: String,
        /// The transaction that reverted, if one was sent.
        transaction: Option<String>,
    },
    /// Given up before anything was sent: it may be started again.
    Abandoned {
        /// Why.
        why: String,
    },
}

/// A settlement as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementRecord {
    /// What is settled.
    #[serde(flatten)]
    pub settlement: NewSettlement,
    /// How it stands.
    pub state: SettlementState,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A transaction that was signed for sending, as recorded before it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroadcastRecord {
    /// The chain.
    pub network: Network,
    /// The sending address.
    pub signer: String,
    /// The sender's nonce.
    pub nonce: u64,
    /// The transaction's hash.
    pub transaction: String,
    /// The signed transaction, in hex.
    pub raw: String,
    /// The payments in it.
    pub payments: Vec<PaymentKey>,
}

/// What `farthing ledger verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// How many rows the journal has.
    pub rows: u64,
    /// The last row's hash, in hex: keep it elsewhere to notice a journal that was cut off.
    pub head: String,
    /// Everything that does not fit, in words that name the row. Empty when the ledger is whole.
    pub problems: Vec<String>,
}

/// Why the ledger could not do what it was asked. Nothing was written then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The file cannot be opened or made.
    #[error("the ledger {path} cannot be opened: {why}")]
    Open {
        /// The file.
        path: String,
        /// What happened.
        why: String,
    },
    /// A newer Farthing wrote it.
    #[error(
        "the ledger {path} has schema {found}, newer than this program's {known}: use the newer farthing"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its schema.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// The database failed: disk full, locked for too long, or broken.
    #[error("the ledger could not be written: {0}")]
    Database(String),
    /// Nothing has this identity.
    #[error("no {what} {id} in the ledger")]
    NotFound {
        /// `purchase`, `claim`, `settlement`.
        what: &'static str,
        /// The identity.
        id: String,
    },
    /// The step does not follow from the recorded state.
    #[error("{what} {id} is {state}; it cannot become {wanted}")]
    WrongState {
        /// `purchase`, `claim`, `settlement`.
        what: &'static str,
        /// The identity.
        id: String,
        /// The recorded state.
        state: String,
        /// The state that was asked for.
        wanted: &'static str,
    },
    /// A record cannot be read back.
    #[error("the ledger holds a record that cannot be read: {0}")]
    Corrupt(String),
    /// The ledger's thread is gone.
    #[error("the ledger is closed")]
    Closed,
}
