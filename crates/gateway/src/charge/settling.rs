//! Keeping the answer, settling, giving it out or withholding it.

use std::sync::Arc;

use farthing_ambient::fault;
use farthing_ledger::{ClaimState, LedgerError, SettlementState};
use farthing_protocol::PaymentKey;
use farthing_protocol::x402::{Reason, SettleResponse};
use http::StatusCode;

use super::Call;
use super::serve::strip;
use crate::answer::{self, Answer, Held, OnEnd};
use crate::core::Core;
use crate::inflight::Entered;
use crate::settle::{Earlier, Settlement, Unknown, settle};
use crate::store::StoredResponse;

impl Call {
    /// Keeps the answer, settles, and gives it out; or withholds it.
    pub(super) async fn sell(self, response: StoredResponse) -> Answer {
        let key = self.order.key();
        let (kept, recorded) = tokio::join!(
            self.core.store.put(response.clone()),
            self.advance(settling(None), Some(response.row))
        );
        if let Err(error) = recorded {
            self.core.store.remove(key);
            return self.not_ours(&error).unwrap_or_else(unrecorded);
        }
        if let Err(error) = kept {
            self.core.ledger_failed(key, &error);
            // Settling, and by this process alone: nothing was asked of the facilitator yet.
            let why = "its answer could not be kept".to_owned();
            let _ = self.advance(ClaimState::Released { why }, None).await;
            return unrecorded();
        }
        fault::point("gateway.kept");
        match self.settle(Earlier::default()).await {
            Ok(settled) => self.finish(response, settled).await,
            Err(answer) => answer,
        }
    }

    /// Settles the payment; what to answer when it is not settled.
    pub(super) async fn settle(&self, earlier: Earlier) -> Result<SettleResponse, Answer> {
        let core = &self.core;
        match settle(&*core.facilitate, &self.order, core.limits.settle, earlier).await {
            Settlement::Done(mut settled) => {
                fault::point("gateway.settled");
                settled.network = self.order.network_name().to_owned();
                self.log_paid(&settled);
                Ok(settled)
            }
            Settlement::Failed(refused) => Err(self.unsettled(refused).await),
            Settlement::Unknown(unknown) => self.unknown(unknown).await,
        }
    }

    /// One line for the operator. What others wrote is printed with its control characters escaped.
    fn log_paid(&self, settled: &SettleResponse) {
        let paid = &self.order.paid;
        tracing::info!(
            route = self.order.route.name,
            amount = %paid.amount,
            network = %paid.network,
            payer = ?paid.payer,
            transaction = ?settled.transaction,
            "paid"
        );
    }

    async fn unknown(&self, unknown: Unknown) -> Result<SettleResponse, Answer> {
        let Unknown { transaction, cut_off } = unknown;
        // A facilitator in this process writes into the same ledger, and may know by now.
        let record = self.core.ledger.settlement(self.order.key()).await;
        match record.map(|record| record.map(|record| record.state)) {
            Ok(Some(SettlementState::Confirmed { transaction, .. })) => {
                let settled = self.order.settled_by(&transaction);
                self.log_paid(&settled);
                return Ok(settled);
            }
            Ok(Some(SettlementState::Failed { reason, transaction, .. })) => {
                return Err(self.unsettled(self.refusal(&reason, transaction)).await);
            }
            // Not while the last question may still be at work: it begins an abandoned settlement again.
            Ok(Some(SettlementState::Abandoned { .. })) if !cut_off => {
                return Err(self.unsettled(self.refusal("settlement_abandoned", None)).await);
            }
            Ok(_) | Err(_) => {}
        }
        self.core.metrics.settle_unknown.add();
        if transaction.is_some() {
            // If it cannot be written, the claim still says that a settlement is under way.
            let _ = self.advance(settling(transaction.clone()), None).await;
        }
        Err(self.withheld(&self.refusal(Reason::SettlementPending.as_str(), transaction)))
    }

    async fn unsettled(&self, mut refused: SettleResponse) -> Answer {
        let reason = refused.error_reason.as_ref().map_or("settlement_failed", Reason::as_str).to_owned();
        tracing::warn!(route = self.order.route.name, ?reason, "not settled: the answer is withheld");
        self.core.metrics.settle_failed.add();
        self.core.store.remove(self.order.key());
        let state = if refused.transaction.is_empty() {
            // Nothing was sent: the same payment may be tried again, say after the buyer's balance was filled up.
            ClaimState::Released { why: reason.clone() }
        } else {
            ClaimState::Failed { reason: reason.clone() }
        };
        // If it cannot be written, the claim stays open and the next attempt asks the facilitator again.
        let _ = self.advance(state, None).await;
        refused.network = self.order.network_name().to_owned();
        let mut answer = self.order.refused(StatusCode::PAYMENT_REQUIRED, &reason);
        answer::attach(answer.headers_mut(), self.order.response_header(), &refused);
        answer
    }

    fn refusal(&self, reason: &str, transaction: Option<String>) -> SettleResponse {
        SettleResponse {
            success: false,
            error_reason: Some(Reason::from(reason)),
            transaction: transaction.unwrap_or_default(),
            ..self.order.settled_by("")
        }
    }

    /// Not 402: who is asked to pay here again would pay twice.
    pub(super) fn withheld(&self, settled: &SettleResponse) -> Answer {
        let message = "the settlement is not known yet and the answer is kept: \
                       send the same request with the same payment again to get it";
        let mut answer = answer::try_again(StatusCode::GATEWAY_TIMEOUT, "settlement_pending", message);
        answer::attach(answer.headers_mut(), self.order.response_header(), settled);
        answer
    }

    /// Records the settlement, and only then gives the answer out: an open claim means that nobody has it.
    pub(super) async fn finish(self, response: StoredResponse, settled: SettleResponse) -> Answer {
        if let Err(error) = self.close(&settled, response.row).await {
            let Some(answer) = self.not_ours(&error) else { return self.withheld(&settled) };
            // The other one's answer is the one that was bought.
            self.core.store.remove(self.order.key());
            return answer;
        }
        self.core.metrics.served.add();
        self.hand_over(response, &settled)
    }

    async fn close(&self, settled: &SettleResponse, answer: i64) -> Result<(), LedgerError> {
        let transaction = settled.transaction.clone();
        self.advance(ClaimState::Settled { transaction }, Some(answer)).await?;
        fault::point("gateway.recorded");
        Ok(())
    }

    /// The answer to a call that another process goes on with, if that is what the error says.
    pub(super) fn not_ours(&self, error: &LedgerError) -> Option<Answer> {
        matches!(error, LedgerError::WrongState { .. }).then(|| {
            self.core.metrics.duplicates.add();
            self.order.in_progress()
        })
    }

    /// Gives an answer to the buyer. No copy of the payment gets in before it is with him.
    pub(super) fn hand_over(self, response: StoredResponse, settled: &SettleResponse) -> Answer {
        let key = response.key.clone();
        let mut answer = response.into_response();
        strip(answer.headers_mut());
        answer::make_private(answer.headers_mut());
        answer::attach(answer.headers_mut(), self.order.response_header(), settled);
        let end = Delivery { core: self.core, key, named: self.order.named, _gate: self.gate };
        answer.map(|body: Held| body.on_end(Box::new(end)))
    }

    pub(super) async fn fail(&self, why: &str) {
        self.core.metrics.failed.add();
        self.release(why).await;
    }

    pub(super) async fn release(&self, why: &str) {
        tracing::info!(route = self.order.route.name, why, "not charged");
        // If it cannot be written, the claim is taken back after its lease.
        let _ = self.advance(ClaimState::Released { why: why.to_owned() }, None).await;
    }
}

/// Forgets a delivered answer, and lets copies of its payment through to the ledger again.
struct Delivery {
    core: Arc<Core>,
    key: PaymentKey,
    named: bool,
    _gate: Entered,
}

impl OnEnd for Delivery {
    /// After delivery the answer is kept only for a request with something in it that its buyer alone knows: everything
    /// in a payment can be read off the chain once it is settled, and would buy the answer for a stranger.
    fn end(self: Box<Self>, delivered: bool) {
        match delivered {
            true if self.named => self.core.store.delivered(&self.key),
            true => self.core.store.remove(&self.key),
            false => {}
        }
    }
}

pub(super) fn settling(transaction: Option<String>) -> ClaimState {
    ClaimState::Settling { transaction }
}

pub(crate) fn unrecorded() -> Answer {
    let message = "the payment could not be recorded; nothing was charged";
    answer::try_again(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", message)
}
