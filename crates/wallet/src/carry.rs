//! Paying for what is not asked for over plain HTTP: a tool of an MCP server, for one.

use async_trait::async_trait;
use bytes::Bytes;
use farthing_ambient::fault;
use http::StatusCode;
use reqwest::Response;

use crate::client::{Fetched, Opened, Probe, free};
use crate::{CallLimits, Client, FetchError, Request, Step};

/// Carries one request to its seller, without a payment or with one. Its answers are what HTTP's would be: 402 with a
/// `PAYMENT-REQUIRED` header or a body of x402 version 1; else an answer, with a `PAYMENT-RESPONSE` header where the
/// seller says what became of the payment.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Sends the request. `payment` is what the header would hold: base64 of JSON. A retry sends the same.
    ///
    /// # Errors
    /// Why no answer came, in words.
    async fn carry(&self, payment: Option<&str>) -> Result<http::Response<Bytes>, String>;
}

impl Client {
    /// As [`Client::fetch`]. `request` is what is judged and recorded; the carrier must send that and nothing else.
    ///
    /// # Errors
    /// [`FetchError`]; it says whether a payment left the machine.
    pub async fn fetch_over(
        &self,
        carrier: &dyn Carrier,
        request: Request,
        limits: CallLimits,
    ) -> Result<Fetched, FetchError> {
        let answer = self.ask_over(carrier, &request).await?;
        let authorization = match self.opened(&request, &limits, answer).await? {
            Opened::Free(answer) => return Ok(free(answer)),
            Opened::Authorized(authorization) => *authorization,
        };
        fault::point("wallet.before_send");
        self.tell(Step::Paying(&authorization.purchase));
        let sent = self.carried(carrier, Some(&authorization.header_value)).await;
        let answered = self.answered_by(sent, authorization).await?;
        self.keep(answered, None).await
    }

    /// As [`Client::probe`].
    ///
    /// # Errors
    /// [`FetchError`]
    pub async fn probe_over(
        &self,
        carrier: &dyn Carrier,
        request: &Request,
        limits: &CallLimits,
    ) -> Result<Probe, FetchError> {
        let answer = self.ask_over(carrier, request).await?;
        if answer.status() != StatusCode::PAYMENT_REQUIRED {
            return Ok(Probe::Free(answer.status(), answer.headers().clone()));
        }
        self.priced(request, limits, answer).await
    }

    async fn ask_over(&self, carrier: &dyn Carrier, request: &Request) -> Result<Response, FetchError> {
        self.check(request)?;
        self.tell(Step::Asking);
        let asked = self.carried(carrier, None).await;
        asked.map_err(|why| FetchError::Unanswered { url: request.recorded_url(), why })
    }

    async fn carried(&self, carrier: &dyn Carrier, payment: Option<&str>) -> Result<Response, String> {
        match tokio::time::timeout(self.config.timeout, carrier.carry(payment)).await {
            Ok(answer) => answer.map(Response::from),
            Err(_) => Err(self.too_long()),
        }
    }
}
