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

/// How long a claim may be silent, besides the time for what it waits for, before its process counts as dead.
/// No process with other timeouts, or with other prices to come, has a shorter lease.
pub(crate) const LEAST_LEASE: Duration = Duration::from_secs(60);
/// How long a verification may take, where settlements are not waited for longer. A short wait for those loses nothing,
/// for the same request can be sent again; a verification that is given up turns a buyer away.
const VERIFY: Duration = Duration::from_secs(30);
/// After this, a buyer who was charged, or may have been, and never came back for the answer is not waited for any more.
const OWED_FOR: Duration = Duration::from_secs(24 * 3600);
/// Why a claim is given back whose process ended before it asked for a settlement.
pub(crate) const DIED_SERVING: &str = "the gateway died serving it";

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
        let asked = tokio::time::timeout(self.verify_within(), self.facilitate.verify(&order.request)).await;
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
        let handler = self.pricing.load().longest_timeout();
        self.verify_within() + handler + self.limits.settle + LEAST_LEASE
    }

    fn verify_within(&self) -> Duration {
        self.limits.settle.max(VERIFY)
    }

    fn lease_is_over(&self, claim: &Claim) -> bool {
        self.silent_for(claim) > self.lease()
    }

    fn silent_for(&self, claim: &Claim) -> Duration {
        let silence = self.clock.now().duration_since(claim.updated_at);
        Duration::try_from(silence).unwrap_or(Duration::ZERO)
    }

    /// Moves a claim on from the journal's row at which this process wrote or saw it last, trying a few times: what is
    /// not recorded is not given out. An error also where another process has moved it since: of two who believe a
    /// claim to be theirs, after a lease that was too short or a pause too long, one alone goes on.
    pub(crate) async fn advance(
        &self,
        key: &PaymentKey,
        seen: i64,
        state: ClaimState,
        answer: Option<i64>,
    ) -> Result<i64, LedgerError> {
        let (name, is_open) = (state.as_str(), matches!(state, ClaimState::Settling { .. }));
        let moved = persist(key, || self.ledger.move_claim_with(key, seen, state.clone(), answer)).await;
        let row = moved.inspect_err(|error| self.ledger_failed(key, error))?;
        if row.is_none() || !is_open {
            self.in_flight.let_go(key);
        }
        row.ok_or_else(|| overtaken(key, name))
    }

    /// Gives a payment back for which this process has asked for no settlement. If that cannot be written, or another
    /// process has taken it over, the claim is left alone: nothing was settled in any case.
    pub(crate) async fn release(&self, key: &PaymentKey, seen: i64, why: &str) -> Result<(), LedgerError> {
        self.advance(key, seen, ClaimState::Released { why: why.to_owned() }, None).await.map(drop)
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
                ClaimState::Taken => Some(ClaimState::Released { why: DIED_SERVING.to_owned() }),
                ClaimState::Settling { .. } => self.settled_without_us(&claim).await?,
                _ => None,
            };
            if let Some(state) = state {
                // What cannot be moved was moved by somebody else, or is tried again.
                let _ = self.advance(key, claim.seq, state, None).await;
            }
        }
        Ok(())
    }

    /// What a facilitator that shares the ledger says about a claim whose answer is still owed; and that it is not waited
    /// for for ever, where none says anything.
    async fn settled_without_us(&self, claim: &Claim) -> Result<Option<ClaimState>, LedgerError> {
        let settlement = self.ledger.settlement(&claim.claim.key).await?;
        Ok(match settlement.map(|settlement| settlement.state) {
            Some(SettlementState::Failed { reason, .. }) => Some(ClaimState::Failed { reason }),
            Some(SettlementState::Abandoned { why }) => Some(ClaimState::Released { why }),
            Some(SettlementState::Confirmed { transaction, .. }) if self.silent_for(claim) > OWED_FOR => {
                Some(ClaimState::Settled { transaction })
            }
            None if self.silent_for(claim) > OWED_FOR => {
                Some(ClaimState::Failed { reason: "settlement_never_known".to_owned() })
            }
            _ => None,
        })
    }
}

/// Writes, trying a few times while the database fails.
async fn persist<F>(key: &PaymentKey, write: impl Fn() -> F) -> Result<Option<i64>, LedgerError>
where
    F: Future<Output = Result<Option<i64>, LedgerError>>,
{
    let mut pauses = [50, 200, 800].into_iter();
    let mut failed = None;
    loop {
        let why = match write().await {
            Err(LedgerError::Database(why)) => why,
            // Moved by somebody else, or by the write that failed: as nobody can tell, nothing is known.
            Ok(None) => return failed.map_or(Ok(None), |why| Err(LedgerError::Database(why))),
            done => return done,
        };
        tracing::warn!(%key, why, "a claim could not be written");
        let Some(pause) = pauses.next() else { return Err(LedgerError::Database(why)) };
        failed = Some(why);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
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
