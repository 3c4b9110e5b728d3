//! What went wrong, for an agent to act on.

use farthing_ambient::causes;
use farthing_ledger::{LedgerError, Outcome, PurchaseId};
use farthing_policy::Denial;
use farthing_rail::RailError;
use farthing_wallet::{FetchError, WalletError};
use rmcp::schemars;
use schemars::JsonSchema;
use serde::Serialize;

/// Why a tool did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Trouble {
    /// Which kind of trouble.
    pub(super) code: Code,
    /// One sentence on what happened.
    pub(super) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    /// Whether money may have moved: "nothing was paid", "the payment was sent", ...
    pub(super) money: Money,
    /// In how many seconds it may be worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after_seconds: Option<u64>,
    /// The purchase that is concerned: `fetch_again` goes on with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) purchase: Option<String>,
    /// What the policy said: its code, the rule, the limit, what is used and what remains of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub(super) denial: Option<Box<Denial>>,
}

/// Which kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    /// The arguments cannot be understood.
    BadArguments,
    /// The policy refuses.
    Denied,
    /// A person has to approve first.
    ApprovalNeeded,
    /// The address may not be called from here.
    OutOfReach,
    /// The seller, or a chain, does not answer.
    Unreachable,
    /// What the seller asks cannot be paid.
    Unpayable,
    /// The wallet does not hold enough.
    InsufficientFunds,
    /// The wallet's key cannot be unlocked here.
    Locked,
    /// The payment was sent, and its outcome is not known yet.
    OutcomeUnknown,
    /// There is no such purchase, or nothing is kept of it.
    NotFound,
    /// It was cancelled.
    Cancelled,
    /// Something in here failed.
    Failed,
}

/// What became of the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Money {
    /// Nothing was paid, and nothing will be.
    NothingPaid,
    /// A payment was sent. It may be settled, and stays counted until that is known.
    PaymentSent,
    /// It was paid.
    Paid,
}

impl Trouble {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            money: Money::NothingPaid,
            retry_after_seconds: None,
            purchase: None,
            denial: None,
        }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same, about a purchase whose payment is out.
    pub(super) fn sent(self, purchase: &PurchaseId) -> Self {
        let hint = format!(
            "do not pay again: `fetch_again` with purchase {purchase} asks for the answer with the same payment"
        );
        Self { money: Money::PaymentSent, purchase: Some(purchase.0.clone()), ..self }.hint(hint)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, ". {hint}"))
    }
}

impl From<Denial> for Trouble {
    fn from(denial: Denial) -> Self {
        let code = if denial.approval.is_some() { Code::ApprovalNeeded } else { Code::Denied };
        let hint = match (&denial.approval, denial.retry_after_seconds) {
            (Some(approval), _) => format!(
                "nothing was paid; ask your human to run `{}`, then make the same call again",
                approval.how
            ),
            (None, Some(seconds)) => format!("nothing was paid; there may be room again in {seconds} s"),
            (None, None) => {
                "nothing was paid; only a person can change this, in the wallet's policy file".to_owned()
            }
        };
        let retry_after_seconds = denial.retry_after_seconds;
        let trouble = Self::new(code, denial.message.clone()).hint(hint);
        Self { retry_after_seconds, denial: Some(Box::new(denial)), ..trouble }
    }
}

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        let code = match error {
            LedgerError::NotFound { .. } => Code::NotFound,
            _ => Code::Failed,
        };
        Self::new(code, causes(&error))
    }
}

impl From<WalletError> for Trouble {
    fn from(error: WalletError) -> Self {
        match error {
            WalletError::Denied(denial) => (*denial).into(),
            WalletError::Short(_) => Self::new(Code::InsufficientFunds, error.to_string())
                .hint("nothing was paid; `fund` shows where your human can send USDC"),
            WalletError::NoPayableOffer(_) | WalletError::NoPayer(_) => {
                Self::new(Code::Unpayable, error.to_string()).hint("nothing was paid")
            }
            WalletError::Rail(RailError::Locked(_)) => Self::new(Code::Locked, error.to_string()).hint(
                "nothing was paid; your human can set `unlock` in the wallet's config.yaml, or FARTHING_PASSPHRASE",
            ),
            WalletError::Rail(RailError::Unpayable(why)) => Self::new(Code::Unpayable, why),
            WalletError::Rail(error) => Self::new(Code::Unreachable, causes(&error)),
            WalletError::BadLimit(why) => Self::new(Code::BadArguments, why),
            WalletError::NotResumable { .. } => Self::new(Code::NotFound, error.to_string()),
            WalletError::Ledger(error) => error.into(),
            error => Self::new(Code::Failed, causes(&error)),
        }
    }
}

impl From<FetchError> for Trouble {
    fn from(error: FetchError) -> Self {
        let message = causes(&error);
        match error {
            FetchError::Wallet(error) => error.into(),
            FetchError::BadUrl { .. } | FetchError::BadHeader { .. } => {
                Self::new(Code::BadArguments, message)
            }
            FetchError::OutOfReach(_) => Self::new(Code::OutOfReach, message)
                .hint("only a person can allow this host, under `private_hosts` in the wallet's config.yaml"),
            FetchError::Unanswered { .. } | FetchError::TimedOut { .. } => {
                Self::new(Code::Unreachable, message).hint("nothing was paid")
            }
            FetchError::BadChallenge { .. } | FetchError::PlainHttp(_) => {
                Self::new(Code::Unpayable, message).hint("nothing was paid")
            }
            FetchError::Lost { purchase, .. } => Self::new(Code::OutcomeUnknown, message).sent(&purchase),
            FetchError::NotKept { purchase, outcome: Outcome::Paid { .. }, .. } => {
                Self { money: Money::Paid, ..Self::new(Code::Failed, message).sent(&purchase) }
            }
            FetchError::NotKept { purchase, .. } | FetchError::NotRecorded { purchase, .. } => {
                Self::new(Code::OutcomeUnknown, message).sent(&purchase)
            }
            _ => Self::new(Code::Failed, message),
        }
    }
}
