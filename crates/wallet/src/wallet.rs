use std::sync::Arc;

use async_trait::async_trait;
use farthing_ledger::{Outcome, Purchase, PurchaseFilter, PurchaseId, ResponseRecord};
use farthing_money::{Asset, BaseUnits, Network, Usd};
use farthing_policy::{Limit, Usage};
use farthing_protocol::{Challenge, Protocol};

use crate::{Appraisal, Request, WalletError};

/// What decides and signs. The only way to a signature.
#[async_trait]
pub trait Wallet: Send + Sync + std::fmt::Debug {
    /// Says of every offer whether it could be paid now, and which one would be. Signs and reserves nothing; what has
    /// expired is given back before it counts against an offer, as [`Wallet::authorize`] does.
    ///
    /// # Errors
    /// [`WalletError`]
    async fn appraise(
        &self,
        request: &Request,
        challenge: &Challenge,
        limits: &CallLimits,
    ) -> Result<Appraisal, WalletError>;

    /// Chooses an offer, decides, reserves, signs, and records what was signed.
    ///
    /// # Errors
    /// [`WalletError`]: nothing was signed.
    async fn authorize(
        &self,
        request: &Request,
        challenge: &Challenge,
        limits: &CallLimits,
    ) -> Result<Authorization, WalletError>;

    /// The payment that was signed for an earlier purchase of the same request, to be sent again.
    ///
    /// # Errors
    /// [`WalletError::NotResumable`]
    async fn resume(&self, request: &Request, purchase: &PurchaseId) -> Result<Authorization, WalletError>;

    /// Writes down what came back, and says how the purchase stands after it: what the chain said meanwhile is not
    /// overwritten by what the seller says.
    ///
    /// # Errors
    /// [`WalletError::Ledger`]
    async fn record(&self, purchase: &PurchaseId, result: PurchaseResult) -> Result<Outcome, WalletError>;

    /// Asks the chains about every purchase that is neither paid nor released.
    ///
    /// # Errors
    /// [`WalletError::Ledger`]; a chain that does not answer leaves its purchases as they are.
    async fn reconcile(&self) -> Result<Vec<Reconciled>, WalletError>;

    /// What the wallet holds, asset by asset.
    async fn balances(&self) -> Vec<Balance>;

    /// What is used of every budget and rate that applies to any payment.
    ///
    /// # Errors
    /// [`WalletError::Ledger`]
    async fn budgets(&self) -> Result<Vec<(Limit, Usage)>, WalletError>;

    /// One purchase.
    ///
    /// # Errors
    /// [`WalletError::Ledger`]
    async fn purchase(&self, id: &PurchaseId) -> Result<Purchase, WalletError>;

    /// Purchases, newest first.
    ///
    /// # Errors
    /// [`WalletError::Ledger`]
    async fn purchases(&self, filter: PurchaseFilter) -> Result<Vec<Purchase>, WalletError>;
}

/// What the caller demands of this one call. It only ever narrows what the policy allows.
#[derive(Debug, Clone, Default)]
pub struct CallLimits {
    /// The most to pay for it.
    pub max_amount: Option<Usd>,
    /// The only network to pay on.
    pub network: Option<Network>,
    /// The only protocol to pay in.
    pub protocol: Option<Protocol>,
    /// The agent that calls, as the policy names it; none for the wallet's owner.
    pub agent: Option<String>,
    /// The session that it calls in. A call outside of sessions is a session of its own.
    pub session: Option<String>,
    /// The price that a catalogue or the provider's own list gives.
    pub advertised: Option<Usd>,
}

/// A payment ready to be sent, already in the ledger. Its debug output leaves the signed bytes out.
#[derive(Clone)]
pub struct Authorization {
    /// The purchase as recorded.
    pub purchase: Purchase,
    /// The asset that is paid with.
    pub asset: Arc<Asset>,
    /// The request header's name.
    pub header_name: String,
    /// The request header's value.
    pub header_value: String,
    /// What is used of every limit that it was taken from.
    pub used: Vec<(Limit, Usage)>,
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorization").field("purchase", &self.purchase.terms.id).finish_non_exhaustive()
    }
}

/// What is known after an answer, or after none.
#[derive(Debug, Clone)]
pub struct PurchaseResult {
    /// The answer, if there was one.
    pub response: Option<ResponseRecord>,
    /// How the purchase stands.
    pub outcome: Outcome,
}

/// One purchase that [`Wallet::reconcile`] looked at.
#[derive(Debug, Clone)]
pub struct Reconciled {
    /// The purchase, as it was before.
    pub before: Purchase,
    /// What the chain says; why it is still open.
    pub outcome: Result<Outcome, StillOpen>,
}

/// Why a purchase stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StillOpen {
    /// Nobody can know yet.
    #[error("{0}")]
    Undecided(String),
    /// The chain could not be asked.
    #[error("{0}")]
    Silent(String),
}

/// What the wallet holds of one asset.
#[derive(Debug, Clone)]
pub struct Balance {
    /// The asset.
    pub asset: Arc<Asset>,
    /// The wallet's address there.
    pub address: String,
    /// The amount; the reason why it is not known.
    pub amount: Result<BaseUnits, String>,
}
