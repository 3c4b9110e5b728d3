//! A paid call, from its verification to its answer.

mod serve;
mod settling;
mod upfront;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use farthing_ambient::fault;
use farthing_ledger::{Claim, ClaimState, Claimed, LedgerError, NewClaim};
use farthing_protocol::x402::SettleResponse;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body;
use http_body_util::Either;

use crate::answer::{self, Answer, GatewayBody};
use crate::core::{Core, DIED_SERVING};
use crate::exposure::Exposed;
use crate::inflight::Entered;
use crate::order::Order;
use crate::settle::Earlier;
use crate::store::{StoreError, StoredResponse};
use serve::Served;
use settling::settling;
pub(crate) use settling::unrecorded;

/// On an answer that was given out before: the same one again, paid once.
pub(crate) const RESENT: HeaderName = HeaderName::from_static("farthing-resent");

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The handler with its request, not started yet.
pub(crate) type Handler<B, E> = BoxFuture<'static, Result<Response<B>, E>>;

/// One payment on its way through. It runs in a task of its own: a buyer who hangs up does not stop it.
pub(crate) struct Call {
    pub(crate) core: Arc<Core>,
    pub(crate) order: Box<Order>,
    pub(crate) gate: Entered,
    /// The ledger may know the payment: it is asked first, and the facilitator after it.
    pub(crate) known: bool,
    /// The claim of a call that began under terms which are no longer offered.
    pub(crate) begun: Option<Box<Claim>>,
    /// It counts among its payer's open calls, from when it was verified.
    pub(crate) exposed: OnceLock<Exposed>,
    /// The journal's row of the claim as this call wrote or saw it last.
    pub(crate) row: AtomicI64,
}

/// What a claim says about going on.
enum Next {
    Serve,
    /// The answer that was kept for it, if any, is named by its row.
    Resume(Earlier, Option<i64>),
    Resend {
        transaction: String,
        answer: Option<i64>,
    },
    Stop(Answer),
}

impl Call {
    pub(crate) async fn run<B, E>(mut self, handler: Handler<B, E>) -> Result<Response<GatewayBody<B>>, E>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        // Boxed: a task is copied when it is spawned, and most calls need one of these.
        match self.claim().await {
            Next::Serve if self.order.is_upfront() => Box::pin(self.upfront(handler)).await,
            Next::Serve => Box::pin(self.authorized(handler)).await,
            Next::Resume(earlier, answer) => Box::pin(self.resume(handler, earlier, answer)).await,
            Next::Resend { transaction, answer } => {
                Ok(self.resend(&transaction, answer).await.map(Either::Right))
            }
            Next::Stop(answer) => Ok(answer.map(Either::Right)),
        }
    }

    // === the claim ===

    async fn claim(&mut self) -> Next {
        if let Some(claim) = self.begun.take() {
            return self.duplicate(*claim).await;
        }
        match self.take().await {
            Ok(Claimed::Granted { seq }) => self.granted(seq).await,
            Ok(Claimed::Duplicate(claim)) => self.duplicate(claim).await,
            Err(answer) => Next::Stop(*answer),
        }
    }

    async fn take(&self) -> Result<Claimed, answer::Refusal> {
        let Order { paid, route, identity, .. } = &*self.order;
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

    async fn granted(&self, row: i64) -> Next {
        self.row.store(row, Ordering::Relaxed);
        self.core.in_flight.take(self.order.key());
        fault::point("gateway.claimed");
        if !self.known || self.order.is_upfront() {
            return Next::Serve;
        }
        match self.core.verify(&self.order).await {
            Ok(exposed) => {
                exposed.into_iter().for_each(|exposed| drop(self.exposed.set(exposed)));
                Next::Serve
            }
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
            ClaimState::Settled { transaction } => {
                Next::Resend { transaction: transaction.clone(), answer: claim.answer }
            }
            ClaimState::Settling { transaction } if self.core.is_orphan(&claim) => {
                self.row.store(claim.seq, Ordering::Relaxed);
                Next::Resume(Earlier { asked: true, transaction: transaction.clone() }, claim.answer)
            }
            // Nothing was settled: what is offered now is asked for now.
            ClaimState::Taken if self.order.late && self.core.is_orphan(&claim) => {
                Next::Stop(self.order.unanswered())
            }
            ClaimState::Taken if self.core.is_orphan(&claim) => self.take_over(&claim).await,
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
    async fn take_over(&self, claim: &Claim) -> Next {
        // Where it cannot be released, it cannot be taken either.
        let _ = self.core.release(self.order.key(), claim.seq, DIED_SERVING).await;
        match self.take().await {
            Ok(Claimed::Granted { seq }) => self.granted(seq).await,
            Ok(Claimed::Duplicate(_)) => Next::Stop(self.order.in_progress()),
            Err(answer) => Next::Stop(*answer),
        }
    }

    /// The answer to a payment that was settled: the one that was sold, if it is still there to be given.
    async fn resend(self, transaction: &str, sold: Option<i64>) -> Answer {
        match self.kept(sold).await {
            Ok(Some(kept)) => {
                self.core.metrics.resent.add();
                let settled = self.order.settled_by(transaction);
                let mut answer = self.hand_over(kept, &settled);
                answer.headers_mut().insert(RESENT, HeaderValue::from_static("1"));
                answer
            }
            Ok(None) => {
                self.core.metrics.duplicates.add();
                self.order.duplicate("this payment was used, and its answer is not kept any more")
            }
            Err(_) => {
                let message =
                    "the payment is settled, and its answer cannot be read now; send the same request again";
                answer::try_again(StatusCode::SERVICE_UNAVAILABLE, "answer_unreadable", message)
            }
        }
    }

    /// The kept answer that was made under this row. Another one that lies here was made by a process which then lost
    /// the claim: it was never sold.
    async fn kept(&self, row: Option<i64>) -> Result<Option<StoredResponse>, StoreError> {
        let (store, key) = (&self.core.store, self.order.key());
        let Some(row) = row else { return Ok(None) };
        let failed = |error: &StoreError| self.core.ledger_failed(key, error);
        match store.get(key).await.inspect_err(failed)? {
            Some(kept) if kept.row == row => return Ok(Some(kept)),
            Some(_) => store.remove(key),
            None => {}
        }
        // What another process keeps cannot be forgotten from here once it is given out: only where that does no harm.
        if !self.order.named {
            return Ok(None);
        }
        store.get_beside(key, row).await.inspect_err(failed)
    }

    /// Moves the claim on, if it is this call's still; `answer` names the answer that belongs to it from now on.
    async fn advance(&self, state: ClaimState, answer: Option<i64>) -> Result<(), LedgerError> {
        let seen = self.row.load(Ordering::Relaxed);
        let row = self.core.advance(self.order.key(), seen, state, answer).await?;
        self.row.store(row, Ordering::Relaxed);
        Ok(())
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

    /// Goes on where a process died, or where a settlement was not known in time. An answer that was not given out is
    /// given out now; one that was lost is made again.
    async fn resume<B, E>(
        self,
        handler: Handler<B, E>,
        earlier: Earlier,
        answer: Option<i64>,
    ) -> Result<Response<GatewayBody<B>>, E>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let settled = match self.settle(earlier).await {
            Ok(settled) => settled,
            Err(answer) => return Ok(answer.map(Either::Right)),
        };
        if self.order.is_upfront() {
            return self.open(handler, settled).await;
        }
        // What cannot be read now is made again, as what is lost.
        if let Ok(Some(kept)) = self.kept(answer).await {
            return Ok(self.finish(kept, settled).await.map(Either::Right));
        }
        // Of all who believe the claim to be theirs, one alone makes the answer again, under a row of its own.
        if let Err(error) = self.advance(settling(Some(settled.transaction.clone())), None).await {
            let answer = self.not_ours(&error).unwrap_or_else(|| self.withheld(&settled));
            return Ok(answer.map(Either::Right));
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

    /// Keeps an answer that was made again, and gives it out. The claim names it first: should its end not be recorded,
    /// this answer is the one that is had later, and the handler is not run once more.
    async fn make_good(self, response: StoredResponse, settled: SettleResponse) -> Answer {
        let named = settling(Some(settled.transaction.clone()));
        let (kept, named) =
            tokio::join!(self.core.store.put(response.clone()), self.advance(named, Some(response.row)));
        if let Err(error) = kept {
            self.core.ledger_failed(self.order.key(), &error);
        }
        if let Err(error) = named {
            self.core.store.remove(self.order.key());
            return self.not_ours(&error).unwrap_or_else(|| self.withheld(&settled));
        }
        self.finish(response, settled).await
    }
}
