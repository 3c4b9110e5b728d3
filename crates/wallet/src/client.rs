use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_ambient::{causes, fault};
use farthing_http::{OutOfReach, Reach};
use farthing_ledger::{Outcome, Purchase, PurchaseId};
use farthing_money::Asset;
use farthing_policy::{Limit, Usage};
use farthing_protocol::x402::{self, SettleResponse};
use farthing_protocol::{Challenge, MAX_BODY_BYTES};
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode};
use reqwest::Response;
use tokio_util::task::TaskTracker;

use crate::carry::Way;
use crate::{
    Appraisal, Authorization, BodyStore, CallLimits, CutOff, FetchError, Observer, Request, Step, Wallet,
};

/// How the client speaks HTTP.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// How long one request may take until its answer begins, and how long its body may pause.
    pub timeout: Duration,
    /// Where paid bodies are kept.
    pub bodies: BodyStore,
    /// Hosts that are paid over plain HTTP although they are not this machine.
    pub plain_http_hosts: Vec<String>,
    /// What may be called at all: everything where a person says what is called, less where an agent does.
    pub reach: Reach,
    /// For how long the rest of a paid body that is passed on ([`Client::pass`]) is still read when its reader has left.
    pub rest_timeout: Duration,
}

impl Default for ClientConfig {
    /// 60 seconds; bodies up to 1 GiB under the current folder; everything may be called; five minutes for the rest.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            bodies: BodyStore::new(".", 1 << 30),
            plain_http_hosts: Vec::new(),
            reach: Reach::anywhere(),
            rest_timeout: Duration::from_secs(300),
        }
    }
}

/// Calls paid and free APIs.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) wallet: Arc<dyn Wallet>,
    http: reqwest::Client,
    /// For plain http on this machine: whatever proxy the environment names, such a request does not leave it. Without
    /// certificates, whose reading takes longer than all the rest.
    direct: reqwest::Client,
    pub(crate) config: ClientConfig,
    observer: Option<Arc<dyn Observer>>,
    /// Paid calls that go on whether anybody waits for them or not.
    pub(crate) passing: TaskTracker,
}

/// An answer.
#[derive(Debug)]
pub struct Fetched {
    /// The HTTP status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The answer's body.
    pub body: FetchedBody,
    /// What was paid; none for a free call.
    pub payment: Option<PaidCall>,
}

/// Where the body is.
#[derive(Debug)]
pub enum FetchedBody {
    /// Still on its way: a free call's.
    Stream(Response),
    /// Kept: a paid call's.
    Kept {
        /// The file.
        path: std::path::PathBuf,
        /// Its length.
        bytes: u64,
        /// Why it is not the whole body.
        cut_off: Option<CutOff>,
    },
}

/// What is known about the payment when the answer is there.
#[derive(Debug, Clone)]
pub struct PaidCall {
    /// The purchase as signed.
    pub purchase: Purchase,
    /// The asset.
    pub asset: Arc<Asset>,
    /// How it stands.
    pub outcome: Outcome,
    /// The seller's word on it.
    pub settlement: Option<SettleResponse>,
    /// What is used of every limit that it was taken from.
    pub used: Vec<(Limit, Usage)>,
}

/// What a call would cost.
#[derive(Debug)]
pub enum Probe {
    /// Nothing was asked for.
    Free(StatusCode, HeaderMap),
    /// Payment is asked for.
    Priced {
        /// What is asked.
        challenge: Challenge,
        /// What the wallet thinks of it.
        appraisal: Box<Appraisal>,
        /// Why [`Client::fetch`] would pay none of it, whatever the wallet thinks.
        refused: Option<FetchError>,
    },
}

/// What a seller says who is asked without a payment.
pub(crate) enum Asked {
    /// Nothing is asked for: this is the answer.
    Free(Response),
    /// Payment is asked for, and there is a place for what would come.
    Priced(Box<Challenge>),
}

/// How a call begins.
pub(crate) enum Opened {
    /// Nothing is asked for: this is the answer.
    Free(Response),
    /// A payment is signed, and not sent yet.
    Authorized(Box<Authorization>),
}

impl Client {
    /// Sets up the HTTP side. It follows no redirects: a 3xx is the answer.
    ///
    /// # Errors
    /// [`FetchError::Setup`] when the platform's certificates cannot be used.
    pub fn new(wallet: Arc<dyn Wallet>, config: ClientConfig) -> Result<Self, FetchError> {
        let builder = || -> Result<_, FetchError> {
            let client = farthing_http::caller().map_err(|why| FetchError::Setup(causes(&why)))?;
            let client = client.user_agent(concat!("farthing/", env!("CARGO_PKG_VERSION")));
            let client = client.connect_timeout(connect_timeout(&config)).read_timeout(config.timeout);
            Ok(config.reach.bound(client))
        };
        let failed = |error: reqwest::Error| FetchError::Setup(causes(&error));
        let http = builder()?.build().map_err(failed)?;
        let direct = builder()?.no_proxy().build().map_err(failed)?;
        Ok(Self { wallet, http, direct, config, observer: None, passing: TaskTracker::new() })
    }

    /// The same client, which tells how far its calls have come.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    pub(crate) fn tell(&self, step: Step<'_>) {
        if let Some(observer) = &self.observer {
            observer.step(step);
        }
    }

    /// Makes the call, paying if the seller asks and the wallet allows.
    ///
    /// # Errors
    /// [`FetchError`]; it says whether a payment left the machine.
    pub async fn fetch(&self, request: Request, limits: CallLimits) -> Result<Fetched, FetchError> {
        match self.open(&request, &limits).await? {
            Opened::Free(answer) => Ok(free(answer)),
            Opened::Authorized(authorization) => self.pay(Way::Http, &request, *authorization).await,
        }
    }

    /// Asks, and has a payment signed if one is asked for.
    pub(crate) async fn open(&self, request: &Request, limits: &CallLimits) -> Result<Opened, FetchError> {
        let challenge = match self.asked(Way::Http, request).await? {
            Asked::Free(answer) => return Ok(Opened::Free(answer)),
            Asked::Priced(challenge) => challenge,
        };
        let authorization = self.authorize(request, &challenge, limits).await?;
        Ok(Opened::Authorized(Box::new(authorization)))
    }

    /// Asks without a payment. Nothing is decided, reserved or signed yet: who stops here has lost nothing.
    pub(crate) async fn asked(&self, way: Way<'_>, request: &Request) -> Result<Asked, FetchError> {
        let answer = self.ask(way, request).await?;
        if answer.status() != StatusCode::PAYMENT_REQUIRED {
            return Ok(Asked::Free(answer));
        }
        self.refuse_plain_http(request)?;
        let challenge = self.read_challenge(request, answer).await?;
        fault::point("wallet.asked");
        self.ready_to_keep().await?;
        Ok(Asked::Priced(Box::new(challenge)))
    }

    /// Has a payment signed. Who begins with this stays until its end: what is reserved would stay reserved.
    pub(crate) async fn authorize(
        &self,
        request: &Request,
        challenge: &Challenge,
        limits: &CallLimits,
    ) -> Result<Authorization, FetchError> {
        self.tell(Step::Deciding);
        Ok(self.wallet.authorize(request, challenge, limits).await?)
    }

    /// Sends the payment of an earlier purchase of the same request again.
    ///
    /// # Errors
    /// [`FetchError`]
    pub async fn resume(&self, request: Request, purchase: &PurchaseId) -> Result<Fetched, FetchError> {
        self.resume_by(Way::Http, &request, purchase).await
    }

    pub(crate) async fn resume_by(
        &self,
        way: Way<'_>,
        request: &Request,
        purchase: &PurchaseId,
    ) -> Result<Fetched, FetchError> {
        let authorization = self.reopen(request, purchase).await?;
        self.pay(way, request, authorization).await
    }

    /// The payment that was signed for an earlier purchase, to be sent again.
    pub(crate) async fn reopen(
        &self,
        request: &Request,
        purchase: &PurchaseId,
    ) -> Result<Authorization, FetchError> {
        self.check(request)?;
        self.refuse_plain_http(request)?;
        self.ready_to_keep().await?;
        Ok(self.wallet.resume(request, purchase).await?)
    }

    /// Asks for the price. Never pays.
    ///
    /// # Errors
    /// [`FetchError`]
    pub async fn probe(&self, request: &Request, limits: &CallLimits) -> Result<Probe, FetchError> {
        self.probe_by(Way::Http, request, limits).await
    }

    pub(crate) async fn probe_by(
        &self,
        way: Way<'_>,
        request: &Request,
        limits: &CallLimits,
    ) -> Result<Probe, FetchError> {
        let answer = self.ask(way, request).await?;
        if answer.status() != StatusCode::PAYMENT_REQUIRED {
            return Ok(Probe::Free(answer.status(), answer.headers().clone()));
        }
        let challenge = self.read_challenge(request, answer).await?;
        self.tell(Step::Deciding);
        let appraisal = Box::new(self.wallet.appraise(request, &challenge, limits).await?);
        Ok(Probe::Priced { challenge, appraisal, refused: self.refuse_plain_http(request).err() })
    }

    /// How long one request may take until its answer begins.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// Whether a request may be sent at all, as far as can be told before anything is connected to.
    ///
    /// # Errors
    /// [`FetchError::BadHeader`], [`FetchError::OutOfReach`]
    pub fn check(&self, request: &Request) -> Result<(), FetchError> {
        request.check_headers()?;
        Ok(self.config.reach.check(&request.url)?)
    }

    async fn ask(&self, way: Way<'_>, request: &Request) -> Result<Response, FetchError> {
        self.check(request)?;
        self.tell(Step::Asking);
        match way {
            Way::Http => self.ask_http(request).await,
            Way::Over(carrier) => self.ask_over(carrier, request).await,
        }
    }

    async fn ask_http(&self, request: &Request) -> Result<Response, FetchError> {
        let url = request.recorded_url();
        let timed_out = |url| FetchError::TimedOut { url, seconds: self.config.timeout.as_secs() };
        match tokio::time::timeout(self.config.timeout, self.build(request).send()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_timeout() && error.is_connect() => {
                Err(FetchError::Unanswered { url, why: self.no_connection() })
            }
            Ok(Err(error)) if error.is_timeout() => Err(timed_out(url)),
            Ok(Err(error)) => Err(unanswered(url, error)),
            Err(_) => Err(timed_out(url)),
        }
    }

    pub(crate) fn no_connection(&self) -> String {
        format!("could not connect within {} s", connect_timeout(&self.config).as_secs_f32())
    }

    async fn read_challenge(&self, request: &Request, answer: Response) -> Result<Challenge, FetchError> {
        let url = request.recorded_url();
        let header = answer.headers().get(x402::PAYMENT_REQUIRED).map(|value| value.as_bytes().to_vec());
        let body = match tokio::time::timeout(self.config.timeout, read_bounded(answer)).await {
            Ok(body) => body.map_err(|why| FetchError::Unanswered { url: url.clone(), why })?,
            Err(_) => return Err(FetchError::TimedOut { url, seconds: self.config.timeout.as_secs() }),
        };
        Challenge::read(header.as_deref(), &body).map_err(|source| FetchError::BadChallenge { url, source })
    }

    /// What cannot be kept is not bought.
    async fn ready_to_keep(&self) -> Result<(), FetchError> {
        self.config.bodies.ready().await.map_err(|error| FetchError::NoPlace(error.to_string()))
    }

    /// What speaks HTTP to an address: it follows no redirect, and keeps within [`ClientConfig::reach`] where names
    /// lead. Whether the address itself is within is for the caller to check.
    #[must_use]
    pub fn http_for(&self, request: &Request) -> &reqwest::Client {
        let within = request.is_loopback() && request.url.scheme() == "http";
        if within { &self.direct } else { &self.http }
    }

    pub(crate) fn build(&self, request: &Request) -> reqwest::RequestBuilder {
        self.http_for(request)
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone())
    }

    fn refuse_plain_http(&self, request: &Request) -> Result<(), FetchError> {
        let host = request.host();
        let allowed = request.url.scheme() == "https"
            || request.is_loopback()
            || self.config.plain_http_hosts.contains(&host);
        if allowed { Ok(()) } else { Err(FetchError::PlainHttp(host)) }
    }
}

/// No answer came; it may be that the name led to where nothing is called.
fn unanswered(url: String, error: reqwest::Error) -> FetchError {
    match OutOfReach::behind(&error) {
        Some(out_of_reach) => out_of_reach.clone().into(),
        None => FetchError::Unanswered { url, why: causes(&error.without_url()) },
    }
}

/// Connecting takes a fraction of a second, or is not going to succeed. It ends before the request's own timeout, so
/// that it is known whether anything was sent.
fn connect_timeout(config: &ClientConfig) -> Duration {
    (config.timeout * 3 / 4).min(Duration::from_secs(10))
}

pub(crate) fn free(answer: Response) -> Fetched {
    Fetched {
        status: answer.status(),
        headers: answer.headers().clone(),
        body: FetchedBody::Stream(answer),
        payment: None,
    }
}

/// Reads one byte more than is ever decoded, so that a longer body is noticed and not waited for.
async fn read_bounded(answer: Response) -> Result<Bytes, String> {
    let mut stream = answer.bytes_stream();
    let mut body = Vec::new();
    while let Some(chunk) = stream.next().await {
        body.extend_from_slice(&chunk.map_err(|error| causes(&error.without_url()))?);
        if body.len() > MAX_BODY_BYTES {
            break;
        }
    }
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `localhost` stands for a name that leads inside without saying so; [`Client::check`] would see this one.
    #[tokio::test]
    async fn a_name_that_leads_inside_is_out_of_reach_and_not_silent() {
        let http = |reach: Reach| reach.bound(farthing_http::caller().unwrap().no_proxy()).build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://localhost:{}/?key=s3cret", listener.local_addr().unwrap().port());
        let error = http(Reach::public()).get(&url).send().await.unwrap_err();
        let error = unanswered(url.clone(), error);
        assert!(
            matches!(&error, FetchError::OutOfReach(refused) if refused.what == "this machine"),
            "{error}"
        );
        drop(listener);
        let error = http(Reach::anywhere()).get(&url).send().await.unwrap_err();
        assert!(matches!(unanswered(url, error), FetchError::Unanswered { .. }));
    }
}
