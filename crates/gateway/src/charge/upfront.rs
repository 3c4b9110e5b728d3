//! The flow `upfront`: settle, serve, and pass the answer on as it comes.
//!
//! The claim stays open, and its gate shut, until the answer has ended: a process that dies before takes the rest of
//! the answer along, and then the same request with the same payment gets another one. A buyer who breaks it off has
//! had his answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_ambient::fault;
use farthing_ledger::{ClaimState, LedgerError};
use farthing_protocol::PaymentKey;
use farthing_protocol::x402::SettleResponse;
use http::Response;
use http_body::Body;
use http_body_util::Either;
use tokio::sync::oneshot;

use super::serve::{is_failure, strip};
use super::settling::{settling, unrecorded};
use super::{Call, Handler};
use crate::answer::{self, GatewayBody};
use crate::core::{Core, LEAST_LEASE};
use crate::inflight::Entered;
use crate::settle::Earlier;
use crate::streamed::{End, Streamed};

/// What a connection still holds of an answer that has ended goes out in this time.
const FLUSH: Duration = Duration::from_millis(100);
/// Between attempts to record that an answer was given out, while the database fails.
const RECORD_AGAIN: Duration = Duration::from_secs(5);

impl Call {
    /// Settle, serve, answer while it is being made.
    pub(super) async fn upfront<B, E>(self, handler: Handler<B, E>) -> Result<Response<GatewayBody<B>>, E>
    where
        B: Body<Data = Bytes>,
    {
        if let Err(error) = self.advance(settling(None), None).await {
            return Ok(self.not_ours(&error).unwrap_or_else(unrecorded).map(Either::Right));
        }
        match self.settle(Earlier::default()).await {
            Ok(settled) => self.open(handler, settled).await,
            Err(answer) => Ok(answer.map(Either::Right)),
        }
    }

    /// Lets a paid-for handler answer, and passes its answer on as it comes. After a server error the claim stays open:
    /// the same request may be sent again.
    pub(super) async fn open<B, E>(
        self,
        handler: Handler<B, E>,
        settled: SettleResponse,
    ) -> Result<Response<GatewayBody<B>>, E>
    where
        B: Body<Data = Bytes>,
    {
        let opened = self.bounded(handler).await;
        fault::point("gateway.served");
        match opened {
            Ok(Ok(response)) if response.status().is_server_error() => {
                Ok(self.told(response, &settled).map(|body| Either::Left(Streamed::new(body))))
            }
            Ok(Ok(response)) => Ok(self.deliver(response, settled).await),
            Ok(Err(error)) => Err(error),
            Err(answer) => Ok(self.told(answer, &settled).map(Either::Right)),
        }
    }

    /// Of all who believe the claim to be theirs, one alone begins an answer; and its lease begins anew.
    async fn deliver<B>(self, response: Response<B>, settled: SettleResponse) -> Response<GatewayBody<B>> {
        if let Err(error) = self.advance(settling(Some(settled.transaction.clone())), None).await {
            let answer = self.not_ours(&error).unwrap_or_else(|| self.withheld(&settled));
            return answer.map(Either::Right);
        }
        let response = self.told(response, &settled);
        let (end, ended) = oneshot::channel();
        let tasks = self.core.tasks.clone();
        let Self { core, order, gate, row, .. } = self;
        let (key, row, transaction) = (order.paid.key, row.into_inner(), settled.transaction);
        let streaming = Streaming { core, key, row, transaction, _gate: gate };
        tasks.spawn(streaming.watch(ended));
        response.map(|body| Either::Left(Streamed::telling(body, end)))
    }

    /// The answer with the settlement's headers, counted.
    fn told<B>(&self, mut response: Response<B>, settled: &SettleResponse) -> Response<B> {
        strip(response.headers_mut());
        answer::attach(response.headers_mut(), self.order.response_header(), settled);
        if is_failure(response.status()) {
            self.core.metrics.failed.add();
            answer::no_store(response.headers_mut());
        } else {
            self.core.metrics.served.add();
            answer::make_private(response.headers_mut());
        }
        response
    }
}

/// An answer on its way to the buyer. No copy of the payment gets in before its end is recorded.
struct Streaming {
    core: Arc<Core>,
    key: PaymentKey,
    /// The claim's.
    row: i64,
    transaction: String,
    _gate: Entered,
}

impl Streaming {
    /// Waits for the answer's end and closes the claim. A stream that lasts is closed while it runs: after the lease
    /// another process would take it for a dead one's, and serve the payment beside us.
    async fn watch(self, mut ended: oneshot::Receiver<End>) {
        match tokio::time::timeout(LEAST_LEASE / 2, &mut ended).await {
            Ok(Ok(End::Owed)) if self.core.in_flight.may_be_made_again(&self.key) => {
                tracing::warn!(key = %self.key, "an answer broke off: the same payment buys another try");
            }
            Ok(_) => {
                tokio::time::sleep(FLUSH).await;
                self.close().await;
            }
            Err(_) => {
                self.close().await;
                // Copies learn meanwhile that it is being served.
                drop(ended.await);
            }
        }
    }

    /// What was given out must not be had again: the gate stays shut until that is recorded.
    async fn close(&self) {
        let state = ClaimState::Settled { transaction: self.transaction.clone() };
        while let Err(LedgerError::Database(_)) =
            self.core.advance(&self.key, self.row, state.clone(), None).await
        {
            tokio::time::sleep(RECORD_AGAIN).await;
        }
        fault::point("gateway.recorded");
    }
}
