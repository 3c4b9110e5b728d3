//! Paying for what is not asked for over plain HTTP: a tool of an MCP server, for one; and until when a call may be
//! cancelled, whichever way it takes.

use async_trait::async_trait;
use bytes::Bytes;
use farthing_ledger::PurchaseId;
use reqwest::Response;
use tokio_util::sync::CancellationToken;

use crate::client::{Asked, Fetched, Probe, free};
use crate::{CallLimits, Client, FetchError, Request};

/// Carries one request to its seller, without a payment or with one. Its answers are what HTTP's would be: 402 with a
/// `PAYMENT-REQUIRED` header or a body of x402 version 1; else an answer, with a `PAYMENT-RESPONSE` header where the
/// seller says what became of the payment.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Sends the request. `payment` is what the header would hold: base64 of JSON. Where no answer comes to a payment,
    /// this is called again with the same one, a few times: a connection that broke has to be made anew. Its future may
    /// be dropped when it takes too long.
    ///
    /// # Errors
    /// Why no answer came, in words. An error that the seller has sent is an answer.
    async fn carry(&self, payment: Option<&str>) -> Result<http::Response<Bytes>, String>;
}

/// How a request gets to its seller.
#[derive(Clone, Copy)]
pub(crate) enum Way<'a> {
    Http,
    Over(&'a dyn Carrier),
}

impl Client {
    /// As [`Client::fetch`], unless `cancel` is cancelled while the seller is only asked: then there is `None`, and
    /// nothing was decided, reserved or signed. When the wallet begins to decide, the call goes on to its end, whatever
    /// is cancelled, and is to be awaited.
    ///
    /// # Errors
    /// [`FetchError`]; it says whether a payment left the machine.
    pub async fn fetch_until(
        &self,
        cancel: &CancellationToken,
        request: Request,
        limits: CallLimits,
    ) -> Result<Option<Fetched>, FetchError> {
        self.buy(Way::Http, cancel, &request, &limits).await
    }

    /// As [`Client::fetch_until`], over a carrier. `request` is what is judged and recorded; the carrier must send that
    /// and nothing else.
    ///
    /// # Errors
    /// [`FetchError`]; it says whether a payment left the machine.
    pub async fn fetch_over(
        &self,
        carrier: &dyn Carrier,
        cancel: &CancellationToken,
        request: Request,
        limits: CallLimits,
    ) -> Result<Option<Fetched>, FetchError> {
        self.buy(Way::Over(carrier), cancel, &request, &limits).await
    }

    /// As [`Client::resume`], over a carrier.
    ///
    /// # Errors
    /// [`FetchError`]
    pub async fn resume_over(
        &self,
        carrier: &dyn Carrier,
        request: &Request,
        purchase: &PurchaseId,
    ) -> Result<Fetched, FetchError> {
        self.resume_by(Way::Over(carrier), request, purchase).await
    }

    /// As [`Client::probe`], over a carrier.
    ///
    /// # Errors
    /// [`FetchError`]
    pub async fn probe_over(
        &self,
        carrier: &dyn Carrier,
        request: &Request,
        limits: &CallLimits,
    ) -> Result<Probe, FetchError> {
        self.probe_by(Way::Over(carrier), request, limits).await
    }

    async fn buy(
        &self,
        way: Way<'_>,
        cancel: &CancellationToken,
        request: &Request,
        limits: &CallLimits,
    ) -> Result<Option<Fetched>, FetchError> {
        let asked = match cancel.run_until_cancelled(self.asked(way, request)).await {
            Some(asked) if !cancel.is_cancelled() => asked?,
            _ => return Ok(None),
        };
        let challenge = match asked {
            Asked::Free(answer) => return Ok(Some(free(answer))),
            Asked::Priced(challenge) => challenge,
        };
        let authorization = self.authorize(request, &challenge, limits).await?;
        self.pay(way, request, authorization).await.map(Some)
    }

    pub(crate) async fn ask_over(
        &self,
        carrier: &dyn Carrier,
        request: &Request,
    ) -> Result<Response, FetchError> {
        self.answer_over(request, carrier.carry(None)).await.map(Response::from)
    }

    /// Waits for an answer that does not come over plain HTTP: as long as for one that does. Why none came is told in the
    /// carrier's words, unless the name led to where nothing is called, which they may not tell.
    ///
    /// # Errors
    /// [`FetchError::TimedOut`], [`FetchError::Unanswered`], [`FetchError::OutOfReach`]
    pub async fn answer_over<T>(
        &self,
        request: &Request,
        answer: impl Future<Output = Result<T, String>>,
    ) -> Result<T, FetchError> {
        match tokio::time::timeout(self.config.timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(self.unanswered_over(request, why).await),
            Err(_) => {
                let url = request.recorded_url();
                Err(FetchError::TimedOut { url, seconds: self.config.timeout.as_secs() })
            }
        }
    }

    async fn unanswered_over(&self, request: &Request, why: String) -> FetchError {
        let looked_up =
            tokio::time::timeout(self.config.timeout, self.config.reach.look_up(&request.url)).await;
        match looked_up {
            Ok(Err(out_of_reach)) => out_of_reach.into(),
            _ => FetchError::Unanswered { url: request.recorded_url(), why },
        }
    }
}
