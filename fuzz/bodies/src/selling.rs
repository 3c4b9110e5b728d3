//! A gateway's layer over some prices, asked for paths without a payment.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use axum::body::Body;
use farthing_ambient::SystemClock;
use farthing_facilitator::{Facilitate, FacilitatorError};
use farthing_gateway::{Config, PaymentLayer, Pricing};
use farthing_ledger::Ledger;
use farthing_protocol::x402::{self, FacilitatorRequest, SettleResponse, SupportedResponse, VerifyResponse};
use futures::FutureExt as _;
use http::{Method, Request, Response, StatusCode, Uri};
use serde_json::Value;
use tower::{Layer as _, ServiceExt as _};

/// Without a payment nobody is asked.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Facilitate for Nobody {
    async fn verify(&self, _: &FacilitatorRequest) -> Result<VerifyResponse, FacilitatorError> {
        panic!("nothing was paid")
    }
    async fn settle(&self, _: &FacilitatorRequest) -> Result<SettleResponse, FacilitatorError> {
        panic!("nothing was paid")
    }
    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        panic!("nothing was paid")
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its path can be read in two ways.
    Ambiguous,
    /// Nothing is offered there.
    Refused,
    /// It must be paid: the amount.
    Priced(String),
    /// It went to the upstream, as this path.
    Free(String),
}

impl Outcome {
    /// What it costs, whatever path was served.
    pub(crate) fn cost(&self) -> Option<&str> {
        match self {
            Self::Priced(amount) => Some(amount),
            Self::Free(_) | Self::Ambiguous | Self::Refused => None,
        }
    }
}

/// A gateway's layer.
#[derive(Debug)]
pub(crate) struct Shop(PaymentLayer);

impl Shop {
    pub(crate) fn new(pricing: Pricing) -> Self {
        // The ledger is never asked either; one thread of it serves every input.
        static LEDGER: LazyLock<Ledger> = LazyLock::new(|| Ledger::in_memory(Arc::new(SystemClock)).unwrap());
        Self(PaymentLayer::new(pricing, Arc::new(Nobody), LEDGER.clone(), Arc::new(SystemClock)))
    }

    pub(crate) fn selling(yaml: &str) -> Self {
        Self::new(Pricing::new(&Config::parse("gateway.yaml", yaml).unwrap()).unwrap())
    }

    /// Asks without a payment; none for what is no request at all.
    pub(crate) fn ask(&self, method: &Method, path: &str) -> Option<Outcome> {
        let uri = Uri::try_from(path).ok()?;
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).ok()?;
        let upstream = tower::service_fn(async |request: Request<_>| {
            let path = request.uri().path().to_owned();
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(Served(path));
            Ok::<_, Infallible>(response)
        });
        let answer =
            self.0.layer(upstream).oneshot(request).now_or_never().expect("an unpaid call waits for nothing");
        let answer = answer.unwrap_or_else(|never| match never {});
        Some(match answer.status() {
            StatusCode::BAD_REQUEST => Outcome::Ambiguous,
            StatusCode::NOT_FOUND => Outcome::Refused,
            StatusCode::PAYMENT_REQUIRED => Outcome::Priced(amount(&answer)),
            StatusCode::OK => Outcome::Free(answer.extensions().get::<Served>().unwrap().0.clone()),
            other => panic!("{method} {path} is answered with {other}"),
        })
    }
}

#[derive(Debug, Clone)]
struct Served(String);

/// The amount that the 402 asks for, of one offer; the resource it names must be a URL without a query.
fn amount<B>(answer: &Response<B>) -> String {
    let header = answer.headers()[x402::PAYMENT_REQUIRED].as_bytes();
    let required: Value = x402::decode_header("PAYMENT-REQUIRED", header).unwrap();
    let url = required["resource"]["url"].as_str().unwrap();
    assert!(url.starts_with("http") && !url.contains(['?', '#', '"', ' ']), "{url:?}");
    required["accepts"][0]["amount"].as_str().unwrap().to_owned()
}
