//! A paid call, from its verification to its answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use farthing_ambient::fault;
use farthing_ledger::{Claim, ClaimState, Claimed, NewClaim, SettlementState};
use farthing_protocol::x402::{Reason, SettleResponse};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Either, LengthLimitError, Limited};

use crate::answer::{self, Answer, GatewayBody, Held, OnEnd};
use crate::core::Core;
use crate::inflight::Entered;
use crate::order::Order;
use crate::settle::{Settlement, settle};
use crate::store::StoredResponse;

/// On an answer that was given out before: the same one again, paid once.
pub(crate) const RESENT: HeaderName = HeaderName::from_static("farthing-resent");

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The handler with its request, not started yet.
pub(crate) type Handler<B, E> = BoxFuture<'static, Result<Response<B>, E>>;

/// One payment on its way through. It runs in a task of its own: a buyer who hangs up does not stop it.
pub(crate) struct Call {
    pub(crate) core: Arc<Core>,
    pub(crate) order: Order,
    pub(crate) gate: Entered,
    /// The ledger may know the payment: it is asked first, and the facilitator after it.
    pub(crate) known: bool,
}

/// What a handler did.
enum Served<E> {
    Good(StoredResponse),
    Bad(Answer),
    Failed(E),
}

/// What a claim says about going on.
enum Next {
    Serve,
    Resume,
    Resend { transaction: String },
    Stop(Answer),
}

impl Call {
    pub(crate) async fn run<B, E>(self, handler: Handler<B, E>) -> Result<Response<GatewayBody<B>>, E>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        match self.claim().await {
            Next::Serve if self.order.is_upfront() => self.upfront(handler).await,
            Next::Serve => self.authorized(handler).await,
            Next::Resume => self.resume(handler).await,
            Next::Resend { transaction } => Ok(self.resend(&transaction).await.map(Either::Right)),
            Next::Stop(answer) => Ok(answer.map(Either::Right)),
        }
    }

    // === the claim ===

    async fn claim(&self) -> Next {
        match self.take().await {
            Ok(Claimed::Granted) => self.granted().await,
            Ok(Claimed::Duplicate(claim)) => self.duplicate(claim).await,
            Err(answer) => Next::Stop(*answer),
        }
    }

    async fn take(&self) -> Result<Claimed, answer::Refusal> {
        let Order { paid, route, identity, .. } = &self.order;
        let claim = NewClaim {
            key: paid.key.clone(),
            route: route.name.clone(),
            request: identity.clone(),
            payer: paid.payer.clone(),
            pay_to: paid.pay_to.clone(),
            network: paid.network.clone(),
            asset: paid.asset.clone(),
            amount: paid.amount,
        };
        let claimed = self.core.ledger.claim(claim).await;
        self.core.in_flight.remember(self.order.key());
        claimed.map_err(|error| {
            self.core.ledger_failed(self.order.key(), &error);
            Box::new(unrecorded())
        })
    }

    async fn granted(&self) -> Next {
        self.core.in_flight.take(self.order.key());
        fault::point("gateway.claimed");
        if !self.known || self.order.is_upfront() {
            return Next::Serve;
        }
        match self.core.verify(&self.order).await {
            Ok(()) => Next::Serve,
            Err(unverified) => {
                self.release("the payment is not valid").await;
                Next::Stop(*unverified.into_refusal())
            }
        }
    }

    /// Somebody has the payment or had it. Only the same request may go on with it.
    async fn duplicate(&self, claim: Claim) -> Next {
        if claim.claim.request != self.order.identity {
            self.core.metrics.duplicates.add();
            return Next::Stop(self.order.duplicate("this payment was used for another request"));
        }
        match &claim.state {
            ClaimState::Settled { transaction } => Next::Resend { transaction: transaction.clone() },
            ClaimState::Settling { .. } if self.core.is_orphan(&claim) => Next::Resume,
            ClaimState::Taken if self.core.is_orphan(&claim) => self.take_over().await,
            ClaimState::Failed { reason } => {
                self.core.metrics.refused.add();
                Next::Stop(self.order.refused(StatusCode::PAYMENT_REQUIRED, reason))
            }
            _ => {
                self.core.metrics.duplicates.add();
                Next::Stop(self.order.in_progress())
            }
        }
    }

    /// Takes a payment whose process died before settling it.
    async fn take_over(&self) -> Next {
        self.release("the gateway died serving it").await;
        match self.take().await {
            Ok(Claimed::Granted) => self.granted().await,
            Ok(Claimed::Duplicate(_)) => Next::Stop(self.order.in_progress()),
            Err(answer) => Next::Stop(*answer),
        }
    }

    /// The answer to a payment that was settled: the same one, if it is still there to be given.
    async fn resend(self, transaction: &str) -> Answer {
        let kept = self.core.store.get(self.order.key()).await;
        match kept.inspect_err(|error| self.core.ledger_failed(self.order.key(), error)) {
            Ok(Some(kept)) => {
                self.core.metrics.resent.add();
                let settled = self.order.settled_by(transaction);
                let mut answer = self.hand_over(kept, &settled);
                answer.headers_mut().insert(RESENT, HeaderValue::from_static("1"));
                answer
            }
            Ok(None) | Err(_) => {
                self.core.metrics.duplicates.add();
                self.order.duplicate("this payment was used, and its answer was given out")
            }
        }
    }

    // === the flows ===

    /// Serve, settle, answer.
    async fn authorized<B, E>(self, handler: Handler<B, E>) -> Result<Response<GatewayBody<B>>, E>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let served = self.serve(handler).await;
        fault::point("gateway.served");
        match served {
            Served::Good(response) => Ok(self.sell(response).await.map(Either::Right)),
            Served::Bad(answer) => {
                self.fail("the handler failed").await;
                Ok(answer.map(Either::Right))
            }
            Served::Failed(error) => {
                self.fail("the handler failed").await;
                Err(error)
            }
        }
    }

    /// Settle, serve, answer while it is being made.
    async fn upfront<B, E>(self, handler: Handler<B, E>) -> Result<Response<GatewayBody<B>>, E>
    where
        B: Body<Data = Bytes>,
    {
        if let Err(error) = self.core.record(self.order.key(), settling(None)).await {
            tracing::debug!(%error, "nothing was settled");
            return Ok(unrecorded().map(Either::Right));
        }
        match self.settle(false).await {
            Ok(settled) => self.open(handler, settled).await,
            Err(answer) => Ok(answer.map(Either::Right)),
        }
    }

    /// Goes on where a process died, or where a settlement was not known in time. An answer that was not given out is
    /// given out now; one that was lost is made again.
    async fn resume<B, E>(self, handler: Handler<B, E>) -> Result<Response<GatewayBody<B>>, E>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let settled = match self.settle(true).await {
            Ok(settled) => settled,
            Err(answer) => return Ok(answer.map(Either::Right)),
        };
        if self.order.is_upfront() {
            return self.open(handler, settled).await;
        }
        let kept = self.core.store.get(self.order.key()).await;
        if let Ok(Some(kept)) = kept.inspect_err(|error| self.core.ledger_failed(self.order.key(), error)) {
            return Ok(self.finish(kept, settled).await.map(Either::Right));
        }
        match self.serve(handler).await {
            Served::Good(response) => Ok(self.make_good(response, settled).await.map(Either::Right)),
            Served::Bad(mut answer) => {
                // Paid and not served: the claim stays open, and the same request may be sent again.
                answer::attach(answer.headers_mut(), self.order.response_header(), &settled);
                Ok(answer.map(Either::Right))
            }
            Served::Failed(error) => Err(error),
        }
    }

    async fn make_good(self, response: StoredResponse, settled: SettleResponse) -> Answer {
        if let Err(error) = self.core.store.put(response.clone()).await {
            self.core.ledger_failed(self.order.key(), &error);
        }
        self.finish(response, settled).await
    }

    // === the handler ===

    async fn serve<B, E>(&self, handler: Handler<B, E>) -> Served<E>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let limit = self.core.limits.response_buffer_bytes;
        let served = async {
            let response = match handler.await {
                Ok(response) => response,
                Err(error) => return Served::Failed(error),
            };
            let (parts, body) = response.into_parts();
            let body = match Limited::new(body, limit).collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => return Served::Bad(unreadable(&*error, limit)),
            };
            let key = self.order.key().clone();
            let response = StoredResponse { key, status: parts.status, headers: parts.headers, body };
            if is_failure(response.status) { Served::Bad(failed(response)) } else { Served::Good(response) }
        };
        self.bounded(served).await.unwrap_or_else(Served::Bad)
    }

    /// Runs a handler for its time, and through its panics.
    async fn bounded<T>(&self, work: impl Future<Output = T>) -> Result<T, Answer> {
        let work = AssertUnwindSafe(work).catch_unwind();
        match tokio::time::timeout(self.order.route.timeout, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => {
                tracing::error!(route = self.order.route.name, "a handler panicked");
                Err(answer::error(StatusCode::INTERNAL_SERVER_ERROR, "handler_failed", "the handler failed"))
            }
            Err(_) => {
                let message = "the handler took too long";
                Err(answer::error(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message))
            }
        }
    }

    /// Lets a paid-for handler answer, and passes its answer on as it comes.
    async fn open<B, E>(
        self,
        handler: Handler<B, E>,
        settled: SettleResponse,
    ) -> Result<Response<GatewayBody<B>>, E>
    where
        B: Body<Data = Bytes>,
    {
        let opened = self.bounded(handler).await;
        fault::point("gateway.served");
        let mut response = match opened {
            Ok(Ok(response)) => response.map(Either::Left),
            // The claim stays open: the buyer paid, and may send the same request again.
            Ok(Err(error)) => return Err(error),
            Err(answer) => answer.map(Either::Right),
        };
        if !response.status().is_server_error() && self.close(&settled).await.is_err() {
            return Ok(self.withheld(&settled).map(Either::Right));
        }
        strip(response.headers_mut());
        answer::attach(response.headers_mut(), self.order.response_header(), &settled);
        if is_failure(response.status()) {
            self.core.metrics.failed.add();
            answer::no_store(response.headers_mut());
        } else {
            self.core.metrics.served.add();
            answer::make_private(response.headers_mut());
        }
        Ok(response)
    }

    // === the settlement ===

    /// Keeps the answer, settles, and gives it out; or withholds it.
    async fn sell(self, response: StoredResponse) -> Answer {
        let key = self.order.key();
        let (kept, recorded) =
            tokio::join!(self.core.store.put(response.clone()), self.core.record(key, settling(None)));
        if recorded.is_err() {
            self.core.store.remove(key);
            return unrecorded();
        }
        if let Err(error) = kept {
            self.core.ledger_failed(key, &error);
            self.release("its answer could not be kept").await;
            return unrecorded();
        }
        match self.settle(false).await {
            Ok(settled) => self.finish(response, settled).await,
            Err(answer) => answer,
        }
    }

    /// Settles the payment; what to answer when it is not settled.
    async fn settle(&self, again: bool) -> Result<SettleResponse, Answer> {
        let core = &self.core;
        match settle(&*core.facilitate, &self.order, core.limits.settle, again).await {
            Settlement::Done(mut settled) => {
                fault::point("gateway.settled");
                settled.network = self.order.network_name().to_owned();
                Ok(settled)
            }
            Settlement::Failed(refused) => Err(self.unsettled(refused).await),
            Settlement::Unknown(transaction) => Err(self.unknown(transaction).await),
        }
    }

    async fn unknown(&self, transaction: Option<String>) -> Answer {
        // A facilitator in this process writes into the same ledger, and may know by now.
        let record = self.core.ledger.settlement(self.order.key()).await;
        match record.map(|record| record.map(|record| record.state)) {
            Ok(Some(SettlementState::Failed { reason, transaction, .. })) => {
                return self.unsettled(self.refusal(&reason, transaction)).await;
            }
            Ok(Some(SettlementState::Abandoned { .. })) => {
                return self.unsettled(self.refusal("settlement_abandoned", None)).await;
            }
            Ok(_) | Err(_) => {}
        }
        self.core.metrics.settle_unknown.add();
        if transaction.is_some() {
            // If it cannot be written, the claim still says that a settlement is under way.
            let _ = self.core.record(self.order.key(), settling(transaction.clone())).await;
        }
        self.withheld(&self.refusal(Reason::SettlementPending.as_str(), transaction))
    }

    async fn unsettled(&self, mut refused: SettleResponse) -> Answer {
        let reason = refused.error_reason.as_ref().map_or("settlement_failed", Reason::as_str).to_owned();
        self.core.metrics.settle_failed.add();
        self.core.store.remove(self.order.key());
        let state = if refused.transaction.is_empty() {
            // Nothing was sent: the same payment may be tried again, say after the buyer's balance was filled up.
            ClaimState::Released { why: reason.clone() }
        } else {
            ClaimState::Failed { reason: reason.clone() }
        };
        // If it cannot be written, the claim stays open and the next attempt asks the facilitator again.
        let _ = self.core.record(self.order.key(), state).await;
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
    fn withheld(&self, settled: &SettleResponse) -> Answer {
        let message = "the settlement is not known yet and the answer is kept: \
                       send the same request with the same payment again to get it";
        let mut answer = answer::try_again(StatusCode::GATEWAY_TIMEOUT, "settlement_pending", message);
        answer::attach(answer.headers_mut(), self.order.response_header(), settled);
        answer
    }

    // === the end ===

    /// Records the settlement, and only then gives the answer out: an open claim means that nobody has it.
    async fn finish(self, response: StoredResponse, settled: SettleResponse) -> Answer {
        if self.close(&settled).await.is_err() {
            return self.withheld(&settled);
        }
        self.core.metrics.served.add();
        self.hand_over(response, &settled)
    }

    async fn close(&self, settled: &SettleResponse) -> Result<(), farthing_ledger::LedgerError> {
        let transaction = settled.transaction.clone();
        self.core.record(self.order.key(), ClaimState::Settled { transaction }).await
    }

    /// Gives an answer to the buyer. No copy of the payment gets in before it is with him.
    fn hand_over(self, response: StoredResponse, settled: &SettleResponse) -> Answer {
        let key = response.key.clone();
        let mut answer = response.into_response();
        strip(answer.headers_mut());
        answer::make_private(answer.headers_mut());
        answer::attach(answer.headers_mut(), self.order.response_header(), settled);
        let end = Delivery { core: self.core, key, named: self.order.named, _gate: self.gate };
        answer.map(|body: Held| body.on_end(Box::new(end)))
    }

    async fn fail(&self, why: &str) {
        self.core.metrics.failed.add();
        self.release(why).await;
    }

    async fn release(&self, why: &str) {
        // If it cannot be written, the claim is taken back after its lease; nothing was settled in any case.
        let _ = self.core.record(self.order.key(), ClaimState::Released { why: why.to_owned() }).await;
    }
}

/// Forgets a delivered answer, and lets copies of its payment through to the ledger again.
struct Delivery {
    core: Arc<Core>,
    key: farthing_protocol::PaymentKey,
    named: bool,
    _gate: Entered,
}

impl OnEnd for Delivery {
    /// After delivery the answer is kept only for a buyer who named the request by an `Idempotency-Key`: everything
    /// else in a payment can be read off the chain once it is settled, and would buy the answer for a stranger.
    fn end(self: Box<Self>, delivered: bool) {
        if delivered && !self.named {
            self.core.store.remove(&self.key);
        }
    }
}

fn settling(transaction: Option<String>) -> ClaimState {
    ClaimState::Settling { transaction }
}

/// A failure is not charged (reference/x402.md, "Headers").
fn is_failure(status: StatusCode) -> bool {
    status.as_u16() >= 400
}

fn failed(response: StoredResponse) -> Answer {
    let mut answer = response.into_response();
    strip(answer.headers_mut());
    answer::no_store(answer.headers_mut());
    answer
}

/// Settlement headers are the layer's word alone, and those towards the layer end here.
pub(crate) fn strip(headers: &mut http::HeaderMap) {
    for name in farthing_protocol::x402::HEADERS {
        headers.remove(name);
    }
}

fn unrecorded() -> Answer {
    let message = "the payment could not be recorded; nothing was charged";
    answer::try_again(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", message)
}

fn unreadable(error: &(dyn std::error::Error + 'static), limit: usize) -> Answer {
    if error.is::<LengthLimitError>() {
        let message = format!(
            "the answer is larger than {limit} bytes; the provider can raise limits.response_buffer or use `flow: upfront`"
        );
        return answer::error(StatusCode::BAD_GATEWAY, "answer_too_large", &message);
    }
    answer::error(StatusCode::BAD_GATEWAY, "upstream_failed", "the answer broke off; nothing was charged")
}
