//! What an answer says of the money, and what is known of it when the rest of the answer does not come.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::net::{SocketAddr, TcpStream as Blocking};
use std::sync::Arc;
use std::time::Duration;

use common::{Buyer, POLICY, Reply, Seller, Then, ask, http, offer, request, settled};
use farthing_ledger::{Outcome, Purchase, PurchaseState};
use farthing_protocol::x402::encode_header;
use farthing_wallet::{CallLimits, FetchError, FetchedBody, Observer, Request, Step};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;

/// What a purchase is said to be after this answer.
async fn unknown_after(answer: Reply) -> String {
    let seller = Seller::selling(ask(&[offer()]), move |_| answer.clone()).await;
    let fetched = Buyer::new(POLICY).fetch(&seller).await.unwrap();
    let Outcome::Unknown { why } = fetched.payment.unwrap().outcome else { panic!("nothing is settled") };
    why
}

fn said(status: &str, word: &Value) -> Reply {
    (http(status, &[("payment-response", &encode_header(word).unwrap())], b"{}"), Then::Closes)
}

#[tokio::test]
async fn a_pending_settlement_is_called_pending() {
    let word = json!({"success": false, "errorReason": "settlement_pending", "transaction": "0xfee1",
        "network": "eip155:84532"});
    let why = unknown_after(said("504 Gateway Timeout", &word)).await;
    assert!(why.contains("pending") && why.contains("0xfee1") && !why.contains("did not settle"), "{why}");
}

/// They are made safe where they are shown, and there only.
#[tokio::test]
async fn a_sellers_words_are_recorded_as_they_are() {
    let word = json!({"success": false, "errorReason": "no \"funds\"", "network": "eip155:84532"});
    let why = unknown_after(said("402 Payment Required", &word)).await;
    assert!(why.ends_with("no \"funds\""), "{why}");
    let again =
        http("402 Payment Required", &[], br#"{"x402Version":1,"error":"no \"funds\"","accepts":[{}]}"#);
    let why = unknown_after((again, Then::Closes)).await;
    assert!(why.ends_with("no \"funds\""), "{why}");
}

impl Buyer {
    /// The only purchase, once it is as it should be.
    async fn purchase_when(&self, ready: impl Fn(&Purchase) -> bool) -> Purchase {
        loop {
            if let Some(purchase) = self.purchases().await.into_iter().find(&ready) {
                return purchase;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// As Ctrl-C does in the middle of a long body.
#[tokio::test]
async fn a_settlement_is_recorded_before_the_body_has_come() {
    let (whole, _) = settled(&[], b"all of the goods");
    let part = whole[..whole.len() - 6].to_vec();
    let seller = Seller::selling(ask(&[offer()]), move |number| match number {
        0 => (part.clone(), Then::Hangs),
        _ => (whole.clone(), Then::Closes),
    })
    .await;
    let buyer = Buyer::hasty(POLICY);
    let purchase = tokio::select! {
        fetched = buyer.fetch(&seller) => panic!("it came to an end: {fetched:?}"),
        purchase = buyer.purchase_when(|one| one.state == PurchaseState::Paid) => purchase,
    };
    assert_eq!(purchase.outcome, Some(Outcome::Paid { transaction: Some("0xabc".into()) }));
    assert_eq!(purchase.response, None);
    let again = buyer.client.resume(request(&seller), &purchase.terms.id).await.unwrap();
    let FetchedBody::Kept { path, cut_off: None, .. } = again.body else { panic!("it is whole") };
    assert_eq!(std::fs::read(path).unwrap(), b"all of the goods");
    assert_eq!(seller.payments()[0], seller.payments()[1]);
    assert!(buyer.purchases().await[0].response.is_some());
}

/// The first whole answer stands, also when the seller says something else later.
#[tokio::test]
async fn a_later_success_takes_no_answers_place() {
    let seller = Seller::selling(ask(&[offer()]), |number| match number {
        0 => (http("200 OK", &[], b"goods"), Then::Closes),
        _ => settled(&[], b"other goods"),
    })
    .await;
    let buyer = Buyer::new(POLICY);
    buyer.fetch(&seller).await.unwrap();
    let first = buyer.purchases().await.remove(0);
    buyer.client.resume(request(&seller), &first.terms.id).await.unwrap();
    let second = buyer.purchases().await.remove(0);
    assert_eq!((second.state, second.response), (PurchaseState::Paid, first.response));
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_says_how_the_purchase_stands() {
    for (answer, paid) in
        [(settled(&[], b"goods"), true), ((http("200 OK", &[], b"goods"), Then::Closes), false)]
    {
        let buyer = Buyer::new(POLICY);
        let bodies = buyer.home.path().join("bodies");
        let seller = Seller::selling(ask(&[offer()]), move |_| {
            // Where the folder was is a file.
            std::fs::remove_dir_all(&bodies).unwrap();
            std::fs::write(&bodies, "").unwrap();
            answer.clone()
        })
        .await;
        let error = buyer.fetch(&seller).await.unwrap_err();
        let FetchError::NotKept { outcome, .. } = error else { panic!("{error}") };
        assert_eq!(matches!(outcome, Outcome::Paid { .. }), paid, "{outcome:?}");
        assert_eq!(buyer.purchases().await[0].outcome, Some(outcome));
    }
}

/// Told when the payment is about to be sent again.
#[derive(Debug)]
struct Again(Arc<Notify>);

impl Observer for Again {
    fn step(&self, step: Step<'_>) {
        if matches!(step, Step::Again) {
            self.0.notify_one();
        }
    }
}

/// Fills a listener's queue, after which nobody can connect.
async fn fill_queue(address: SocketAddr) -> Vec<Blocking> {
    let fill = move || {
        let connect = || Blocking::connect_timeout(&address, Duration::from_millis(100)).ok();
        std::iter::from_fn(connect).collect()
    };
    tokio::task::spawn_blocking(fill).await.unwrap()
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { break };
        head.push(byte);
    }
    String::from_utf8(head).unwrap()
}

/// Asks for payment, cannot be reached until it is tried again, and then serves.
async fn sell_after_a_jam(listener: TcpListener, again: Arc<Notify>) {
    let (mut first, _) = listener.accept().await.unwrap();
    read_head(&mut first).await;
    let jam = fill_queue(listener.local_addr().unwrap()).await;
    first.write_all(&ask(&[offer()])).await.unwrap();
    drop(first);
    again.notified().await;
    drop(jam);
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        if read_head(&mut stream).await.contains("payment-signature") {
            stream.write_all(&settled(&[], b"goods").0).await.unwrap();
        }
    }
}

/// Where no connection came about nothing was sent: it is tried again, as after any broken connection.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_paid_request_that_found_no_connection_is_tried_again() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let url = format!("http://{}/goods", listener.local_addr().unwrap());
    let again = Arc::new(Notify::new());
    tokio::spawn(sell_after_a_jam(listener, again.clone()));
    let buyer = Buyer::hasty(POLICY);
    let client = buyer.client.clone().observed_by(Arc::new(Again(again)));
    client.fetch(Request::get(&url).unwrap(), CallLimits::default()).await.unwrap();
    assert_eq!(buyer.purchases().await[0].state, PurchaseState::Paid);
}
