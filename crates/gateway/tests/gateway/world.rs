//! A facilitator that follows a script, a buyer that signs anything, and an API that counts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use farthing_ambient::{Clock, TestClock};
use farthing_facilitator::{Facilitate, FacilitatorError};
use farthing_gateway::{Config, Limits, Paid, PaymentLayer, Pricing};
use farthing_ledger::{Claim, ClaimState, Ledger};
use farthing_protocol::x402::{
    FacilitatorRequest, Payment, Reason, SettleResponse, SupportedResponse, VerifyResponse, decode_header,
};
use farthing_protocol::{Challenge, Offer, PaymentKey, Protocol};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::sync::Barrier;
use tower::{Layer as _, ServiceExt as _};

use crate::waiting::{Gate, eventually};

pub(crate) const PAYER: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
pub(crate) const PAYEE: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";

pub(crate) const YAML: &str = r#"
public_url: https://api.example.com
upstream: http://127.0.0.1:1
pay_to: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
accepts: [base-sepolia]
timeouts: {settle: 1s}
limits: {request_body: 1KB, response_buffer: 4KB}
routes:
  - {match: "GET /weather", price: "$0.002", description: The weather, mime_type: application/json}
  - {match: "GET /weather/{city}", price: "$0.002"}
  - {match: "POST /echo", price: "$0.01"}
  - {match: "GET /status/{code}", price: "$0.01"}
  - {match: "GET /gated/{code}", price: "$0.01"}
  - {match: "GET /never", price: "$0.01", timeout: 100ms}
  - {match: "GET /panic", price: "$0.01"}
  - {match: "GET /big", price: "$0.01"}
  - {match: "GET /forge", price: "$0.01"}
  - {match: "GET /upfront", price: "$0.05", flow: upfront}
  - {match: "GET /upfront/{code}", price: "$0.05", flow: upfront}
  - {match: "GET /upfront-gated/{code}", price: "$0.05", flow: upfront}
  - {match: "POST /upfront-echo", price: "$0.05", flow: upfront}
  - {match: "* /free/{*rest}", free: true}
  - match: "GET /two-offers"
    accepts:
      - {network: base-sepolia, price: "$0.03"}
      - {network: base-sepolia, price: "$0.04", pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"}
"#;

/// The same shop, which waits for a settlement as long as a slow machine may take.
pub(crate) fn patient() -> String {
    YAML.replace("settle: 1s", "settle: 20s")
}

// === the facilitator ===

#[derive(Debug, Clone)]
pub(crate) enum Settle {
    Refuse(Reason, &'static str),
    Pending,
    Down,
    Hang,
    Say(SettleResponse),
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    /// One answer each, then everything is valid.
    pub(crate) verify: Mutex<VecDeque<Result<VerifyResponse, FacilitatorError>>>,
    /// One answer each, then everything settles.
    pub(crate) settle: Mutex<VecDeque<Settle>>,
    pub(crate) verified: AtomicUsize,
    pub(crate) settled: AtomicUsize,
    /// Verifications meet here before they are answered, and settlements there.
    pub(crate) verify_meets: Mutex<Option<Arc<Barrier>>>,
    pub(crate) settle_meets: Mutex<Option<Arc<Barrier>>>,
}

pub(crate) fn transaction(key: &PaymentKey) -> String {
    format!("0x{}", hex::encode(key.eip3009_parts().unwrap().2))
}

pub(crate) fn down() -> FacilitatorError {
    FacilitatorError::Unreachable { at: "test".into(), why: "script".into() }
}

async fn meet(at: &Mutex<Option<Arc<Barrier>>>) {
    let meeting = at.lock().unwrap().clone();
    if let Some(meeting) = meeting {
        meeting.wait().await;
    }
}

fn key_of(request: &FacilitatorRequest) -> PaymentKey {
    PaymentKey::of(&request.requirements, request.payment.payload()).unwrap()
}

impl Script {
    pub(crate) fn settles(&self, steps: impl IntoIterator<Item = Settle>) {
        self.settle.lock().unwrap().extend(steps);
    }

    pub(crate) fn settled(&self) -> usize {
        self.settled.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Facilitate for Script {
    async fn verify(&self, _: &FacilitatorRequest) -> Result<VerifyResponse, FacilitatorError> {
        self.verified.fetch_add(1, Ordering::SeqCst);
        meet(&self.verify_meets).await;
        let next = self.verify.lock().unwrap().pop_front();
        let valid = VerifyResponse { is_valid: true, payer: Some(PAYER.into()), ..VerifyResponse::default() };
        next.unwrap_or(Ok(valid))
    }

    async fn settle(&self, request: &FacilitatorRequest) -> Result<SettleResponse, FacilitatorError> {
        meet(&self.settle_meets).await;
        let response = SettleResponse {
            success: true,
            payer: Some(PAYER.into()),
            transaction: transaction(&key_of(request)),
            network: "eip155:84532".into(),
            ..SettleResponse::default()
        };
        let step = self.settle.lock().unwrap().pop_front();
        let refused = |reason, transaction: String| SettleResponse {
            success: false,
            error_reason: Some(reason),
            transaction,
            ..response.clone()
        };
        match step {
            None => {
                self.settled.fetch_add(1, Ordering::SeqCst);
                Ok(response)
            }
            Some(Settle::Refuse(reason, transaction)) => Ok(refused(reason, transaction.into())),
            Some(Settle::Pending) => Ok(refused(Reason::SettlementPending, response.transaction.clone())),
            Some(Settle::Down) => Err(down()),
            Some(Settle::Hang) => std::future::pending().await,
            Some(Settle::Say(said)) => Ok(said),
        }
    }

    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        Ok(SupportedResponse::default())
    }
}

// === the API ===

/// How a stream goes on after its first piece.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Then {
    End,
    Break,
    Panic,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Api {
    pub(crate) served: Arc<AtomicUsize>,
    /// One for each stream, then they never end.
    pub(crate) streams: Arc<Mutex<VecDeque<Then>>>,
    pub(crate) last: Arc<Mutex<Option<(String, HeaderMap)>>>,
    /// Calls of `/gated` and `/upfront-gated` wait for it.
    pub(crate) gate: Gate,
}

impl Api {
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    pub(crate) fn streams(&self, each: impl IntoIterator<Item = Then>) {
        self.streams.lock().unwrap().extend(each);
    }

    pub(crate) fn router(&self) -> Router {
        let (api, streams, gate) = (self.clone(), self.streams.clone(), self.gate.clone());
        let gated = move |code: Path<u16>| async move {
            gate.passed().await;
            status(code).await
        };
        Router::new()
            .route("/weather", get(who))
            .route("/weather/{city}", get(who))
            .route("/two-offers", get(who))
            .route("/echo", post(|body: Bytes| async move { (StatusCode::CREATED, body) }))
            .route("/status/{code}", get(status))
            .route("/upfront/{code}", get(status))
            .route("/upfront", get(move || std::future::ready(stream(streams.lock().unwrap().pop_front()))))
            .route("/upfront-gated/{code}", get(gated.clone()))
            .route("/upfront-echo", post(|body: Body| async move { Response::new(body) }))
            .route("/gated/{code}", get(gated))
            .route("/never", get(std::future::pending::<()>))
            .route("/panic", get(panics))
            .route("/big", get(|| async { "x".repeat(5000) }))
            .route("/forge", get(forge))
            .fallback(|| async { "fallback" })
            .layer(axum::middleware::from_fn(move |request: Request, next: axum::middleware::Next| {
                api.served.fetch_add(1, Ordering::SeqCst);
                let seen = (request.uri().to_string(), request.headers().clone());
                *api.last.lock().unwrap() = Some(seen);
                next.run(request)
            }))
    }
}

async fn who(paid: Option<Extension<Paid>>) -> String {
    paid.map_or("nobody".into(), |Extension(paid)| {
        format!("{} paid {} on {}", paid.payer, paid.amount, paid.network)
    })
}

async fn status(Path(code): Path<u16>) -> Response {
    (StatusCode::from_u16(code).unwrap(), [("cache-control", "public, max-age=60")], "as you wish")
        .into_response()
}

async fn panics() -> &'static str {
    panic!("as the test wants")
}

/// Speaks as if it were the layer.
async fn forge() -> Response {
    let names = ["payment-response", "x-payment-response", "extension-responses", "settlement-overrides"];
    let mut response = "forged".into_response();
    for name in names {
        response.headers_mut().insert(name, "forged".parse().unwrap());
    }
    response
}

/// One piece, and then?
fn stream(then: Option<Then>) -> Response {
    let pieces = futures::stream::unfold(true, move |first| async move {
        if first {
            return Some((Ok(Bytes::from_static(b"piece")), false));
        }
        match then {
            Some(Then::End) => None,
            Some(Then::Break) => Some((Err(std::io::Error::other("as the test wants")), false)),
            Some(Then::Panic) => panic!("as the test wants"),
            None => std::future::pending().await,
        }
    });
    Response::new(Body::from_stream(pieces))
}

// === the world ===

pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) script: Arc<Script>,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) layer: PaymentLayer,
    pub(crate) yaml: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of<B>(response: http::Response<B>) -> Self
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: std::fmt::Debug,
    {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn challenge(&self) -> Challenge {
        Challenge::read(self.headers.get("payment-required").map(|h| h.as_bytes()), &self.body).unwrap()
    }

    pub(crate) fn settlement(&self) -> SettleResponse {
        decode_header("test", self.headers["payment-response"].as_bytes()).unwrap()
    }

    /// The code of an error of ours.
    pub(crate) fn code(&self) -> String {
        serde_json::from_slice::<serde_json::Value>(&self.body).unwrap()["error"].as_str().unwrap().to_owned()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::selling(YAML)
    }

    pub(crate) fn selling(yaml: &str) -> Self {
        let clock = Arc::new(TestClock::at_unix_second(1_767_225_600));
        let script = Arc::new(Script::default());
        let ledger = Ledger::in_memory(clock.clone()).unwrap();
        let layer = layer(yaml, &script, &ledger, &clock);
        Self { api: Api::default(), script, ledger, clock, layer, yaml: yaml.to_owned() }
    }

    /// The process died and came back; what it had in memory is gone.
    pub(crate) async fn restart(&mut self) {
        self.layer = self.beside().alone_on_ledger();
        self.layer.recover().await.unwrap();
    }

    /// Another process on the same ledger.
    pub(crate) fn beside(&self) -> PaymentLayer {
        layer(&self.yaml, &self.script, &self.ledger, &self.clock)
    }

    pub(crate) async fn send(&self, request: http::Request<Body>) -> Answer {
        Answer::of(self.start(request).await).await
    }

    pub(crate) async fn start(
        &self,
        request: http::Request<Body>,
    ) -> http::Response<farthing_gateway::GatewayBody<Body>> {
        self.layer.layer(self.api.router()).oneshot(request).await.unwrap()
    }

    /// Sends this, and hangs up as soon as the handler is at work on it.
    pub(crate) async fn hang_up(&self, request: http::Request<Body>) {
        let before = self.api.served();
        tokio::select! {
            answer = self.send(request) => panic!("{}", answer.text()),
            () = eventually("the handler is at work", async || self.api.served() > before) => {}
        }
    }

    pub(crate) async fn ask(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path).body(Body::empty()).unwrap()).await
    }

    /// A payment for what this path asks, with this nonce.
    pub(crate) async fn payment(&self, method: Method, path: &str, nonce: u32) -> (&'static str, String) {
        let answer = self.send(request(method, path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.text());
        pay(&answer.challenge(), |offer| offer.protocol == Protocol::X402V2, nonce)
    }

    pub(crate) async fn buy(&self, path: &str, nonce: u32) -> Answer {
        let payment = self.payment(Method::GET, path, nonce).await;
        self.send(paid(Method::GET, path, &payment, "")).await
    }

    /// The claim that is open for this nonce.
    pub(crate) async fn open_claim(&self, nonce: u32) -> Option<Claim> {
        let claims = self.ledger.open_claims().await.unwrap();
        claims.into_iter().find(|claim| claim.claim.key == key(nonce))
    }

    /// A settlement that a facilitator on the same ledger began and gave up.
    pub(crate) async fn abandoned(&self, nonce: u32) {
        let why = "the chain was silent".into();
        self.settlement(nonce, farthing_ledger::SettlementState::Abandoned { why }).await;
    }

    /// A settlement that a facilitator on the same ledger has seen confirmed.
    pub(crate) async fn confirmed(&self, nonce: u32) {
        let (transaction, payer) = (transaction(&key(nonce)), PAYER.into());
        self.settlement(nonce, farthing_ledger::SettlementState::Confirmed { transaction, payer }).await;
    }

    async fn settlement(&self, nonce: u32, state: farthing_ledger::SettlementState) {
        let settlement = farthing_ledger::NewSettlement {
            key: key(nonce),
            binding: "test".into(),
            payment: "{}".into(),
            requirements: "{}".into(),
            pay_to: PAYEE.into(),
            network: "base-sepolia".parse().unwrap(),
            asset: ASSET.into(),
            amount: farthing_money::BaseUnits::new(2000),
        };
        assert_eq!(self.ledger.begin_settlement(settlement).await.unwrap(), farthing_ledger::Started::New);
        self.ledger.update_settlement(&key(nonce), state).await.unwrap();
    }

    /// How the claim of this nonce stands, open or not. Asks by claiming, and takes it back.
    pub(crate) async fn state(&self, nonce: u32) -> Option<ClaimState> {
        let claim = farthing_ledger::NewClaim {
            key: key(nonce),
            route: "test".into(),
            request: "test".into(),
            payer: PAYER.into(),
            pay_to: PAYEE.into(),
            network: "base-sepolia".parse().unwrap(),
            asset: ASSET.into(),
            amount: farthing_money::BaseUnits::new(1),
        };
        match self.ledger.claim(claim).await.unwrap() {
            farthing_ledger::Claimed::Duplicate(claim) => Some(claim.state),
            farthing_ledger::Claimed::Granted { seq } => {
                let released = ClaimState::Released { why: "the test only looked".to_owned() };
                self.ledger.move_claim(&key(nonce), seq, released).await.unwrap();
                None
            }
        }
    }
}

fn layer(yaml: &str, script: &Arc<Script>, ledger: &Ledger, clock: &Arc<TestClock>) -> PaymentLayer {
    let config = Config::parse("gateway.yaml", yaml).unwrap();
    let clock: Arc<dyn Clock> = clock.clone();
    let limits: Limits = config.limits();
    PaymentLayer::new(Pricing::new(&config).unwrap(), script.clone(), ledger.clone(), clock)
        .with_limits(limits)
}

// === the buyer ===

const ASSET: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";

pub(crate) fn key(nonce: u32) -> PaymentKey {
    let bytes = |text: &str| hex::decode(&text[2..]).unwrap().try_into().unwrap();
    let mut nonce_bytes = [0; 32];
    nonce_bytes[28..].copy_from_slice(&nonce.to_be_bytes());
    PaymentKey::eip3009(&"base-sepolia".parse().unwrap(), bytes(ASSET), bytes(PAYER), nonce_bytes)
}

pub(crate) fn request(method: Method, path: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(path)
}

pub(crate) fn paid(
    method: Method,
    path: &str,
    payment: &(&str, String),
    body: &'static str,
) -> http::Request<Body> {
    request(method, path).header(payment.0, &payment.1).body(Body::from(body)).unwrap()
}

/// Answers the first offer that is wanted. The signature is nonsense: the script believes everything.
pub(crate) fn pay(
    challenge: &Challenge,
    wanted: impl Fn(&Offer) -> bool,
    nonce: u32,
) -> (&'static str, String) {
    let offer = challenge.offers.iter().find(|offer| wanted(offer)).unwrap();
    let terms = &offer.requirements;
    let payload = json!({
        "signature": format!("0x{}", "1b".repeat(65)),
        "authorization": {
            "from": PAYER, "to": terms.pay_to, "value": terms.amount, "validAfter": "0", "validBefore": "1767229200",
            "nonce": format!("0x{nonce:064x}"),
        }
    });
    let payment = Payment::answer(challenge, offer, to_raw_value(&payload).unwrap()).unwrap();
    payment.to_header().unwrap()
}
