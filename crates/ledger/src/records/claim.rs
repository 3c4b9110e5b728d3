use farthing_ambient::Timestamp;
use farthing_money::{BaseUnits, Network};
use farthing_protocol::PaymentKey;
use serde::{Deserialize, Serialize};

/// A seller's taking of a payment before the handler runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewClaim {
    /// The payment.
    pub key: PaymentKey,
    /// The route that is being paid.
    pub route: String,
    /// The request: its method, its path, and a digest of all that makes it this one.
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
#[expect(clippy::large_enum_variant, reason = "it is moved once and matched at once; a box would cost more")]
pub enum Claimed {
    /// This caller, and nobody else, may serve.
    Granted {
        /// The journal's row of it, which [`Ledger::move_claim`](crate::Ledger::move_claim) asks for.
        seq: i64,
    },
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

impl ClaimState {
    /// Whether the payment may be claimed anew.
    #[must_use]
    pub fn is_free(&self) -> bool {
        matches!(self, Self::Released { .. })
    }

    /// The state's name, as it stands in records.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Released { .. } => "released",
            Self::Settled { .. } => "settled",
            Self::Settling { .. } => "settling",
            Self::Failed { .. } => "failed",
        }
    }
}

/// A claim as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What was claimed.
    #[serde(flatten)]
    pub claim: NewClaim,
    /// How far it has come.
    pub state: ClaimState,
    /// The answer that was sold, or is to be: the journal's row under which it was made. Of the answers that several
    /// processes made for one claim, this one alone may be given out.
    pub answer: Option<i64>,
    /// When.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The journal's row by which it last changed: of two that were seen, the later one has the larger.
    pub seq: i64,
}
