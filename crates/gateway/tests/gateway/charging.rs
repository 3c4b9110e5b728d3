use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use farthing_facilitator::FacilitatorError;
use farthing_ledger::ClaimState;
use farthing_protocol::Protocol;
use farthing_protocol::x402::{Reason, SettleResponse, VerifyResponse, decode_header};
use futures::SinkExt as _;
use http::{Method, StatusCode};
use tokio::sync::Barrier;

use crate::waiting::{eventually, in_time, pass};
use crate::world::{PAYER, Settle, World, YAML, down, key, paid, pay, request, transaction};

#[tokio::test]
async fn paid_served_settled_and_told() {
    let world = World::new();
    let answer = world.buy("/weather", 7).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.text(), format!("{} paid 2000 on eip155:84532", PAYER.to_lowercase()));
    assert_eq!(answer.header("cache-control"), "private");
    assert!(answer.header("access-control-expose-headers").contains("PAYMENT-RESPONSE"));
    let settled = answer.settlement();
    assert!(settled.success);
    assert_eq!((settled.transaction.clone(), &*settled.network), (transaction(&key(7)), "eip155:84532"));
    assert_eq!(world.state(7).await, Some(ClaimState::Settled { transaction: settled.transaction }));
    assert_eq!((world.api.served(), world.script.settled()), (1, 1));
}

#[tokio::test]
async fn version_1_pays_and_is_told_in_its_own_words() {
    let world = World::new();
    let challenge = world.ask("/weather").await.challenge();
    let payment = pay(&challenge, |offer| offer.protocol == Protocol::X402V1, 1);
    assert_eq!(payment.0, "x-payment");
    let answer = world.send(paid(Method::GET, "/weather", &payment, "")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let settled: SettleResponse =
        decode_header("test", answer.headers["x-payment-response"].as_bytes()).unwrap();
    assert_eq!(settled.network, "base-sepolia");
    assert!(!answer.headers.contains_key("payment-response"));
}

#[tokio::test]
async fn two_offers_on_one_network_are_told_apart() {
    let world = World::new();
    let challenge = world.ask("/two-offers").await.challenge();
    for (nonce, protocol) in [(1, Protocol::X402V2), (3, Protocol::X402V1)] {
        for (nonce, amount) in [(nonce, 30_000), (nonce + 1, 40_000)] {
            let payment = pay(
                &challenge,
                |offer| offer.protocol == protocol && offer.requirements.amount.get() == amount,
                nonce,
            );
            let answer = world.send(paid(Method::GET, "/two-offers", &payment, "")).await;
            assert!(answer.text().contains(&format!("paid {amount} ")), "{protocol} {}", answer.text());
        }
    }
}

#[tokio::test]
async fn an_invalid_payment_is_refused_before_anything_happens() {
    for (reason, message, status, error) in [
        (Some(Reason::EVM_SIGNATURE), None, 402, "invalid_exact_evm_signature"),
        (Some(Reason::InsufficientFunds), Some("has $0.00"), 402, "insufficient_funds: has $0.00"),
        (Some(Reason::PERMIT2_ALLOWANCE_REQUIRED), None, 412, "permit2_allowance_required"),
        (None, None, 402, "Payment verification failed"),
    ] {
        let world = World::new();
        let invalid = VerifyResponse {
            invalid_reason: reason,
            invalid_message: message.map(str::to_owned),
            ..VerifyResponse::default()
        };
        world.script.verify.lock().unwrap().push_back(Ok(invalid));
        let answer = world.buy("/weather", 1).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.challenge().error.as_deref(), Some(error));
        assert_eq!(world.state(1).await, None, "nothing was claimed");
        assert_eq!((world.api.served(), world.script.settled()), (0, 0));
    }
}

#[tokio::test]
async fn a_facilitator_that_cannot_answer_costs_nothing() {
    let bad = FacilitatorError::BadAnswer { at: "test".into(), why: "rubbish".into() };
    let other_payer =
        VerifyResponse { is_valid: true, payer: Some("0x01".into()), ..VerifyResponse::default() };
    for (answer, status) in [(Err(down()), 503), (Err(bad), 502), (Ok(other_payer), 502)] {
        let world = World::new();
        world.script.verify.lock().unwrap().push_back(answer);
        let answer = world.buy("/weather", 1).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        assert_eq!((world.api.served(), world.script.settled()), (0, 0));
        assert_eq!(world.buy("/weather", 1).await.status, StatusCode::OK, "the same payment is still good");
    }
}

/// However short an operator waits for settlements.
#[tokio::test]
async fn a_slow_verification_is_waited_for() {
    let world = World::new();
    let verified = Arc::new(Barrier::new(2));
    *world.script.verify_meets.lock().unwrap() = Some(verified.clone());
    let slowly = async {
        let is_asked = async || world.script.verified.load(Ordering::SeqCst) == 1;
        eventually("the verification is asked for", is_asked).await;
        // Longer than for a settlement.
        pass(Duration::from_secs(2)).await;
        verified.wait().await;
    };
    let answer = tokio::select! {
        answer = world.buy("/weather", 1) => answer,
        never = async { slowly.await; std::future::pending().await } => never,
    };
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

#[tokio::test]
async fn a_failed_call_is_never_settled() {
    for (path, status) in [
        ("/status/400", 400),
        ("/status/404", 404),
        ("/status/500", 500),
        ("/status/503", 503),
        ("/never", 504),
        ("/panic", 500),
        ("/big", 502),
    ] {
        let world = World::new();
        let answer = world.buy(path, 1).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(!answer.headers.contains_key("payment-response"), "{path}");
        assert_eq!(world.script.settled(), 0, "{path}");
        assert!(world.open_claim(1).await.is_none(), "{path}: the payment is free again");
        assert!(world.layer.metrics().render().contains("farthing_gateway_failed_total 1\n"));
    }
}

#[tokio::test]
async fn redirects_and_empty_answers_are_success() {
    for code in [204, 304, 302] {
        let world = World::new();
        let answer = world.buy(&format!("/status/{code}"), 1).await;
        assert_eq!((answer.status.as_u16(), world.script.settled()), (code, 1));
        assert_eq!(answer.header("cache-control"), "private, max-age=60");
    }
}

#[tokio::test]
async fn the_payment_of_a_failed_call_buys_the_next_one() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/weather", 1).await;
    world.script.settles([Settle::Refuse(Reason::InsufficientFunds, "")]);
    let refused = world.send(paid(Method::GET, "/weather", &payment, "")).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    assert!(!refused.text().contains("paid 2000"), "the answer is withheld");
    assert_eq!(refused.settlement().error_reason, Some(Reason::InsufficientFunds));
    assert_eq!(refused.challenge().error.as_deref(), Some("insufficient_funds"));
    let served = world.send(paid(Method::GET, "/weather", &payment, "")).await;
    assert_eq!((served.status, world.script.settled()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn a_reverted_settlement_ends_the_payment() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/weather", 1).await;
    world.script.settles([Settle::Refuse(Reason::EVM_TRANSACTION_FAILED, "0xdead")]);
    for _ in 0..2 {
        let refused = world.send(paid(Method::GET, "/weather", &payment, "")).await;
        assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
        assert_eq!(refused.challenge().error.as_deref(), Some("invalid_exact_evm_transaction_failed"));
    }
    assert_eq!((world.api.served(), world.script.settled()), (1, 0));
}

#[tokio::test]
async fn bodies_are_bounded() {
    let world = World::new();
    let payment = world.payment(Method::POST, "/echo", 1).await;
    let body: &'static str = "x".repeat(1001).leak();
    let answer = world.send(paid(Method::POST, "/echo", &payment, body)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("xxxxxxxxxxxxxxxx"));
    let chunked =
        request(Method::POST, "/echo").header(payment.0, &payment.1).body(Body::from_stream(endless));
    assert_eq!(world.send(chunked.unwrap()).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!((world.api.served(), world.script.settled()), (0, 0));
    let answer = world.send(paid(Method::POST, "/echo", &payment, "small")).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::CREATED, "small"));
    assert_eq!(
        world.script.verified.load(Ordering::SeqCst),
        3,
        "bodies are read after the payment is verified"
    );
}

/// A buyer whose body is too long, or too slow, can go on sending it: otherwise he would not come to read the answer.
#[tokio::test]
async fn the_rest_of_a_refused_body_is_read() {
    for (first, status) in [("x".repeat(1001), 413), ("x".repeat(10), 408)] {
        let world = World::selling(&YAML.replace("settle: 1s", "settle: 1s, request_body: 100ms"));
        let payment = world.payment(Method::POST, "/echo", 1).await;
        let (mut sender, body) = futures::channel::mpsc::channel::<std::io::Result<String>>(0);
        sender.try_send(Ok(first)).unwrap();
        let sent = request(Method::POST, "/echo").header(payment.0, &payment.1).body(Body::from_stream(body));
        assert_eq!(world.send(sent.unwrap()).await.status.as_u16(), status);
        for _ in 0..3 {
            in_time("it is read", sender.send(Ok("more".into()))).await.unwrap();
        }
        assert_eq!((world.api.served(), world.script.settled()), (0, 0));
    }
}

#[tokio::test]
async fn a_handler_cannot_forge_a_settlement() {
    let world = World::new();
    let answer = world.buy("/forge", 1).await;
    assert_eq!(answer.text(), "forged");
    assert!(answer.settlement().success);
    for name in ["x-payment-response", "extension-responses", "settlement-overrides"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
    assert_eq!(answer.headers.get_all("payment-response").iter().count(), 1);
}
