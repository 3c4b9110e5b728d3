//! From a signed payment to a recorded answer.

use std::time::Duration;

use farthing_ambient::{causes, fault};
use farthing_ledger::{Outcome, Purchase, PurchaseId, PurchaseState, ResponseRecord};
use farthing_protocol::x402::{self, Reason, SettleResponse};
use farthing_protocol::{Challenge, MAX_BODY_BYTES};
use futures::TryStreamExt as _;
use http::{HeaderMap, StatusCode};
use reqwest::Response;

use crate::carry::Way;
use crate::client::{Fetched, FetchedBody, PaidCall};
use crate::pass::{Arriving, Reader};
use crate::{Authorization, Client, FetchError, KeptBody, PurchaseResult, Request, Step};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// How often a seller who is still at work on a payment may ask for it again.
const ASKED_AGAIN_AT_MOST: u32 = 5;

/// The longest pause that a seller may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How many characters of a seller's words on a refusal are kept.
const LONGEST_WORDS: usize = 300;

/// The pauses before the same payment is sent again after a broken connection.
const RESEND_AFTER: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// The head of the answer to a payment; its body is still on its way.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// How it stands by the head.
    pub(crate) payment: PaidCall,
    answer: Response,
}

/// Why a payment that was sent has no answer.
enum NoAnswer {
    /// The connection broke: the same payment may be sent again at once.
    Broke(String),
    /// Nothing comes. The seller may be at work on it.
    Late,
}

impl Client {
    pub(crate) async fn pay(
        &self,
        way: Way<'_>,
        request: &Request,
        authorization: Authorization,
    ) -> Result<Fetched, FetchError> {
        let answered = self.answered(way, request, authorization).await?;
        self.keep(answered, None).await
    }

    /// Sends the payment, and writes down what the head of the answer says of the money: a long body may break off, or
    /// be broken off.
    pub(crate) async fn answered(
        &self,
        way: Way<'_>,
        request: &Request,
        authorization: Authorization,
    ) -> Result<Answered, FetchError> {
        fault::point("wallet.before_send");
        let sent = self.send_paid(way, request, &authorization).await;
        let Authorization { purchase, asset, used, .. } = authorization;
        let answer = match sent {
            Ok(answer) => answer,
            Err(why) => return Err(self.lost(purchase.terms.id, why).await),
        };
        fault::point("wallet.answered");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let settlement = read_settlement(&headers);
        let outcome = judge(&purchase, status, settlement.as_ref(), None);
        let payment = PaidCall { purchase, asset, outcome, settlement, used };
        self.record_settled(&payment).await;
        Ok(Answered { status, headers, payment, answer })
    }

    /// No answer came: what was signed is out.
    async fn lost(&self, id: PurchaseId, why: String) -> FetchError {
        let outcome = Outcome::Unknown { why: format!("no answer: {why}") };
        if let Err(error) = self.wallet.record(&id, PurchaseResult { response: None, outcome }).await {
            // Signed is as good as unknown: it stays reserved, and can be resumed and reconciled.
            tracing::warn!(purchase = %id, %error, "the lost answer could not be recorded");
        }
        FetchError::Lost { purchase: id, why }
    }

    /// Sends the request with its payment, and the same bytes again while the seller asks for it.
    async fn send_paid(
        &self,
        way: Way<'_>,
        request: &Request,
        authorization: &Authorization,
    ) -> Result<Response, String> {
        self.tell(Step::Paying(&authorization.purchase));
        let mut answer = self.send_through(way, request, authorization).await?;
        for _ in 0..ASKED_AGAIN_AT_MOST {
            let Some(pause) = asked_again(&answer) else { break };
            self.tell(Step::SellerAtWork);
            tokio::time::sleep(pause).await;
            answer = self.send_through(way, request, authorization).await?;
        }
        Ok(answer)
    }

    /// Sends the payment until it is answered. A broken connection is tried again; a timeout is not, because the seller
    /// may be at work on it.
    async fn send_through(
        &self,
        way: Way<'_>,
        request: &Request,
        authorization: &Authorization,
    ) -> Result<Response, String> {
        let mut pauses = RESEND_AFTER.into_iter();
        loop {
            let error = match self.send_once(way, request, authorization).await {
                Ok(answer) => return Ok(answer),
                Err(NoAnswer::Late) => return Err(self.too_long()),
                Err(NoAnswer::Broke(why)) => why,
            };
            let Some(pause) = pauses.next() else { return Err(error) };
            tracing::debug!(purchase = %authorization.purchase.terms.id, error, "sending the same payment again");
            self.tell(Step::Again);
            tokio::time::sleep(pause).await;
        }
    }

    async fn send_once(
        &self,
        way: Way<'_>,
        request: &Request,
        authorization: &Authorization,
    ) -> Result<Response, NoAnswer> {
        let sending = async {
            match way {
                Way::Http => {
                    self.paid(request, authorization).send().await.map_err(|error| self.no_answer(error))
                }
                Way::Over(carrier) => {
                    let carried = carrier.carry(Some(&authorization.header_value)).await;
                    carried.map(Response::from).map_err(NoAnswer::Broke)
                }
            }
        };
        tokio::time::timeout(self.config.timeout, sending).await.unwrap_or(Err(NoAnswer::Late))
    }

    fn no_answer(&self, error: reqwest::Error) -> NoAnswer {
        match () {
            // Nothing was sent yet, so that it can be sent again.
            () if error.is_timeout() && error.is_connect() => NoAnswer::Broke(self.no_connection()),
            () if error.is_timeout() => NoAnswer::Late,
            () => NoAnswer::Broke(causes(&error.without_url())),
        }
    }

    pub(crate) fn too_long(&self) -> String {
        format!("nothing came within {} s", self.config.timeout.as_secs())
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

    /// Keeps the body and writes down what came back. `reader` gets the body while it comes.
    pub(crate) async fn keep(
        &self,
        answered: Answered,
        reader: Option<Reader>,
    ) -> Result<Fetched, FetchError> {
        let Answered { status, headers, payment, answer } = answered;
        let PaidCall { purchase, settlement, .. } = &payment;
        let id = purchase.terms.id.clone();
        // The reader's end comes when all is written down.
        let mut arriving = Arriving::new(answer, reader, self.config.rest_timeout);
        let kept = self.keep_body(&id, &mut arriving).await;
        fault::point("wallet.kept");
        let refusal = self.refusal(status, &headers, &kept).await;
        let outcome = judge(purchase, status, settlement.as_ref(), refusal);
        let response = kept
            .as_ref()
            .ok()
            .filter(|_| stands_in_receipt(purchase, status))
            .map(|kept| response_record(status, &headers, kept, settlement.as_ref()));
        let path = |kept: &KeptBody| self.config.bodies.path(&kept.file);
        let outcome = match self.wallet.record(&id, PurchaseResult { response, outcome }).await {
            Ok(outcome) => outcome,
            Err(source) => {
                let file = kept.as_ref().ok().map(path);
                return Err(FetchError::NotRecorded { purchase: id, file, source: Box::new(source) });
            }
        };
        let kept = match kept {
            Ok(kept) => kept,
            Err(error) => return Err(FetchError::NotKept { purchase: id, outcome, why: error.to_string() }),
        };
        let body = FetchedBody::Kept { path: path(&kept), bytes: kept.bytes, cut_off: kept.cut_off };
        Ok(Fetched { status, headers, body, payment: Some(PaidCall { outcome, ..payment }) })
    }

    /// Writes the settlement down that the headers tell of. What is not told in them is told with the body.
    async fn record_settled(&self, payment: &PaidCall) {
        let (id, outcome) = (&payment.purchase.terms.id, payment.outcome.clone());
        if !matches!(outcome, Outcome::Paid { .. }) {
            return;
        }
        if let Err(error) = self.wallet.record(id, PurchaseResult { response: None, outcome }).await {
            // It is tried again with the body, and then it is an error.
            tracing::warn!(purchase = %id, %error, "the settlement could not be recorded");
        }
    }

    async fn keep_body(&self, id: &PurchaseId, arriving: &mut Arriving) -> std::io::Result<KeptBody> {
        let kept = match self.config.bodies.begin(id).await {
            Ok(draft) => {
                self.tell(Step::Keeping(&draft.path()));
                let mut came = 0u64;
                let body = arriving.pieces().inspect_ok(|piece| {
                    came = came.saturating_add(piece.len() as u64);
                    self.tell(Step::Receiving(came));
                });
                draft.keep(body).await
            }
            Err(error) => Err(error),
        };
        // What could not be kept, or not all of it, still goes to whom it is for.
        arriving.pass_the_rest().await;
        kept
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
        Some(cut(&words))
    }
}

/// A seller's words, cut to what is kept of them. Whoever shows them makes them safe for his medium.
fn cut(words: &str) -> String {
    words.chars().take(LONGEST_WORDS).collect()
}

/// Whether the record holds this answer. It holds one: a failure neither takes the place of a success, nor of the one
/// that a paid purchase still waits for. Such an answer is only kept.
fn stands_in_receipt(before: &Purchase, status: StatusCode) -> bool {
    let answered = before.response.as_ref().is_some_and(|known| known.status < 400);
    !(failed(status) && (before.state == PurchaseState::Paid || answered))
}

fn response_record(
    status: StatusCode,
    headers: &HeaderMap,
    kept: &KeptBody,
    settlement: Option<&SettleResponse>,
) -> ResponseRecord {
    ResponseRecord {
        status: status.as_u16(),
        content_type: header_text(headers, "content-type"),
        body_digest: kept.digest.clone(),
        body_bytes: kept.bytes,
        body_file: Some(kept.file.clone()),
        settlement: settlement.and_then(|settlement| serde_json::to_string(settlement).ok()),
    }
}

/// Whether the answer is not what was asked for.
pub(crate) fn failed(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
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
    let why = if settlement.success {
        "the seller says it settled, but names no transaction on this network".to_owned()
    } else if let Some(transaction) = settlement.pending_transaction() {
        let transaction = cut(transaction);
        format!("the seller answered {status}: the settlement is pending, transaction {transaction}")
    } else {
        let reason = settlement.error_reason.as_ref().map_or("no reason", Reason::as_str);
        format!("the seller answered {status} and says it did not settle: {}", cut(reason))
    };
    Outcome::Unknown { why }
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
