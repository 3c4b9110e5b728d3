use std::sync::Arc;

use axum::body::Body;
use farthing_gateway::is_resent;
use farthing_protocol::x402::{Reason, VerifyResponse};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::{Method, StatusCode};

use crate::waiting::in_time;
use crate::world::{Answer, Settle, World, paid, request};

/// Known attacks, "the same payment sent many times at once" (x402-foundation/x402 #803, #1169).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_copies_at_once_are_served_once() {
    let world = Arc::new(World::new());
    for (nonce, path) in [(1, "/gated/200"), (2, "/weather"), (3, "/upfront/200")] {
        let payment = world.payment(Method::GET, path, nonce).await;
        let (served, settled) = (world.api.served(), world.script.settled());
        let copies = (0..200).map(|_| {
            let (world, payment) = (world.clone(), payment.clone());
            tokio::spawn(async move { world.send(paid(Method::GET, path, &payment, "")).await })
        });
        let mut copies = copies.collect::<FuturesUnordered<_>>().map(Result::unwrap);
        // The gate keeps the one that is served, until all the others have come and gone.
        let early = copies.by_ref().take(199).collect();
        let mut answers: Vec<Answer> = in_time("all copies but one are answered", early).await;
        world.api.gate.open();
        answers.extend(copies.collect::<Vec<_>>().await);
        let good = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
        assert_eq!(good, 1, "{path}");
        assert!(answers.iter().all(|answer| matches!(answer.status, StatusCode::OK | StatusCode::CONFLICT)));
        assert_eq!((world.api.served() - served, world.script.settled() - settled), (1, 1), "{path}");
    }
}

#[tokio::test]
async fn a_copy_after_delivery_is_told_so_and_not_asked_to_pay() {
    let mut world = World::new();
    let payment = world.payment(Method::GET, "/weather", 1).await;
    assert_eq!(world.send(paid(Method::GET, "/weather", &payment, "")).await.status, StatusCode::OK);
    let copy = world.send(paid(Method::GET, "/weather", &payment, "")).await;
    assert_eq!((copy.status, copy.code().as_str()), (StatusCode::CONFLICT, "duplicate_settlement"));
    // After a restart only the ledger knows; the chain says that the payment is used.
    world.restart().await;
    let used =
        VerifyResponse { invalid_reason: Some(Reason::EVM_NONCE_ALREADY_USED), ..VerifyResponse::default() };
    world.script.verify.lock().unwrap().push_back(Ok(used));
    let copy = world.send(paid(Method::GET, "/weather", &payment, "")).await;
    assert_eq!((copy.status, copy.code().as_str()), (StatusCode::CONFLICT, "duplicate_settlement"));
    assert_eq!((world.api.served(), world.script.settled()), (1, 1));
}

/// Known attacks, "header reuse across resources" (arXiv 2605.11781).
#[tokio::test]
async fn a_payment_buys_nothing_but_the_request_it_was_sent_with() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/weather/oslo", 1).await;
    assert_eq!(world.send(paid(Method::GET, "/weather/oslo", &payment, "")).await.status, StatusCode::OK);
    for path in ["/weather/rome", "/weather/oslo?x=1", "/weather"] {
        let answer = world.send(paid(Method::GET, path, &payment, "")).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{path}");
    }
    let payment = world.payment(Method::POST, "/echo", 2).await;
    assert_eq!(world.send(paid(Method::POST, "/echo", &payment, "a")).await.status, StatusCode::CREATED);
    assert_eq!(world.send(paid(Method::POST, "/echo", &payment, "b")).await.status, StatusCode::CONFLICT);
    assert_eq!((world.api.served(), world.script.settled()), (2, 2));
}

#[tokio::test]
async fn a_named_request_may_be_repeated_and_is_paid_once() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/weather", 1).await;
    let named = |name: &str| {
        let request = request(Method::GET, "/weather").header(payment.0, &payment.1);
        request.header("idempotency-key", name).body(Body::empty()).unwrap()
    };
    let first = world.start(named("mine")).await;
    assert!(!is_resent(&first));
    let first = Answer::of(first).await;
    for _ in 0..3 {
        let again = world.start(named("mine")).await;
        assert!(is_resent(&again));
        let again = Answer::of(again).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.settlement().transaction, first.settlement().transaction);
    }
    assert_eq!(world.send(named("another")).await.status, StatusCode::CONFLICT);
    assert_eq!(world.send(paid(Method::GET, "/weather", &payment, "")).await.status, StatusCode::CONFLICT);
    assert_eq!((world.api.served(), world.script.settled()), (1, 1));
    world.clock.advance(std::time::Duration::from_secs(601));
    assert_eq!(world.send(named("mine")).await.status, StatusCode::CONFLICT, "its time is over");
}

/// Credentials and cookies are the buyer's own as well.
#[tokio::test]
async fn a_request_with_credentials_may_be_repeated() {
    for (nonce, header) in [(1, "authorization"), (2, "cookie")] {
        let world = World::new();
        let payment = world.payment(Method::GET, "/weather", nonce).await;
        let with = |secret: &str| {
            let request = request(Method::GET, "/weather").header(payment.0, &payment.1);
            request.header(header, secret).body(Body::empty()).unwrap()
        };
        let first = world.send(with("mine")).await;
        let again = world.send(with("mine")).await;
        assert_eq!((again.status, again.body), (first.status, first.body), "{header}");
        assert_eq!(world.send(with("yours")).await.status, StatusCode::CONFLICT, "{header}");
        assert_eq!((world.api.served(), world.script.settled()), (1, 1));
    }
}

/// A payment can be read off the chain once it is out. Who sends a copy of it with a body that never ends holds no gate.
#[tokio::test]
async fn a_slow_copy_does_not_shut_the_buyer_out() {
    let world = World::new();
    let payment = world.payment(Method::POST, "/echo", 1).await;
    world.script.settles(vec![Settle::Pending; 3]);
    let withheld = world.send(paid(Method::POST, "/echo", &payment, "mine")).await;
    assert_eq!(withheld.status, StatusCode::GATEWAY_TIMEOUT);
    world.script.settle.lock().unwrap().clear();
    let endless = futures::stream::pending::<std::io::Result<Vec<u8>>>();
    let slow = request(Method::POST, "/echo").header(payment.0, &payment.1);
    let mut slow = Box::pin(world.send(slow.body(Body::from_stream(endless)).unwrap()));
    assert!(futures::poll!(&mut slow).is_pending());
    let answer = world.send(paid(Method::POST, "/echo", &payment, "mine")).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::CREATED, "mine"), "{:?}", answer.headers);
    assert!(futures::poll!(&mut slow).is_pending());
}
