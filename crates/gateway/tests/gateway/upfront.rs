use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use farthing_ledger::ClaimState;
use farthing_protocol::x402::{Reason, VerifyResponse};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;

use crate::world::{Settle, World, paid, request};

#[tokio::test]
async fn settled_first_and_streamed() {
    let world = World::new();
    let challenge = world.ask("/upfront").await.challenge();
    assert_eq!(challenge.offers[0].requirements.extra.str("paymentFlow"), Some("upfront"));
    let payment = world.payment(Method::GET, "/upfront", 1).await;
    let mut response = world.start(paid(Method::GET, "/upfront", &payment, "")).await;
    assert_eq!((response.status(), world.script.settled()), (StatusCode::OK, 1));
    assert!(response.headers().contains_key("payment-response"));
    // The stream never ends: its first piece comes all the same.
    let piece = tokio::time::timeout(Duration::from_secs(5), response.body_mut().frame()).await.unwrap();
    assert_eq!(&piece.unwrap().unwrap().into_data().unwrap()[..], b"piece");
    assert_eq!(
        world.script.verified.load(Ordering::SeqCst),
        1,
        "before the claim, so that a forged one costs nothing"
    );
    let copy = world.send(paid(Method::GET, "/upfront", &payment, "")).await;
    assert_eq!(copy.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_request_streams_through() {
    let world = World::new();
    let payment = world.payment(Method::POST, "/upfront-echo", 1).await;
    let pieces = futures::stream::iter(["a", "b"]).map_ok_pieces();
    let sent = request(Method::POST, "/upfront-echo").header(payment.0, &payment.1).body(pieces).unwrap();
    assert_eq!(world.send(sent).await.text(), "ab");
    let payment = world.payment(Method::POST, "/upfront-echo", 2).await;
    let large: &'static str = "x".repeat(1001).leak();
    let answer = world.send(paid(Method::POST, "/upfront-echo", &payment, large)).await;
    assert_eq!((answer.status, world.script.settled()), (StatusCode::PAYLOAD_TOO_LARGE, 1), "not charged");
}

trait Pieces {
    fn map_ok_pieces(self) -> Body;
}

impl<S: futures::Stream<Item = &'static str> + Send + 'static> Pieces for S {
    fn map_ok_pieces(self) -> Body {
        Body::from_stream(futures::StreamExt::map(self, Ok::<_, std::io::Error>))
    }
}

/// Known attacks, "drain or cancel between verify and settle": the upfront flow leaves no such time. And a payment that
/// nobody signed leaves no trace in the ledger.
#[tokio::test]
async fn a_forged_payment_costs_no_row_of_the_ledger() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/upfront/200", 1).await;
    let forged = VerifyResponse { invalid_reason: Some(Reason::EVM_SIGNATURE), ..VerifyResponse::default() };
    world.script.verify.lock().unwrap().push_back(Ok(forged));
    let answer = world.send(paid(Method::GET, "/upfront/200", &payment, "")).await;
    assert_eq!((answer.status, world.api.served()), (StatusCode::PAYMENT_REQUIRED, 0));
    assert_eq!((world.script.settled(), world.ledger.verify().await.unwrap().rows), (0, 0));
}

#[tokio::test]
async fn a_refused_payment_serves_nothing() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/upfront/200", 1).await;
    world.script.settles([Settle::Refuse(Reason::EVM_SIGNATURE, "")]);
    let answer = world.send(paid(Method::GET, "/upfront/200", &payment, "")).await;
    assert_eq!((answer.status, world.api.served()), (StatusCode::PAYMENT_REQUIRED, 0));
    assert!(world.open_claim(1).await.is_none());
}

#[tokio::test]
async fn a_failed_handler_was_paid_and_says_so() {
    let world = World::new();
    let answer = world.buy("/upfront/404", 1).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.settlement().success);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(matches!(world.state(1).await, Some(ClaimState::Settled { .. })));
}

#[tokio::test]
async fn a_broken_handler_may_be_called_again_with_the_same_payment() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/upfront/500", 1).await;
    for _ in 0..2 {
        let answer = world.send(paid(Method::GET, "/upfront/500", &payment, "")).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.settlement().success);
        assert!(matches!(world.open_claim(1).await.unwrap().state, ClaimState::Settling { .. }));
    }
    assert_eq!(world.api.served(), 2);
}

#[tokio::test]
async fn an_unknown_settlement_serves_nothing_until_it_is_known() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/upfront/200", 1).await;
    world.script.settles(vec![Settle::Hang]);
    let answer = world.send(paid(Method::GET, "/upfront/200", &payment, "")).await;
    assert_eq!((answer.status, world.api.served()), (StatusCode::GATEWAY_TIMEOUT, 0));
    let answer = world.send(paid(Method::GET, "/upfront/200", &payment, "")).await;
    assert_eq!((answer.status, world.api.served()), (StatusCode::OK, 1));
}
