//! A paid answer that goes to its reader while it comes, and is kept whatever the reader does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use common::{Buyer, POLICY, Seller, Then, ask, http, offer, request, settled};
use farthing_ledger::{Outcome, Purchase, PurchaseState};
use farthing_protocol::x402::encode_header;
use farthing_wallet::{
    Begun, CallLimits, FetchError, PaidBody, Passed, PassedBody, Request, UnderWay, has_answer,
};
use futures::StreamExt as _;
use serde_json::json;
use tokio::sync::{Notify, mpsc};

type Pieces = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

/// A shop whose paid answers are sent piece by piece, as the test says.
struct Shop {
    url: String,
    /// Where the test sends pieces of the answer; dropped, the answer ends.
    pieces: Option<Pieces>,
    /// The payment has come.
    paid: Arc<Notify>,
}

struct Counter {
    body: Mutex<Option<mpsc::UnboundedReceiver<Result<Bytes, std::io::Error>>>>,
    paid: Arc<Notify>,
}

impl Shop {
    async fn open() -> Self {
        let (pieces, body) = mpsc::unbounded_channel();
        let paid = Arc::new(Notify::new());
        let counter = Arc::new(Counter { body: Mutex::new(Some(body)), paid: paid.clone() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/goods", listener.local_addr().unwrap());
        let router = Router::new().fallback(sell).with_state(counter);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, pieces: Some(pieces), paid }
    }

    fn send(&self, piece: &'static str) {
        self.pieces.as_ref().unwrap().send(Ok(Bytes::from_static(piece.as_bytes()))).unwrap();
    }

    fn end(&mut self) {
        self.pieces = None;
    }
}

async fn sell(State(counter): State<Arc<Counter>>, headers: HeaderMap) -> Response {
    if !headers.contains_key("payment-signature") {
        let required = json!({"x402Version": 2, "resource": {"url": "http://a/"}, "accepts": [offer()]});
        let ask = [("payment-required", encode_header(&required).unwrap())];
        return (StatusCode::PAYMENT_REQUIRED, ask, "{}").into_response();
    }
    let word = json!({"success": true, "transaction": "0xabc", "network": "eip155:84532"});
    let headers = [
        ("payment-response", encode_header(&word).unwrap()),
        ("content-type", "text/event-stream".to_owned()),
    ];
    counter.paid.notify_one();
    let body = counter.body.lock().unwrap().take().unwrap();
    let pieces = futures::stream::unfold(body, |mut body| async move { Some((body.recv().await?, body)) });
    (headers, Body::from_stream(pieces)).into_response()
}

async fn begin(buyer: &Buyer, request: Request) -> UnderWay {
    match buyer.client.pass(request, CallLimits::default()).await.unwrap() {
        Begun::Paid(call) => call,
        free @ Begun::Free(_) => panic!("{free:?}"),
    }
}

async fn buy(buyer: &Buyer, url: &str) -> Passed {
    begin(buyer, Request::get(url).unwrap()).await.head().await.unwrap()
}

fn paid(passed: Passed) -> PaidBody {
    let PassedBody::Paid(body) = passed.body else { panic!("{passed:?}") };
    body
}

async fn read(mut body: PaidBody) -> Result<Vec<u8>, String> {
    let mut read = Vec::new();
    while let Some(piece) = body.next().await {
        read.extend_from_slice(&piece?);
    }
    Ok(read)
}

impl Buyer {
    /// The only purchase once all paid calls have come to their end, and what is kept of it.
    async fn kept(&self) -> (Purchase, Vec<u8>) {
        assert_eq!(self.client.passed(Duration::from_secs(10)).await, 0, "it is bounded");
        let purchase = self.purchases().await.remove(0);
        let file = purchase.response.as_ref().and_then(|response| response.body_file.clone());
        let bytes = file.map(|file| std::fs::read(self.home.path().join(file)).unwrap());
        (purchase, bytes.unwrap_or_default())
    }
}

#[tokio::test]
async fn every_piece_comes_at_once_and_the_end_when_all_is_recorded() {
    let (mut shop, buyer) = (Shop::open().await, Buyer::new(POLICY));
    let passed = buy(&buyer, &shop.url).await;
    let payment = passed.payment.as_ref().unwrap();
    assert_eq!(payment.outcome, Outcome::Paid { transaction: Some("0xabc".into()) });
    assert_eq!(payment.asset.format(payment.purchase.terms.amount), "$0.002");
    let mut body = paid(passed);
    for piece in ["data: 1\n\n", "data: 2\n\n"] {
        shop.send(piece);
        assert_eq!(body.next().await.unwrap().unwrap(), piece, "the next one was not sent yet");
    }
    shop.end();
    assert_eq!(body.next().await, None);
    let purchase = buyer.purchases().await.remove(0);
    assert!(has_answer(&purchase), "the end comes after the record");
    let (_, bytes) = buyer.kept().await;
    assert_eq!(bytes, b"data: 1\n\ndata: 2\n\n");
}

#[tokio::test]
async fn whoever_leaves_in_the_middle_leaves_the_rest_to_the_wallet() {
    let (mut shop, buyer) = (Shop::open().await, Buyer::new(POLICY));
    let mut body = paid(buy(&buyer, &shop.url).await);
    shop.send("one ");
    assert!(body.next().await.is_some());
    drop(body);
    tokio::time::sleep(Duration::from_millis(50)).await;
    shop.send("two ");
    shop.send("three");
    shop.end();
    let (purchase, bytes) = buyer.kept().await;
    assert_eq!((has_answer(&purchase), bytes.as_slice()), (true, &b"one two three"[..]));
    assert_eq!(purchase.state, PurchaseState::Paid);
}

#[tokio::test]
async fn whoever_leaves_before_the_answer_begins_leaves_it_to_the_wallet() {
    let seller = Seller::selling(ask(&[offer()]), |_| {
        std::thread::sleep(Duration::from_millis(200));
        settled(&[], b"goods")
    })
    .await;
    let buyer = Buyer::new(POLICY);
    let waiting = async {
        while seller.payments().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = async { begin(&buyer, request(&seller)).await.head().await } => panic!("it takes longer"),
        () = waiting => {}
    }
    let (purchase, bytes) = buyer.kept().await;
    assert_eq!((has_answer(&purchase), bytes.as_slice()), (true, &b"goods"[..]));
    assert_eq!(seller.payments().len(), 1);
}

#[tokio::test]
async fn an_answer_without_end_is_not_waited_for_when_its_reader_has_left() {
    let shop = Shop::open().await;
    let buyer = Buyer::waiting(POLICY, 1 << 20, Duration::from_millis(100));
    let mut body = paid(buy(&buyer, &shop.url).await);
    shop.send("a beginning");
    assert!(body.next().await.is_some());
    drop(body);
    let (purchase, bytes) = buyer.kept().await;
    assert_eq!((has_answer(&purchase), bytes.as_slice()), (false, &b"a beginning"[..]));
    assert_eq!(purchase.state, PurchaseState::Paid, "it is only a part, and paid");
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_for_its_reader_too() {
    let (shop, buyer) = (Shop::open().await, Buyer::new(POLICY));
    let mut body = paid(buy(&buyer, &shop.url).await);
    shop.send("half");
    assert_eq!(body.next().await.unwrap().unwrap(), "half");
    shop.pieces.as_ref().unwrap().send(Err(std::io::Error::other("gone"))).unwrap();
    assert!(body.next().await.unwrap().is_err(), "no reader takes a part for the whole");
    assert_eq!(body.next().await, None);
    let (purchase, bytes) = buyer.kept().await;
    assert_eq!((has_answer(&purchase), bytes.as_slice()), (false, &b"half"[..]));
}

#[tokio::test]
async fn more_than_is_kept_still_reaches_its_reader() {
    let (mut shop, buyer) = (Shop::open().await, Buyer::keeping(POLICY, 4));
    let passed = buy(&buyer, &shop.url).await;
    for piece in ["one ", "two ", "three"] {
        shop.send(piece);
    }
    shop.end();
    assert_eq!(read(paid(passed)).await.unwrap(), b"one two three");
    let (purchase, bytes) = buyer.kept().await;
    assert_eq!((has_answer(&purchase), bytes.as_slice()), (false, &b"one "[..]));
}

#[tokio::test]
async fn a_disk_that_takes_nothing_keeps_nobody_from_reading() {
    let (mut shop, buyer) = (Shop::open().await, Buyer::new(POLICY));
    let bodies = buyer.home.path().join("bodies");
    let breaking = async {
        shop.paid.notified().await;
        std::fs::remove_dir_all(&bodies).unwrap();
        std::fs::write(&bodies, "no folder").unwrap();
    };
    let request = Request::get(&shop.url).unwrap();
    let (passed, ()) = tokio::join!(async { begin(&buyer, request).await.head().await }, breaking);
    shop.send("goods");
    shop.end();
    assert_eq!(read(paid(passed.unwrap())).await.unwrap(), b"goods");
    let (purchase, _) = buyer.kept().await;
    assert_eq!((purchase.state, has_answer(&purchase)), (PurchaseState::Paid, false));
}

#[tokio::test]
async fn what_is_compressed_passes_as_it_is() {
    let squeezed: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\xcf\xcf\x4f\x29\x06\x00\x5d\x8d\x0e\x5a\x05\x00\x00\x00";
    let seller =
        Seller::selling(ask(&[offer()]), move |_| settled(&[("content-encoding", "gzip")], squeezed)).await;
    let buyer = Buyer::new(POLICY);
    let passed = begin(&buyer, request(&seller)).await.head().await.unwrap();
    assert_eq!(passed.headers["content-encoding"], "gzip");
    assert_eq!(read(paid(passed)).await.unwrap(), squeezed);
    assert_eq!(buyer.kept().await.1, squeezed);
}

#[tokio::test]
async fn a_payment_that_is_refused_asks_nobody_else_for_money() {
    let refusal =
        http("402 Payment Required", &[], br#"{"x402Version":1,"error":"no funds","accepts":[{}]}"#);
    let seller = Seller::selling(ask(&[offer()]), move |_| (refusal.clone(), Then::Closes)).await;
    let buyer = Buyer::new(POLICY);
    let passed = begin(&buyer, request(&seller)).await.head().await.unwrap();
    assert!(matches!(passed.body, PassedBody::Kept), "{passed:?}");
    let Outcome::Unknown { why } = passed.payment.unwrap().outcome else { panic!("it is not known") };
    assert!(why.ends_with("no funds"), "{why}");
}

#[tokio::test]
async fn a_lost_answer_is_an_error_and_stays_reserved() {
    let seller = Seller::selling(ask(&[offer()]), |_| (Vec::new(), Then::Hangs)).await;
    let buyer = Buyer::hasty(POLICY);
    let lost = begin(&buyer, request(&seller)).await.head().await;
    assert!(matches!(lost, Err(FetchError::Lost { .. })), "{lost:?}");
    assert_eq!(buyer.kept().await.0.state, PurchaseState::Unknown);
}

#[tokio::test]
async fn what_is_free_is_passed_without_a_record() {
    let seller = Seller::start(|_, _| (http("200 OK", &[], b"free"), Then::Closes)).await;
    let buyer = Buyer::new(POLICY);
    let begun = buyer.client.pass(request(&seller), CallLimits::default()).await.unwrap();
    let Begun::Free(passed) = begun else { panic!("{begun:?}") };
    let PassedBody::Free(answer) = passed.body else { panic!("{passed:?}") };
    assert_eq!((answer.bytes().await.unwrap(), buyer.purchases().await.len()), ("free".into(), 0));
    assert_eq!(buyer.client.passed(Duration::ZERO).await, 0);
}

#[tokio::test]
async fn a_whole_answer_can_be_had_again_and_no_other() {
    let (mut shop, buyer) = (Shop::open().await, Buyer::new(POLICY));
    let call = begin(&buyer, Request::get(&shop.url).unwrap()).await;
    let ending = call.ending();
    let body = paid(call.head().await.unwrap());
    shop.send("one ");
    shop.send("two");
    assert_eq!(ending.since(), None);
    let later = tokio::spawn(async move { ending.again().await });
    drop(body);
    shop.end();
    let (passed, bytes) = later.await.unwrap().unwrap();
    assert_eq!(
        (passed.status, bytes, passed.headers["content-type"].to_str().unwrap()),
        (StatusCode::OK, 7, "text/event-stream")
    );
    assert_eq!(read(paid(passed)).await.unwrap(), b"one two");

    let seller =
        Seller::selling(ask(&[offer()]), |_| (http("500 Internal Server Error", &[], b"no"), Then::Closes))
            .await;
    let call = begin(&buyer, request(&seller)).await;
    assert!(call.ending().again().await.is_none(), "an error is not what was paid for");
}

#[tokio::test]
async fn the_same_payment_goes_to_the_seller_again() {
    let seller = Seller::selling(ask(&[offer()]), |payment| match payment {
        0 => (http("500 Internal Server Error", &[], b"no"), Then::Closes),
        _ => settled(&[], b"goods"),
    })
    .await;
    let buyer = Buyer::new(POLICY);
    let call = begin(&buyer, request(&seller)).await;
    let id = call.purchase().clone();
    assert_eq!(call.head().await.unwrap().status, StatusCode::INTERNAL_SERVER_ERROR);
    buyer.client.passed(Duration::from_secs(10)).await;
    let passed = buyer.client.pass_again(request(&seller), &id).await.unwrap().head().await.unwrap();
    assert_eq!(read(paid(passed)).await.unwrap(), b"goods");
    let payments = seller.payments();
    assert_eq!((payments.len(), buyer.purchases().await.len()), (2, 1));
    assert_eq!(payments[0], payments[1]);
}

#[tokio::test]
async fn a_request_is_let_go_when_its_answer_begins() {
    struct Held(Arc<Vec<u8>>);
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let (mut shop, buyer) = (Shop::open().await, Buyer::new(POLICY));
    let held = Arc::new(vec![7; 100_000]);
    let mut request = Request::new(Method::POST, &shop.url).unwrap();
    request.body = Bytes::from_owner(Held(held.clone()));
    let body = paid(begin(&buyer, request).await.head().await.unwrap());
    let letting_go = async {
        while Arc::strong_count(&held) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), letting_go).await.unwrap();
    shop.end();
    assert_eq!(read(body).await.unwrap(), b"");
}
