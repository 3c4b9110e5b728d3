use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_ambient::fault;
use farthing_ledger::{Outcome, Purchase, PurchaseId, PurchaseState, ResponseRecord};
use farthing_money::Asset;
use farthing_policy::{Limit, Usage};
use farthing_protocol::x402::{self, Reason, SettleResponse};
use farthing_protocol::{Challenge, MAX_BODY_BYTES};
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode};
use reqwest::Response;

use crate::{
    Appraisal, Authorization, BodyStore, CallLimits, FetchError, KeptBody, PurchaseResult, Request, Wallet,
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
}

impl Default for ClientConfig {
    /// 60 seconds; bodies up to 1 GiB under the current folder.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            bodies: BodyStore::new(".", 1 << 30),
            plain_http_hosts: Vec::new(),
        }
    }
}

/// Calls paid and free APIs.
#[derive(Debug, Clone)]
pub struct Client {
    wallet: Arc<dyn Wallet>,
    http: reqwest::Client,
    /// For plain http on this machine: whatever proxy the environment names, such a request does not leave it. Without
    /// certificates, whose reading takes longer than all the rest.
    direct: reqwest::Client,
    config: ClientConfig,
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
        cut_off: Option<String>,
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
    },
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// How often a seller who is still at work on a payment may ask for it again.
const ASKED_AGAIN_AT_MOST: u32 = 5;

/// The longest pause that a seller may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How many characters of a seller's words on a refusal are kept.
const LONGEST_WORDS: usize = 300;

/// The pauses before the same payment is sent again after a broken connection.
const RESEND_AFTER: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

impl Client {
    /// Sets up the HTTP side. It follows no redirects: a 3xx is the answer.
    ///
    /// # Errors
    /// [`FetchError::Setup`] when the platform's certificates cannot be used.
    pub fn new(wallet: Arc<dyn Wallet>, config: ClientConfig) -> Result<Self, FetchError> {
        // The first caller in a process chooses; a second choice of the same provider changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("farthing/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(config.timeout.min(Duration::from_secs(10)))
                .read_timeout(config.timeout)
        };
        let failed = |error: reqwest::Error| FetchError::Setup(error_chain(&error));
        let http = builder().build().map_err(failed)?;
        let direct = builder().no_proxy().tls_certs_only([]).build().map_err(failed)?;
        fault::point("wallet.asked");
        Ok(Self { wallet, http, direct, config })
    }

    /// Makes the call, paying if the seller asks and the wallet allows.
    ///
    /// # Errors
    /// [`FetchError`]; it says whether a payment left the machine.
    pub async fn fetch(&self, request: Request, limits: CallLimits) -> Result<Fetched, FetchError> {
        let answer = self.ask(&request).await?;
        if answer.status() != StatusCode::PAYMENT_REQUIRED {
            return Ok(free(answer));
        }
        self.refuse_plain_http(&request)?;
        let challenge = self.read_challenge(&request, answer).await?;
        self.ready_to_keep().await?;
        let authorization = self.wallet.authorize(&request, &challenge, &limits).await?;
        self.pay(&request, authorization).await
    }

    /// Sends the payment of an earlier purchase of the same request again.
    ///
    /// # Errors
    /// [`FetchError`]
    pub async fn resume(&self, request: Request, purchase: &PurchaseId) -> Result<Fetched, FetchError> {
        request.check_headers()?;
        self.refuse_plain_http(&request)?;
        self.ready_to_keep().await?;
        let authorization = self.wallet.resume(&request, purchase).await?;
        self.pay(&request, authorization).await
    }

    /// Asks for the price. Never pays.
    ///
    /// # Errors
    /// [`FetchError`]
    pub async fn probe(&self, request: &Request, limits: &CallLimits) -> Result<Probe, FetchError> {
        let answer = self.ask(request).await?;
        if answer.status() != StatusCode::PAYMENT_REQUIRED {
            return Ok(Probe::Free(answer.status(), answer.headers().clone()));
        }
        let challenge = self.read_challenge(request, answer).await?;
        let appraisal = Box::new(self.wallet.appraise(request, &challenge, limits).await?);
        Ok(Probe::Priced { challenge, appraisal })
    }

    async fn ask(&self, request: &Request) -> Result<Response, FetchError> {
        request.check_headers()?;
        let url = request.recorded_url();
        let seconds = self.config.timeout.as_secs();
        match tokio::time::timeout(self.config.timeout, self.build(request).send()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_timeout() => Err(FetchError::TimedOut { url, seconds }),
            Ok(Err(error)) => Err(FetchError::Unanswered { url, why: error_chain(&error.without_url()) }),
            Err(_) => Err(FetchError::TimedOut { url, seconds }),
        }
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

    fn build(&self, request: &Request) -> reqwest::RequestBuilder {
        let within = request.is_loopback() && request.url.scheme() == "http";
        let http = if within { &self.direct } else { &self.http };
        http.request(request.method.clone(), request.url.clone())
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

    async fn pay(&self, request: &Request, authorization: Authorization) -> Result<Fetched, FetchError> {
        let id = authorization.purchase.terms.id.clone();
        fault::point("wallet.before_send");
        match self.send_paid(request, &authorization).await {
            Ok(answer) => self.keep(answer, authorization).await,
            Err(why) => {
                let outcome = Outcome::Unknown { why: format!("no answer: {why}") };
                if let Err(error) = self.wallet.record(&id, PurchaseResult { response: None, outcome }).await
                {
                    // Signed is as good as unknown: it stays reserved, and can be resumed and reconciled.
                    tracing::warn!(purchase = %id, %error, "the lost answer could not be recorded");
                }
                Err(FetchError::Lost { purchase: id, why })
            }
        }
    }

    /// Sends the request with its payment, and the same bytes again while the seller asks for it.
    async fn send_paid(&self, request: &Request, authorization: &Authorization) -> Result<Response, String> {
        let mut answer = self.send_through(request, authorization).await?;
        for _ in 0..ASKED_AGAIN_AT_MOST {
            let Some(pause) = asked_again(&answer) else { break };
            tokio::time::sleep(pause).await;
            answer = self.send_through(request, authorization).await?;
        }
        Ok(answer)
    }

    /// Sends the payment once. A broken connection is tried again; a timeout is not, because the seller may be at work
    /// on it.
    async fn send_through(
        &self,
        request: &Request,
        authorization: &Authorization,
    ) -> Result<Response, String> {
        let mut pauses = RESEND_AFTER.into_iter();
        loop {
            let error =
                match tokio::time::timeout(self.config.timeout, self.paid(request, authorization).send())
                    .await
                {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(error)) if error.is_timeout() => return Err("it took too long".to_owned()),
                    Ok(Err(error)) => error_chain(&error.without_url()),
                    Err(_) => return Err(format!("nothing came within {} s", self.config.timeout.as_secs())),
                };
            let Some(pause) = pauses.next() else { return Err(error) };
            tracing::debug!(purchase = %authorization.purchase.terms.id, error, "sending the same payment again");
            tokio::time::sleep(pause).await;
        }
    }

    /// The request with its payment. The purchase's id, which nobody else knows, goes along as the idempotency key: a
    /// payment can be read off the chain once it is settled, and only the key shows whose retry it is.
    fn paid(&self, request: &Request, authorization: &Authorization) -> reqwest::RequestBuilder {
        let paid = self.build(request).header(&authorization.header_name, &authorization.header_value);
        if request.headers.contains_key(IDEMPOTENCY_KEY) {
            return paid;
        }
        paid.header(IDEMPOTENCY_KEY, &authorization.purchase.terms.id.0)
    }

    async fn keep(&self, answer: Response, authorization: Authorization) -> Result<Fetched, FetchError> {
        let Authorization { purchase, asset, used, .. } = authorization;
        let id = purchase.terms.id.clone();
        let (status, headers) = (answer.status(), answer.headers().clone());
        fault::point("wallet.answered");
        let settlement = read_settlement(&headers);
        let kept = self.config.bodies.keep(&id, answer.bytes_stream()).await;
        let refusal = self.refusal(status, &headers, &kept).await;
        let outcome = judge(&purchase, status, settlement.as_ref(), refusal);
        // The record holds one answer: a failure neither takes the place of a success, nor of the one that a paid
        // purchase still waits for. Such an answer is only kept.
        let paid_before = purchase.state == PurchaseState::Paid;
        let answered = purchase.response.as_ref().is_some_and(|known| known.status < 400);
        let recorded = !(failed(status) && (paid_before || answered));
        let response = kept.as_ref().ok().filter(|_| recorded).map(|kept| ResponseRecord {
            status: status.as_u16(),
            content_type: header_text(&headers, "content-type"),
            body_digest: kept.digest.clone(),
            body_bytes: kept.bytes,
            body_file: Some(kept.file.clone()),
            settlement: settlement.as_ref().and_then(|settlement| serde_json::to_string(settlement).ok()),
        });
        let outcome = match self.wallet.record(&id, PurchaseResult { response, outcome }).await {
            Ok(outcome) => outcome,
            Err(source) => return Err(FetchError::NotRecorded { purchase: id, source }),
        };
        let kept = kept.map_err(|error| FetchError::NotKept { purchase: id, why: error.to_string() })?;
        let path = self.config.bodies.path(&kept.file);
        let body = FetchedBody::Kept { path, bytes: kept.bytes, cut_off: kept.cut_off };
        Ok(Fetched {
            status,
            headers,
            body,
            payment: Some(PaidCall { purchase, asset, outcome, settlement, used }),
        })
    }

    /// Why a seller who answers a payment with 402 again did not take it, in his words.
    async fn refusal(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        kept: &std::io::Result<KeptBody>,
    ) -> Option<String> {
        let kept = kept.as_ref().ok().filter(|kept| kept.bytes <= MAX_BODY_BYTES as u64)?;
        if status != StatusCode::PAYMENT_REQUIRED {
            return None;
        }
        let body = tokio::fs::read(self.config.bodies.path(&kept.file)).await.ok()?;
        let header = headers.get(x402::PAYMENT_REQUIRED).map(|value| value.as_bytes());
        let words = Challenge::read(header, &body).ok()?.error?;
        Some(words.chars().take(LONGEST_WORDS).flat_map(char::escape_debug).collect())
    }
}

/// Whether the answer is not what was asked for.
pub(crate) fn failed(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

fn free(answer: Response) -> Fetched {
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
        body.extend_from_slice(&chunk.map_err(|error| error_chain(&error.without_url()))?);
        if body.len() > MAX_BODY_BYTES {
            break;
        }
    }
    Ok(body.into())
}

/// The pause after which the seller wants the same payment again: it is still being served or settled.
fn asked_again(answer: &Response) -> Option<Duration> {
    let at_work = matches!(answer.status(), StatusCode::CONFLICT | StatusCode::GATEWAY_TIMEOUT);
    let settled = read_settlement(answer.headers()).is_some_and(|settlement| settlement.success);
    let seconds = header_text(answer.headers(), "retry-after")?.parse().ok()?;
    (at_work && !settled).then(|| Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

fn read_settlement(headers: &HeaderMap) -> Option<SettleResponse> {
    [x402::PAYMENT_RESPONSE, x402::X_PAYMENT_RESPONSE].into_iter().find_map(|name| {
        let value = headers.get(name)?;
        x402::decode_header::<SettleResponse>("PAYMENT-RESPONSE", value.as_bytes())
            .inspect_err(|error| tracing::warn!(%error, "the seller's word on the settlement cannot be read"))
            .ok()
    })
}

/// How a purchase stands after its answer. The seller's yes is believed, because it only costs us; the seller's no is
/// not, because the signature is out and can be settled until it expires.
fn judge(
    purchase: &Purchase,
    status: StatusCode,
    settlement: Option<&SettleResponse>,
    refusal: Option<String>,
) -> Outcome {
    let Some(settlement) = settlement else {
        let why = match refusal {
            Some(words) => format!("the seller answered {status}: {words}"),
            None => format!("the seller answered {status} and did not say whether it settled"),
        };
        return Outcome::Unknown { why };
    };
    let network = settlement.network.parse::<farthing_money::Network>();
    let here = network.is_ok_and(|network| network == purchase.terms.network);
    if settlement.success && here && !settlement.transaction.is_empty() {
        return Outcome::Paid { transaction: Some(settlement.transaction.clone()) };
    }
    let reason = settlement.error_reason.as_ref().map_or("no reason", Reason::as_str);
    Outcome::Unknown {
        why: if settlement.success {
            "the seller says it settled, but names no transaction on this network".to_owned()
        } else {
            format!("the seller answered {status} and says it did not settle: {}", reason.escape_debug())
        },
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// An error with its causes, in one line.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
