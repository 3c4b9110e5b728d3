//! What every call of a layer shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farthing_ambient::Clock;
use farthing_facilitator::{Facilitate, FacilitatorError};
use farthing_ledger::{Claim, ClaimState, Ledger, LedgerError, SettlementState};
use farthing_protocol::PaymentKey;
use farthing_protocol::x402::{Reason, VerifyResponse};
use http::StatusCode;
use tokio_util::task::TaskTracker;

use crate::answer::{self, Refusal};
use crate::buffers::Buffers;
use crate::exposure::{Exposed, Exposure};
use crate::inflight::InFlight;
use crate::order::Order;
use crate::reload::SharedPricing;
use crate::{Limits, Metrics, ResponseStore};

/// How long a claim may be silent, besides the handler's and the settlement's time, before its process counts as dead.
const LEASE_SLACK: Duration = Duration::from_secs(60);
/// After this, a buyer who was charged and never came back for the answer is not waited for any more.
const OWED_FOR: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) pricing: SharedPricing,
    pub(crate) facilitate: Arc<dyn Facilitate>,
    pub(crate) ledger: Ledger,
    pub(crate) store: Arc<dyn ResponseStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) exposure: Arc<Exposure>,
    pub(crate) buffers: Buffers,
    pub(crate) tasks: TaskTracker,
    pub(crate) metrics: Arc<Metrics>,
    /// No other process serves calls on this ledger.
    pub(crate) alone: AtomicBool,
}

/// Why a payment is not verified.
pub(crate) enum Unverified {
    /// It was used before: the ledger may know by whom.
    Used(Refusal),
    No(Refusal),
}

impl Unverified {
    pub(crate) fn into_refusal(self) -> Refusal {
        match self {
            Self::Used(refusal) | Self::No(refusal) => refusal,
        }
    }
}

impl Core {
    /// Asks the facilitator whether the payment would settle, and counts it among its payer's open calls. An upfront
    /// call is not counted: it is settled before anybody works for it.
    pub(crate) async fn verify(&self, order: &Order) -> Result<Option<Exposed>, Unverified> {
        self.ask(order).await?;
        if order.is_upfront() {
            return Ok(None);
        }
        let exposed = self.exposure.enter(&order.paid.payer, order.worth, self.limits.payer);
        exposed.map(Some).ok_or_else(|| {
            self.metrics.payer_limited.add();
            Unverified::No(Box::new(order.too_exposed()))
        })
    }

    async fn ask(&self, order: &Order) -> Result<(), Unverified> {
        let asked = tokio::time::timeout(self.limits.settle, self.facilitate.verify(&order.request)).await;
        let unanswered = |error: &FacilitatorError| {
            self.metrics.facilitator_errors.add();
            tracing::warn!(key = %order.key(), %error, "a payment could not be verified");
            Unverified::No(Box::new(unverifiable(error)))
        };
        match asked {
            Ok(Ok(response)) if response.is_valid => self.check_payer(order, &response),
            Ok(Ok(response)) => Err(self.invalid(order, &response)),
            Ok(Err(error)) => Err(unanswered(&error)),
            Err(_) => {
                let (at, why) = ("its address".to_owned(), "no answer in time".to_owned());
                Err(unanswered(&FacilitatorError::Unreachable { at, why }))
            }
        }
    }

    fn check_payer(&self, order: &Order, response: &VerifyResponse) -> Result<(), Unverified> {
        let network = &order.paid.network;
        match &response.payer {
            Some(payer) if !network.same_address(payer, &order.paid.payer) => {
                self.metrics.facilitator_errors.add();
                tracing::error!(key = %order.key(), "the facilitator verified another payer");
                let message = "the payment could not be verified; nothing was charged";
                let refusal = answer::error(StatusCode::BAD_GATEWAY, "bad_facilitator", message);
                Err(Unverified::No(Box::new(refusal)))
            }
            _ => Ok(()),
        }
    }

    fn invalid(&self, order: &Order, response: &VerifyResponse) -> Unverified {
        self.metrics.refused.add();
        let reason = response.invalid_reason.as_ref();
        let code = reason.map_or("Payment verification failed", Reason::as_str);
        let text = match &response.invalid_message {
            Some(message) if message != code => format!("{code}: {message}"),
            _ => code.to_owned(),
        };
        let status = match reason {
            Some(reason) if *reason == Reason::PERMIT2_ALLOWANCE_REQUIRED => StatusCode::PRECONDITION_FAILED,
            _ => StatusCode::PAYMENT_REQUIRED,
        };
        let refusal = Box::new(order.refused(status, &text));
        match reason {
            Some(reason) if *reason == Reason::EVM_NONCE_ALREADY_USED => Unverified::Used(refusal),
            _ => Unverified::No(refusal),
        }
    }

    /// The answer where too much is held in memory already.
    pub(crate) fn no_room(&self) -> answer::Answer {
        self.metrics.no_room.add();
        let message =
            "too much is being served at this moment; nothing was charged: send the same request again";
        answer::try_again(StatusCode::SERVICE_UNAVAILABLE, "no_room", message)
    }

    /// Whether nobody is at work on a claim any more. The caller holds the payment's gate, so this process is not.
    pub(crate) fn is_orphan(&self, claim: &Claim) -> bool {
        self.alone.load(Ordering::Acquire)
            || self.in_flight.is_ours(&claim.claim.key)
            || self.lease_is_over(claim)
    }

    /// How long a claim may be silent before its process counts as dead.
    pub(crate) fn lease(&self) -> Duration {
        self.pricing.load().longest_timeout() + 2 * self.limits.settle + LEASE_SLACK
    }

    fn lease_is_over(&self, claim: &Claim) -> bool {
        self.silent_for(claim) > self.lease()
    }

    fn silent_for(&self, claim: &Claim) -> Duration {
        let silence = self.clock.now().duration_since(claim.updated_at);
        Duration::try_from(silence).unwrap_or(Duration::ZERO)
    }

    /// Moves a claim on, trying a few times: what is not recorded is not given out.
    pub(crate) async fn record(&self, key: &PaymentKey, state: ClaimState) -> Result<(), LedgerError> {
        self.move_claim(key, state).await.map(drop)
    }

    /// As [`Self::record`], where one process alone may go on: an error also for who finds the claim moved already.
    /// This holds where two believe a claim to be theirs, after a lease that was too short or a pause too long.
    pub(crate) async fn record_first(&self, key: &PaymentKey, state: ClaimState) -> Result<(), LedgerError> {
        let name = state.as_str();
        if self.move_claim(key, state).await? { Ok(()) } else { Err(overtaken(key, name)) }
    }

    /// Goes on with a claim that was being settled, as it was seen. An error also for who finds it changed since.
    pub(crate) async fn resume_first(&self, seen: &Claim, transaction: String) -> Result<(), LedgerError> {
        let key = &seen.claim.key;
        let resumed = self.ledger.resume_claim(seen, transaction).await;
        if resumed.inspect_err(|error| self.ledger_failed(key, error))? {
            Ok(())
        } else {
            Err(overtaken(key, seen.state.as_str()))
        }
    }

    /// Whether the claim moved by this.
    async fn move_claim(&self, key: &PaymentKey, state: ClaimState) -> Result<bool, LedgerError> {
        let is_open = matches!(state, ClaimState::Taken | ClaimState::Settling { .. });
        let moved = persist(key, || self.ledger.update_claim(key, state.clone())).await;
        let moved = moved.inspect_err(|error| self.ledger_failed(key, error));
        if moved.is_ok() && !is_open {
            self.in_flight.let_go(key);
        }
        moved
    }

    /// Gives a payment back for which nobody has asked for a settlement. Where another process is settling it by now,
    /// it stays that one's: its money is on the way.
    pub(crate) async fn release(&self, key: &PaymentKey, why: &str) {
        let released = persist(key, || self.ledger.release_claim(key, why.to_owned())).await;
        match released {
            Ok(_) => self.in_flight.let_go(key),
            Err(LedgerError::WrongState { state, .. }) => {
                self.in_flight.let_go(key);
                tracing::warn!(%key, state, "another process is at work on a payment");
            }
            // The claim is taken back after its lease; nothing was settled in any case.
            Err(error) => self.ledger_failed(key, &error),
        }
    }

    pub(crate) fn ledger_failed(&self, key: &PaymentKey, error: &dyn std::fmt::Display) {
        self.metrics.ledger_errors.add();
        tracing::error!(%key, %error, "the ledger or the store of answers failed");
    }

    /// Takes over what is open, and looks after it.
    pub(crate) async fn take_up(&self) -> Result<(), LedgerError> {
        for claim in self.ledger.open_claims().await? {
            self.in_flight.take(&claim.claim.key);
        }
        self.recover(true).await
    }

    /// Looks after what dead processes left: payments taken and never settled are free again; those that were being
    /// settled are kept for the buyer to come back, unless the chain refused them.
    pub(crate) async fn recover(&self, at_start: bool) -> Result<(), LedgerError> {
        for claim in self.ledger.open_claims().await? {
            let key = &claim.claim.key;
            self.in_flight.remember(key);
            let Some(_gate) = self.in_flight.enter(key) else { continue };
            // Later than at the start the claim may have moved on since it was read: then only a silent one is dead.
            let dead = if at_start { self.is_orphan(&claim) } else { self.lease_is_over(&claim) };
            let state = match &claim.state {
                _ if !dead => None,
                // Settling is written before a settlement is asked for: from here nothing was sent.
                ClaimState::Taken => {
                    self.release(key, "the gateway died serving it").await;
                    None
                }
                ClaimState::Settling { .. } => self.settled_without_us(&claim).await?,
                _ => None,
            };
            if let Some(state) = state {
                // What cannot be moved was moved by somebody else, or is tried again.
                let _ = self.record(key, state).await;
            }
        }
        Ok(())
    }

    /// What a facilitator that shares the ledger says about a claim whose answer is still owed.
    async fn settled_without_us(&self, claim: &Claim) -> Result<Option<ClaimState>, LedgerError> {
        let settlement = self.ledger.settlement(&claim.claim.key).await?;
        Ok(match settlement.map(|settlement| settlement.state) {
            Some(SettlementState::Failed { reason, .. }) => Some(ClaimState::Failed { reason }),
            Some(SettlementState::Abandoned { why }) => Some(ClaimState::Released { why }),
            Some(SettlementState::Confirmed { transaction, .. }) if self.silent_for(claim) > OWED_FOR => {
                Some(ClaimState::Settled { transaction })
            }
            _ => None,
        })
    }
}

/// Writes, trying a few times while the database fails.
async fn persist<F>(key: &PaymentKey, write: impl Fn() -> F) -> Result<bool, LedgerError>
where
    F: Future<Output = Result<bool, LedgerError>>,
{
    let mut failed = false;
    for pause in [50, 200, 800] {
        match write().await {
            Err(LedgerError::Database(why)) => tracing::warn!(%key, why, "a claim could not be written"),
            // A write that failed may have been done all the same.
            done => return done.map(|moved| moved || failed),
        }
        failed = true;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    write().await.map(|moved| moved || failed)
}

fn overtaken(key: &PaymentKey, state: &'static str) -> LedgerError {
    tracing::warn!(%key, state, "another process is at work on a payment");
    let id = key.as_str().to_owned();
    LedgerError::WrongState { what: "claim", id, state: state.to_owned(), wanted: state }
}

fn unverifiable(error: &FacilitatorError) -> answer::Answer {
    let message = "the payment could not be verified; nothing was charged";
    match error {
        FacilitatorError::Unreachable { .. } => {
            answer::try_again(StatusCode::SERVICE_UNAVAILABLE, "facilitator_unreachable", message)
        }
        _ => answer::error(StatusCode::BAD_GATEWAY, "bad_facilitator", message),
    }
}
