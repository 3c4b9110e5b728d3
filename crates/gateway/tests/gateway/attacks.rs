//! Rows of "Known attacks" in the protocol's facts that a gateway answers alone, with a facilitator that believes
//! everything: what is refused here is refused whatever the facilitator says. The others stand in `copies` (many at once,
//! other requests), `withheld` (settlements that are late), `paths` (encodings) and `tests/e2e/attacks_seller.rs`, which
//! has the whole table.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use farthing_ledger::{ClaimState, Claimed};
use farthing_protocol::x402::{PAYMENT_SIGNATURE, X_PAYMENT, decode_header, encode_header};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use crate::waiting::{eventually, in_time};
use crate::world::{Answer, World, YAML, key, paid, patient, request};

/// The usual shop with these limits.
fn limited(limits: &str) -> World {
    World::selling(&patient().replace("limits: {", &format!("limits: {{{limits}, ")))
}

fn edited(payment: &(&str, String), edit: impl FnOnce(&mut Value)) -> (&'static str, String) {
    let mut json: Value = decode_header("test", payment.1.as_bytes()).unwrap();
    edit(&mut json);
    (PAYMENT_SIGNATURE, encode_header(&json).unwrap())
}

/// Known attacks, "lock keyed on spoofable fields": who signs a payment and its nonce, as bytes, are its key and nothing
/// else is. The signature least of all: this facilitator takes any.
#[tokio::test]
async fn another_spelling_is_no_other_payment() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/weather", 0xabc).await;
    assert_eq!(world.send(paid(Method::GET, "/weather", &payment, "")).await.status, StatusCode::OK);
    let field = |name: &'static str, change: fn(&str) -> String| {
        edited(&payment, |json| {
            let field = &mut json["payload"]["authorization"][name];
            *field = change(field.as_str().unwrap()).into();
        })
    };
    let signed = |signature: String| edited(&payment, |json| json["payload"]["signature"] = signature.into());
    let upper = |text: &str| format!("0x{}", text[2..].to_uppercase());
    let same = [
        field("nonce", upper),
        field("from", upper),
        field("from", str::to_lowercase),
        field("value", |text| format!("00{text}")),
        field("validAfter", |_| "00".to_owned()),
        field("validBefore", |_| "99999999999".to_owned()),
        signed(format!("0x{}", "1c".repeat(65))),
        signed("0x".to_owned()),
        edited(&payment, |json| json["resource"]["url"] = "https://elsewhere.example/".into()),
        edited(&payment, |json| json["payload"]["more"] = "x".into()),
        (X_PAYMENT, payment.1.clone()),
        (PAYMENT_SIGNATURE, payment.1.trim_end_matches('=').to_owned()),
    ];
    for spelling in &same {
        let answer = world.send(paid(Method::GET, "/weather", spelling, "")).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::CONFLICT, "duplicate_settlement"));
    }
    let unreadable = [
        field("nonce", |text| text.replace("0x", "0x00")),
        field("nonce", |text| format!("0x{}", text[2..].trim_start_matches('0'))),
        field("nonce", |text| text.replace("0x", "0X")),
        field("from", |text| text.replace("0x", "0x00")),
    ];
    for spelling in &unreadable {
        let answer = world.send(paid(Method::GET, "/weather", spelling, "")).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "invalid_payload"));
    }
    assert_eq!((world.api.served(), world.script.settled()), (1, 1));
}

/// Known attacks, "header reuse across resources": also while the first is still being served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_payment_at_many_resources_at_once_buys_one() {
    let world = Arc::new(World::new());
    let payment = world.payment(Method::GET, "/weather/0", 1).await;
    let copies = (0..50).map(|n| {
        let (world, payment) = (world.clone(), payment.clone());
        tokio::spawn(
            async move { world.send(paid(Method::GET, &format!("/weather/{n}"), &payment, "")).await },
        )
    });
    let answers = futures::future::join_all(copies).await;
    let good = answers.iter().filter(|answer| answer.as_ref().unwrap().status == StatusCode::OK).count();
    assert_eq!((good, world.api.served(), world.script.settled()), (1, 1, 1));
}

/// Known attacks, "fake token, decimals or domain" (#3102, #837): what is paid is an offer of the route to the letter, or
/// nothing. A facilitator is not even asked.
#[tokio::test]
async fn an_offer_that_was_not_made_is_not_paid() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/weather", 1).await;
    let changes: [(&str, Value); 8] = [
        ("/accepted/asset", "0x1111111111111111111111111111111111111111".into()),
        ("/accepted/amount", "1".into()),
        ("/accepted/payTo", "0x1111111111111111111111111111111111111111".into()),
        ("/accepted/network", "eip155:8453".into()),
        ("/accepted/scheme", "upto".into()),
        ("/accepted/extra/name", "Fake Coin".into()),
        ("/accepted/extra/version", "1".into()),
        ("/accepted/maxTimeoutSeconds", 86_400.into()),
    ];
    for (at, value) in changes {
        let altered = edited(&payment, |json| *json.pointer_mut(at).unwrap() = value);
        let answer = world.send(paid(Method::GET, "/weather", &altered, "")).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{at}: {}", answer.text());
    }
    assert_eq!((world.script.verified.load(Ordering::SeqCst), world.api.served()), (0, 0));
}

/// Sends so many different payments of one payer for one path at once. Their answers come as they are ready, each with
/// its payment's nonce.
async fn at_once(
    world: &Arc<World>,
    path: &'static str,
    nonces: std::ops::Range<u32>,
) -> FuturesUnordered<JoinHandle<(u32, Answer)>> {
    let mut payments = Vec::new();
    for nonce in nonces {
        payments.push((nonce, world.payment(Method::GET, path, nonce).await));
    }
    let call = |(nonce, payment)| {
        let world = world.clone();
        tokio::spawn(async move { (nonce, world.send(paid(Method::GET, path, &payment, "")).await) })
    };
    payments.into_iter().map(call).collect()
}

fn is_limited(answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "payer_limit"));
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(answer.header("cache-control"), "no-store");
}

/// Known attacks, "drain or cancel between verify and settle" (arXiv 2605.30998): the exposure limit per payer, by calls
/// and by money. What was refused so is good afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payers_unsettled_calls_are_bounded() {
    for limits in ["payer_calls: 2", "payer_unsettled: \"$0.02\"", "payer_unsettled: \"$0.029999\""] {
        let world = Arc::new(limited(limits));
        let mut calls = at_once(&world, "/gated/200", 1..8).await.map(Result::unwrap);
        // Whoever is let in waits at the gate.
        let refused = calls.by_ref().take(5).collect();
        let refused: Vec<_> = in_time("all but two are answered", refused).await;
        refused.iter().for_each(|(_, answer)| is_limited(answer));
        world.api.gate.open();
        let served: Vec<_> = calls.collect().await;
        assert!(served.iter().all(|(_, answer)| answer.status == StatusCode::OK), "{limits}");
        assert_eq!((world.api.served(), world.script.settled()), (2, 2), "{limits}");
        assert_eq!(
            world.buy("/gated/200", refused[0].0).await.status,
            StatusCode::OK,
            "{limits}: the others are settled"
        );
        assert_eq!(world.ledger.verify().await.unwrap().problems, Vec::<String>::new());
    }
    let dear = limited("payer_unsettled: \"$0.001\"");
    assert_eq!(dear.buy("/weather", 1).await.status, StatusCode::OK, "one call is let in at any price");
}

/// The same limit where the ledger knows the payment already, and is asked first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_try_counts_too() {
    let world = Arc::new(limited("payer_calls: 1"));
    assert_eq!(world.buy("/status/500", 1).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    let payment = world.payment(Method::GET, "/gated/200", 2).await;
    let gated = tokio::spawn({
        let world = world.clone();
        async move { world.send(paid(Method::GET, "/gated/200", &payment, "")).await }
    });
    eventually("the gated one is served", async || world.api.served() == 2).await;
    is_limited(&world.buy("/status/200", 1).await);
    assert!(world.open_claim(1).await.is_none(), "it is free again");
    world.api.gate.open();
    assert_eq!(gated.await.unwrap().status, StatusCode::OK);
    assert_eq!(world.buy("/status/200", 1).await.status, StatusCode::OK);
}

/// Known attacks, "drain or cancel": upfront calls are settled before anybody works for them, and are not counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upfront_calls_are_no_exposure() {
    let world = Arc::new(limited("payer_calls: 1"));
    // None is settled before all are asked for.
    *world.script.settle_meets.lock().unwrap() = Some(Arc::new(Barrier::new(4)));
    let calls = at_once(&world, "/upfront/200", 1..5).await;
    let answers: Vec<_> = calls.map(Result::unwrap).collect().await;
    assert!(answers.iter().all(|(_, answer)| answer.status == StatusCode::OK));
}

/// Who reads slowly, or not at all, holds no more memory than there is for everybody.
#[tokio::test]
async fn held_answers_are_bounded_together() {
    let world = World::selling(&YAML.replace("response_buffer: 4KB", "response_buffer: 8KB, buffered: 8KB"));
    let unread = {
        let payment = world.payment(Method::GET, "/big", 1).await;
        world.start(paid(Method::GET, "/big", &payment, "")).await
    };
    assert_eq!(unread.status(), StatusCode::OK);
    let answer = world.buy("/big", 2).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "no_room"));
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(world.script.settled(), 1, "nothing was charged");
    let read = unread.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        world.buy("/big", 3).await.code(),
        "no_room",
        "the bytes are there as long as somebody has them"
    );
    drop(read);
    assert_eq!(world.buy("/big", 2).await.status, StatusCode::OK, "with the same payment");
}

/// The same for requests on their way in.
#[tokio::test]
async fn held_requests_are_bounded_together() {
    let world = World::selling(&YAML.replace("response_buffer: 4KB", "response_buffer: 1KB, buffered: 1KB"));
    let first = world.payment(Method::GET, "/weather", 1).await;
    let piece: &'static str = "x".repeat(600).leak();
    let endless = futures::stream::iter([Ok::<_, std::io::Error>(piece)]).chain(futures::stream::pending());
    let uploading = request(Method::GET, "/weather").header(first.0, &first.1);
    let uploading = world.send(uploading.body(Body::from_stream(endless)).unwrap());
    let second = world.payment(Method::GET, "/weather", 2).await;
    let other = async {
        eventually("the first one is verified", async || world.script.verified.load(Ordering::SeqCst) == 1)
            .await;
        world.send(paid(Method::GET, "/weather", &second, piece)).await
    };
    let answer = tokio::select! {
        biased;
        first = uploading => panic!("{}", first.text()),
        answer = other => answer,
    };
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "no_room"));
    assert_eq!(world.send(paid(Method::GET, "/weather", &second, piece)).await.status, StatusCode::OK);
}

/// A process that was given up, and whose handler fails late, takes nothing away from the one that took over and is
/// settling by now.
#[tokio::test]
async fn a_late_failure_leaves_anothers_settlement_alone() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/gated/500", 1).await;
    let late = world.send(paid(Method::GET, "/gated/500", &payment, ""));
    let taken_over = async {
        eventually("the handler runs", async || world.api.served() == 1).await;
        let seen = world.open_claim(1).await.unwrap();
        let released = ClaimState::Released { why: "its lease is over".into() };
        assert!(world.ledger.move_claim(&key(1), seen.seq, released).await.unwrap().is_some());
        let Claimed::Granted { seq } = world.ledger.claim(seen.claim).await.unwrap() else { panic!() };
        let settling = ClaimState::Settling { transaction: Some("0x1".into()) };
        assert!(world.ledger.move_claim(&key(1), seq, settling).await.unwrap().is_some());
        world.api.gate.open();
    };
    let (answer, ()) = tokio::join!(late, taken_over);
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(matches!(world.open_claim(1).await.unwrap().state, ClaimState::Settling { .. }));
}

#[test]
fn limits_that_let_nobody_in_are_refused() {
    for (limits, word) in [
        ("{payer_calls: 0}", "payer_calls"),
        ("{buffered: 9MB}", "buffered"),
        ("{payer_unsettled: 100}", "quotes"),
        ("{payer_unsettled: \"lots\"}", "amount"),
    ] {
        let text = format!("limits: {limits}\nroutes: []\n");
        let error = farthing_gateway::Config::parse("gateway.yaml", &text).unwrap_err();
        assert!(error.to_string().contains(word), "{limits}: {error}");
    }
}
