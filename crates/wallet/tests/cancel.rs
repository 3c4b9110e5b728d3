//! Until when a call can be cancelled, and what becomes of it then.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use common::{Buyer, POLICY, Seller, Then, ask, http, offer, request, settled};
use farthing_ledger::{PurchaseFilter, PurchaseState};
use farthing_protocol::x402::{PAYMENT_REQUIRED, PAYMENT_RESPONSE, encode_header};
use farthing_wallet::{CallLimits, Carrier, Client, FetchError, Observer, Request, Step};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Cancels when a step of this name begins.
#[derive(Debug)]
struct CancelAt(&'static str, CancellationToken);

impl Observer for CancelAt {
    fn step(&self, step: Step<'_>) {
        let name = match step {
            Step::Asking => "asking",
            Step::Deciding => "deciding",
            Step::Paying(_) => "paying",
            _ => return,
        };
        if name == self.0 {
            self.1.cancel();
        }
    }
}

fn cancelled_at(buyer: &Buyer, step: &'static str) -> (Client, CancellationToken) {
    let cancel = CancellationToken::new();
    (buyer.client.clone().observed_by(Arc::new(CancelAt(step, cancel.clone()))), cancel)
}

#[tokio::test]
async fn while_the_seller_is_asked_nothing_is_begun() {
    let buyer = Buyer::new(POLICY);
    let seller = Seller::selling(ask(&[offer()]), |_| settled(&[], b"goods")).await;
    let (client, cancel) = cancelled_at(&buyer, "asking");
    let fetched = client.fetch_until(&cancel, request(&seller), CallLimits::default()).await.unwrap();
    assert!(fetched.is_none() && seller.payments().is_empty());
    assert!(buyer.ledger.purchases(PurchaseFilter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn from_the_decision_on_it_goes_to_its_end() {
    for step in ["deciding", "paying"] {
        let buyer = Buyer::new(POLICY);
        let seller = Seller::selling(ask(&[offer()]), |_| settled(&[], b"goods")).await;
        let (client, cancel) = cancelled_at(&buyer, step);
        let fetched = client.fetch_until(&cancel, request(&seller), CallLimits::default()).await.unwrap();
        assert!(fetched.unwrap().payment.is_some() && cancel.is_cancelled(), "{step}");
        let purchases = buyer.ledger.purchases(PurchaseFilter::default()).await.unwrap();
        assert_eq!((purchases.len(), purchases[0].state), (1, PurchaseState::Paid), "{step}");
    }
}

/// Answers as it is told to: `None` is a connection that breaks.
struct Told {
    answers: Mutex<Vec<Option<&'static str>>>,
    payments: Mutex<Vec<String>>,
}

#[async_trait]
impl Carrier for Told {
    async fn carry(&self, payment: Option<&str>) -> Result<::http::Response<Bytes>, String> {
        let Some(payment) = payment else {
            let required =
                json!({"x402Version": 2, "resource": {"url": "http://127.0.0.1/"}, "accepts": [offer()]});
            let required = encode_header(&required).unwrap();
            let asks = ::http::Response::builder().status(402).header(PAYMENT_REQUIRED, required);
            return Ok(asks.body(Bytes::new()).unwrap());
        };
        self.payments.lock().unwrap().push(payment.to_owned());
        let Some(answer) = self.answers.lock().unwrap().remove(0) else { return Err("it broke".to_owned()) };
        let word = json!({"success": true, "transaction": "0xabc", "network": "eip155:84532"});
        let paid = ::http::Response::builder().header(PAYMENT_RESPONSE, encode_header(&word).unwrap());
        Ok(paid.body(answer.into()).unwrap())
    }
}

impl Told {
    fn new(answers: &[Option<&'static str>]) -> Self {
        Self { answers: Mutex::new(answers.to_vec()), payments: Mutex::default() }
    }

    /// How many payments came, which are all the same.
    fn paid(&self) -> usize {
        let payments = self.payments.lock().unwrap();
        assert!(payments.windows(2).all(|two| two[0] == two[1]), "one payment, each time");
        payments.len()
    }
}

fn call() -> Request {
    Request::mcp("http://127.0.0.1/mcp", "forecast", Bytes::from_static(b"{}")).unwrap()
}

#[tokio::test]
async fn a_carrier_is_given_the_same_payment_again() {
    let buyer = Buyer::new(POLICY);
    let carrier = Told::new(&[None, Some("sunny")]);
    let cancel = CancellationToken::new();
    let fetched = buyer.client.fetch_over(&carrier, &cancel, call(), CallLimits::default()).await.unwrap();
    assert!(fetched.unwrap().payment.is_some());
    assert_eq!(carrier.paid(), 2);
}

#[tokio::test]
async fn what_a_carrier_lost_is_fetched_later_for_nothing() {
    let buyer = Buyer::new(POLICY);
    let carrier = Told::new(&[None, None, None, Some("sunny")]);
    let cancel = CancellationToken::new();
    let lost = buyer.client.fetch_over(&carrier, &cancel, call(), CallLimits::default()).await.unwrap_err();
    let FetchError::Lost { purchase, .. } = lost else { panic!("{lost}") };
    let fetched = buyer.client.resume_over(&carrier, &call(), &purchase).await.unwrap();
    assert!(fetched.payment.is_some());
    assert_eq!(carrier.paid(), 4);
    let purchases = buyer.ledger.purchases(PurchaseFilter::default()).await.unwrap();
    assert_eq!((purchases.len(), purchases[0].state), (1, PurchaseState::Paid));
}

#[tokio::test]
async fn a_free_answer_is_an_answer() {
    let buyer = Buyer::new(POLICY);
    let seller = Seller::start(|_, _| (http("200 OK", &[], b"free"), Then::Closes)).await;
    let cancel = CancellationToken::new();
    let fetched = buyer.client.fetch_until(&cancel, request(&seller), CallLimits::default()).await.unwrap();
    assert!(fetched.unwrap().payment.is_none());
}
