use std::fmt;

use farthing_ambient::Timestamp;
use farthing_money::{BaseUnits, Network};
use farthing_protocol::PaymentKey;
use serde::{Deserialize, Serialize};

/// A facilitator's wish to settle a payment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl fmt::Debug for NewSettlement {
    /// Without the payment, which carries its signature, and the requirements, which are long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSettlement")
            .field("key", &self.key)
            .field("binding", &self.binding)
            .field("pay_to", &self.pay_to)
            .field("network", &self.network)
            .field("asset", &self.asset)
            .field("amount", &self.amount)
            .finish_non_exhaustive()
    }
}

/// The answer to a wish to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[expect(clippy::large_enum_variant, reason = "it is moved once and matched at once; a box would cost more")]
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

impl SettlementState {
    /// The state's name, as it stands in records.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Confirmed { .. } => "confirmed",
            Self::Failed { .. } => "failed",
            Self::Abandoned { .. } => "abandoned",
        }
    }
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
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl fmt::Debug for BroadcastRecord {
    /// Without the signed transaction, which carries the payments' signatures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastRecord")
            .field("network", &self.network)
            .field("signer", &self.signer)
            .field("nonce", &self.nonce)
            .field("transaction", &self.transaction)
            .field("payments", &self.payments)
            .finish_non_exhaustive()
    }
}
