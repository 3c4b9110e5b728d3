use std::time::Duration;

use farthing_ambient::Timestamp;
use farthing_ledger::{LedgerError, Outcome, Purchase, PurchaseFilter, PurchaseState};
use farthing_rail::PaymentState;

use crate::{LocalWallet, Reconciled, StillOpen, WalletError};

/// How long the chain's own time must be past a payment's end before it counts as never settled: a reorganisation
/// could take back the last blocks. Base's blocks are safe, being written to Ethereum, within about two minutes.
const CHAIN_MARGIN: Duration = Duration::from_secs(150);

/// How long a reservation without a signature is left to the process that made it.
const UNSIGNED_GRACE: Duration = Duration::from_secs(60);

/// How many payments are looked up at once.
const AT_ONCE: usize = 8;

/// How long somebody who waits for a refusal waits for the chain first.
const PATIENCE: Duration = Duration::from_secs(10);

impl LocalWallet {
    /// Asks the chains about everything that is not final.
    pub(crate) async fn reconcile_all(&self) -> Result<Vec<Reconciled>, WalletError> {
        let filter = PurchaseFilter { unresolved: true, ..PurchaseFilter::default() };
        self.reconcile_these(self.ledger.purchases(filter).await?).await
    }

    /// Asks only about payments that can have expired, for a bounded time, and says whether any reservation may have
    /// been given back.
    pub(crate) async fn reconcile_expired(&self) -> Result<bool, WalletError> {
        let filter = PurchaseFilter { unresolved: true, ..PurchaseFilter::default() };
        let now = self.clock.now();
        let expired = |purchase: &Purchase| match &purchase.signed {
            Some(signed) => signed.valid_before.checked_add(CHAIN_MARGIN).is_ok_and(|end| end < now),
            None => true,
        };
        let purchases = self.ledger.purchases(filter).await?.into_iter().filter(expired).collect();
        let Ok(reconciled) = tokio::time::timeout(PATIENCE, self.reconcile_these(purchases)).await else {
            return Ok(true);
        };
        Ok(reconciled?.iter().any(|one| matches!(one.outcome, Ok(Outcome::NotPaid { .. }))))
    }

    async fn reconcile_these(&self, purchases: Vec<Purchase>) -> Result<Vec<Reconciled>, WalletError> {
        let mut reconciled = Vec::with_capacity(purchases.len());
        for group in purchases.chunks(AT_ONCE) {
            let outcomes = futures::future::join_all(group.iter().map(|purchase| self.ask(purchase))).await;
            for (purchase, outcome) in group.iter().zip(outcomes) {
                let outcome = match outcome {
                    Ok(outcome) => self.end(purchase, outcome).await?,
                    Err(why) => Err(why),
                };
                reconciled.push(Reconciled { before: purchase.clone(), outcome });
            }
        }
        Ok(reconciled)
    }

    /// Writes the outcome, unless the purchase went on while the chain was asked: what was unsigned may have been
    /// signed since, and what was open may have ended.
    async fn end(
        &self,
        before: &Purchase,
        outcome: Outcome,
    ) -> Result<Result<Outcome, StillOpen>, WalletError> {
        let id = &before.terms.id;
        let ended = match (&before.signed, &outcome) {
            (None, Outcome::NotPaid { why }) => self.ledger.release_unsigned(id, why.clone()).await,
            _ => self.ledger.finish(id, outcome.clone()).await,
        };
        match ended {
            Ok(()) => Ok(Ok(outcome)),
            Err(LedgerError::WrongState { state, .. }) => {
                Ok(Err(StillOpen::Undecided(format!("it became {state} meanwhile"))))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn ask(&self, purchase: &Purchase) -> Result<Outcome, StillOpen> {
        let Some(signed) = &purchase.signed else { return self.unsigned(purchase) };
        let network = &purchase.terms.network;
        let payer = self.payer(network).map_err(|error| StillOpen::Silent(error.to_string()))?;
        let state = payer
            .lookup(network, &signed.key, purchase.created_at)
            .await
            .map_err(|error| StillOpen::Silent(error.to_string()))?;
        match state {
            PaymentState::Settled { transaction } => Ok(Outcome::Paid { transaction }),
            PaymentState::Canceled => {
                Ok(Outcome::NotPaid { why: "the authorization was canceled on the chain".into() })
            }
            PaymentState::Unused { chain_time } if past(chain_time, signed.valid_before) => {
                Ok(Outcome::NotPaid {
                    why: format!("unused on the chain when it expired at {}", signed.valid_before),
                })
            }
            PaymentState::Unused { .. } => {
                let until = signed.valid_before;
                Err(StillOpen::Undecided(format!(
                    "unused so far; the seller can still settle it until {until}"
                )))
            }
        }
    }

    fn unsigned(&self, purchase: &Purchase) -> Result<Outcome, StillOpen> {
        debug_assert_eq!(purchase.state, PurchaseState::Reserved);
        if past_by(self.clock.now(), purchase.created_at, UNSIGNED_GRACE) {
            // Once that is written nothing can leave the machine: recording a signature needs the state Reserved.
            return Ok(Outcome::NotPaid { why: "nothing was signed".to_owned() });
        }
        Err(StillOpen::Undecided("it was reserved a moment ago and may be being signed".to_owned()))
    }
}

fn past(chain_time: Timestamp, end: Timestamp) -> bool {
    past_by(chain_time, end, CHAIN_MARGIN)
}

fn past_by(now: Timestamp, end: Timestamp, margin: Duration) -> bool {
    end.checked_add(margin).is_ok_and(|end| now > end)
}
