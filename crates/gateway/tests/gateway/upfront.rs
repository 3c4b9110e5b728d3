use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use farthing_gateway::GatewayBody;
use farthing_ledger::ClaimState;
use farthing_protocol::x402::{Reason, VerifyResponse};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::Barrier;

use crate::waiting::{eventually, in_time, pass};
use crate::world::{Answer, Settle, Then, World, key, paid, patient, request, transaction};

/// The state of the payment with nonce 1 while its answer is on its way, and of one that is owed.
fn streaming() -> ClaimState {
    ClaimState::Settling { transaction: Some(transaction(&key(1))) }
}

/// The answer to the payment with nonce 1 was given out, and is not had again.
async fn is_closed(world: &World) {
    let settled = Some(ClaimState::Settled { transaction: transaction(&key(1)) });
    eventually("the claim is closed", async || world.open_claim(1).await.is_none()).await;
    assert_eq!(world.state(1).await, settled);
}

/// An answer of `/upfront` up to its first piece.
async fn begun(world: &World, payment: &(&'static str, String)) -> Response<GatewayBody<Body>> {
    let mut response = world.start(paid(Method::GET, "/upfront", payment, "")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key("payment-response"));
    let piece = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(&piece.into_data().unwrap()[..], b"piece");
    response
}

/// The same request again, as soon as nobody is at work on it.
async fn again(world: &World, payment: &(&'static str, String)) -> Response<GatewayBody<Body>> {
    let asks = async {
        loop {
            let response = world.start(paid(Method::GET, "/upfront", payment, "")).await;
            if !response.headers().contains_key("retry-after") {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    in_time("nobody is at work on it", asks).await
}

/// The same request again buys nothing.
async fn is_used(world: &World, payment: &(&'static str, String)) {
    let answer = Answer::of(again(world, payment).await).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::CONFLICT, "duplicate_settlement"));
}

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
    let piece = in_time("a piece comes", response.body_mut().frame()).await;
    assert_eq!(&piece.unwrap().unwrap().into_data().unwrap()[..], b"piece");
    assert_eq!(
        world.script.verified.load(Ordering::SeqCst),
        1,
        "before the claim, so that a forged one costs nothing"
    );
    let copy = world.send(paid(Method::GET, "/upfront", &payment, "")).await;
    assert_eq!((copy.status, copy.code().as_str()), (StatusCode::CONFLICT, "payment_in_progress"));
    assert_eq!(world.open_claim(1).await.unwrap().state, streaming(), "its process may die yet");
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
    is_closed(&world).await;
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

// === how answers end ===

#[tokio::test]
async fn an_answer_that_ended_is_given_out() {
    let world = World::new();
    world.api.streams([Then::End]);
    let payment = world.payment(Method::GET, "/upfront", 1).await;
    let answer = world.send(paid(Method::GET, "/upfront", &payment, "")).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "piece"));
    is_closed(&world).await;
    is_used(&world, &payment).await;
    assert_eq!((world.api.served(), world.script.settled()), (1, 1));
}

/// Otherwise he could read all but the last byte as often as he likes.
#[tokio::test]
async fn a_buyer_who_breaks_an_answer_off_has_had_it() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/upfront", 1).await;
    drop(begun(&world, &payment).await);
    is_closed(&world).await;
    is_used(&world, &payment).await;
    assert_eq!((world.api.served(), world.script.settled()), (1, 1));
}

#[tokio::test]
async fn a_shutdown_waits_until_the_end_is_recorded() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/upfront", 1).await;
    let response = begun(&world, &payment).await;
    assert!(!world.layer.drain(Duration::from_millis(50)).await, "it is on its way");
    drop(response);
    assert!(world.layer.drain(Duration::from_secs(60)).await);
    assert!(world.open_claim(1).await.is_none());
}

/// He gave up before the answer began: nothing of it went out.
#[tokio::test]
async fn a_buyer_who_hung_up_before_the_answer_is_served_when_he_comes_back() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/upfront-gated/200", 1).await;
    let request = || paid(Method::GET, "/upfront-gated/200", &payment, "");
    world.hang_up(request()).await;
    world.api.gate.open();
    eventually("the gate is open", async || {
        let answer = world.send(request()).await;
        if answer.status == StatusCode::CONFLICT {
            assert_eq!(answer.code(), "payment_in_progress");
            return false;
        }
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "as you wish"));
        true
    })
    .await;
    is_closed(&world).await;
    assert_eq!((world.api.served(), world.script.settled()), (2, 2), "settled again is asked, and paid once");
}

#[tokio::test]
async fn an_answer_that_its_process_took_along_is_made_again() {
    let mut world = World::new();
    let payment = world.payment(Method::GET, "/upfront", 1).await;
    // What a dead process had in its hands tells nobody anything.
    std::mem::forget(begun(&world, &payment).await);
    world.restart().await;
    assert_eq!(world.open_claim(1).await.unwrap().state, streaming(), "its answer is owed");
    let other = Method::POST;
    assert_ne!(world.send(paid(other, "/upfront-echo", &payment, "")).await.status, StatusCode::OK);
    std::mem::forget(begun(&world, &payment).await);
    world.restart().await;
    world.api.streams([Then::End]);
    let answer = world.send(paid(Method::GET, "/upfront", &payment, "")).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "piece"));
    assert!(answer.settlement().success);
    is_closed(&world).await;
    is_used(&world, &payment).await;
    assert_eq!(world.api.served(), 3);
}

/// Two gateways, each of which believes the process dead that served before.
#[tokio::test]
async fn one_of_two_processes_makes_an_answer_again() {
    let mut world = World::selling(&patient());
    let payment = world.payment(Method::GET, "/upfront", 1).await;
    std::mem::forget(begun(&world, &payment).await);
    world.restart().await;
    let first = world.layer.clone();
    world.restart().await;
    let second = World { layer: first, ..World::new() };
    // Neither makes it before the other has taken it over as well.
    *world.script.settle_meets.lock().unwrap() = Some(Arc::new(Barrier::new(2)));
    let request = || paid(Method::GET, "/upfront", &payment, "");
    let (a, b) = tokio::join!(world.start(request()), second.start(request()));
    let mut statuses = [a.status(), b.status()];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::CONFLICT]);
}

#[tokio::test]
async fn an_answer_that_the_upstream_broke_off_is_made_again_a_few_times() {
    for broken in [Then::Break, Then::Panic] {
        let world = World::new();
        let payment = world.payment(Method::GET, "/upfront", 1).await;
        world.api.streams([broken; 5]);
        for time in 1..=4 {
            let response = again(&world, &payment).await;
            assert_eq!(response.status(), StatusCode::OK, "{broken:?}, time {time}");
            // As a connection does: in a task of its own, which may panic.
            let read = tokio::spawn(async move { response.into_body().collect().await.is_err() });
            assert!(read.await.unwrap_or(true));
        }
        is_used(&world, &payment).await;
        assert_eq!(world.api.served(), 4, "{broken:?}");
        is_closed(&world).await;
    }
}

#[tokio::test]
async fn a_stream_that_lasts_is_closed_before_anybody_takes_it_for_a_dead_ones() {
    let mut world = World::new();
    let payment = world.payment(Method::GET, "/upfront", 1).await;
    let response = begun(&world, &payment).await;
    // Half of the shortest lease that any process can have.
    let half = Duration::from_secs(60) / 2;
    let both_pass = async |time: Duration| {
        world.clock.advance(time);
        pass(time).await;
    };
    both_pass(half - Duration::from_secs(20)).await;
    assert_eq!(world.open_claim(1).await.unwrap().state, streaming());
    both_pass(Duration::from_secs(20)).await;
    is_closed(&world).await;
    let copy = world.send(paid(Method::GET, "/upfront", &payment, "")).await;
    assert_eq!(copy.code(), "payment_in_progress", "it streams on");
    both_pass(10 * half).await;
    world.restart().await;
    is_used(&world, &payment).await;
    drop(response);
    assert_eq!((world.api.served(), world.script.settled()), (1, 1));
}

#[tokio::test]
async fn another_process_keeps_off_a_stream_that_began_late() {
    let mut world = World::new();
    let payment = world.payment(Method::GET, "/upfront", 1).await;
    let response = begun(&world, &payment).await;
    let other = World { layer: world.beside(), ..World::new() };
    world.clock.advance(Duration::from_secs(30 + 30 + 1 + 60));
    // An answer would never end.
    let copy = in_time("it is kept off", other.send(paid(Method::GET, "/upfront", &payment, ""))).await;
    assert_eq!((copy.status, copy.code().as_str()), (StatusCode::CONFLICT, "payment_in_progress"));
    // Its process is dead, and its lease over.
    std::mem::forget(response);
    world.clock.advance(Duration::from_secs(1));
    world.layer = other.layer;
    drop(begun(&world, &payment).await);
    is_closed(&world).await;
}
