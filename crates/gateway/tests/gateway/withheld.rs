use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use farthing_gateway::{Config, Pricing, is_resent};
use farthing_ledger::{ClaimState, Claimed};
use farthing_protocol::x402::{Reason, SettleResponse};
use http::{Method, StatusCode};

use tokio::sync::Barrier;

use crate::waiting::{eventually, pass};
use crate::world::{Answer, PAYER, Settle, World, YAML, key, paid, patient, request, transaction};

#[tokio::test]
async fn a_settlement_that_is_late_is_waited_for() {
    let world = World::selling(&patient());
    world.script.settles([Settle::Pending, Settle::Down]);
    let answer = world.buy("/weather", 1).await;
    assert_eq!((answer.status, world.script.settled()), (StatusCode::OK, 1));
}

/// Known attacks, "settlement times out, the chain confirms later" (#1062, #2294).
#[tokio::test]
async fn an_answer_is_withheld_while_nobody_knows_and_given_out_afterwards() {
    for unknown in [
        Settle::Hang,
        Settle::Pending,
        Settle::Down,
        Settle::Refuse(Reason::UnexpectedSettleError, ""),
        Settle::Refuse(Reason::POST_SETTLEMENT_TRANSFER_NOT_CONFIRMED, "0x1"),
    ] {
        let world = World::new();
        let payment = world.payment(Method::GET, "/weather", 1).await;
        world.script.settles(vec![unknown.clone(); 3]);
        let withheld = world.send(paid(Method::GET, "/weather", &payment, "")).await;
        assert_eq!(withheld.status, StatusCode::GATEWAY_TIMEOUT, "{unknown:?}");
        assert_eq!(withheld.code(), "settlement_pending");
        assert!(withheld.headers.contains_key("retry-after"));
        assert!(!withheld.settlement().success);
        assert!(matches!(world.open_claim(1).await.unwrap().state, ClaimState::Settling { .. }));
        assert_eq!(world.script.settled(), 0);

        // It is settled meanwhile; the facilitator answers from its record.
        world.script.settle.lock().unwrap().clear();
        let answer = world.send(paid(Method::GET, "/weather", &payment, "")).await;
        assert_eq!(answer.status, StatusCode::OK, "{unknown:?}: {}", answer.text());
        assert!(answer.text().contains("paid 2000"));
        assert!(answer.settlement().success);
        assert_eq!((world.api.served(), world.script.settled()), (1, 1));
        assert_eq!(world.state(1).await, Some(ClaimState::Settled { transaction: transaction(&key(1)) }));
        let copy = world.send(paid(Method::GET, "/weather", &payment, "")).await;
        assert_eq!(copy.status, StatusCode::CONFLICT);
    }
}

#[tokio::test]
async fn a_withheld_answer_goes_to_nobody_else() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/weather/oslo", 1).await;
    world.script.settles(vec![Settle::Pending; 3]);
    world.send(paid(Method::GET, "/weather/oslo", &payment, "")).await;
    world.script.settle.lock().unwrap().clear();
    let other = world.send(paid(Method::GET, "/weather/rome", &payment, "")).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert_eq!((world.api.served(), world.script.settled()), (1, 0));
}

/// Known attacks, "header reuse across resources" (arXiv 2605.11781): each part of a request that a claim is bound to,
/// changed alone.
#[tokio::test]
async fn a_withheld_answer_goes_to_the_same_request_alone() {
    let world = World::new();
    let (name, payment) = world.payment(Method::POST, "/echo", 1).await;
    let send =
        async |path: &str, payment: &str, body: &'static str, [key, credentials, cookie, kind]: [&str; 4]| {
            let request = request(Method::POST, path).header(name, payment).header("idempotency-key", key);
            let request = request.header("authorization", credentials).header("cookie", cookie);
            world.send(request.header("content-type", kind).body(Body::from(body)).unwrap()).await
        };
    let mine = ["key", "Bearer mine", "session=mine", "text/plain"];
    world.script.settles(vec![Settle::Pending; 3]);
    let withheld = send("/echo?of=me", &payment, "goods", mine).await;
    assert_eq!(withheld.status, StatusCode::GATEWAY_TIMEOUT);
    world.script.settle.lock().unwrap().clear();

    let spelled = BASE64.encode([BASE64.decode(&payment).unwrap(), b" ".to_vec()].concat());
    let [key, credentials, cookie, kind] = mine;
    for (what, answer) in [
        ("query", send("/echo?of=you", &payment, "goods", mine).await),
        ("no query", send("/echo", &payment, "goods", mine).await),
        ("body", send("/echo?of=me", &payment, "other goods", mine).await),
        ("payment header", send("/echo?of=me", &spelled, "goods", mine).await),
        ("key", send("/echo?of=me", &payment, "goods", ["other", credentials, cookie, kind]).await),
        ("credentials", send("/echo?of=me", &payment, "goods", [key, "Bearer yours", cookie, kind]).await),
        ("cookie", send("/echo?of=me", &payment, "goods", [key, credentials, "session=yours", kind]).await),
        (
            "content type",
            send("/echo?of=me", &payment, "goods", [key, credentials, cookie, "text/html"]).await,
        ),
    ] {
        let refused = (StatusCode::CONFLICT, "duplicate_settlement".to_owned());
        assert_eq!((answer.status, answer.code()), refused, "{what}");
    }
    assert_eq!((world.api.served(), world.script.settled()), (1, 0), "nobody else was served or asked for");
    let answer = send("/echo?of=me", &payment, "goods", mine).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::CREATED, "goods"));
    assert_eq!((world.api.served(), world.script.settled()), (1, 1));
}

/// A facilitator without a record, or another one behind the same address, answers a second question by what the first
/// did to the chain: the nonce is used, or its own second transaction reverts.
#[tokio::test]
async fn after_an_open_end_only_the_same_transactions_failure_is_final() {
    let used = Settle::Refuse(Reason::EVM_NONCE_ALREADY_USED, "");
    let other_reverted = Settle::Refuse(Reason::EVM_TRANSACTION_FAILED, "0x2");
    for first in [Settle::Down, Settle::Pending] {
        for second in [used.clone(), other_reverted.clone()] {
            let world = World::new();
            let payment = world.payment(Method::GET, "/weather", 1).await;
            world.script.settles([first.clone(), second.clone(), Settle::Hang]);
            let answer = world.send(paid(Method::GET, "/weather", &payment, "")).await;
            assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "402 would have the buyer pay twice");
            let claim = world.open_claim(1).await.unwrap();
            assert!(matches!(claim.state, ClaimState::Settling { .. }), "{first:?}, {second:?}");
            world.script.settle.lock().unwrap().clear();
            // What was served is given out when it is known, and not served again.
            let answer = world.send(paid(Method::GET, "/weather", &payment, "")).await;
            assert_eq!((answer.status, world.api.served()), (StatusCode::OK, 1), "{first:?}, {second:?}");
        }
    }
}

#[tokio::test]
async fn the_transaction_that_was_waited_for_may_fail() {
    let world = World::selling(&patient());
    let failed = SettleResponse {
        success: false,
        error_reason: Some(Reason::EVM_TRANSACTION_FAILED),
        transaction: transaction(&key(1)).to_ascii_uppercase().replace("0X", "0x"),
        network: "eip155:84532".into(),
        ..SettleResponse::default()
    };
    world.script.settles([Settle::Pending, Settle::Say(failed)]);
    let answer = world.buy("/weather", 1).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert!(matches!(world.state(1).await, Some(ClaimState::Failed { .. })));
}

/// The question that was given up may begin the settlement anew just now.
#[tokio::test]
async fn what_was_abandoned_is_not_over_while_a_question_is_open() {
    for (last, withheld) in [(Settle::Hang, true), (Settle::Down, false)] {
        let world = World::new();
        world.abandoned(1).await;
        world.script.settles(vec![last.clone(); 3]);
        let answer = world.buy("/weather", 1).await;
        assert_eq!(answer.status == StatusCode::GATEWAY_TIMEOUT, withheld, "{last:?}: {}", answer.status);
        assert_eq!(world.open_claim(1).await.is_some(), withheld, "{last:?}");
    }
}

/// Who wakes after the time for a settlement asks nobody any more: a question that is given up at once leaves it open
/// what became of it, and a payment that was free again would be withheld.
#[tokio::test]
async fn who_oversleeps_asks_no_more() {
    let world = World::selling(&patient());
    world.abandoned(1).await;
    world.script.settles([Settle::Down, Settle::Hang]);
    let asked = Arc::new(Barrier::new(2));
    *world.script.settle_meets.lock().unwrap() = Some(asked.clone());
    let oversleeps = async {
        asked.wait().await;
        // Once it has run again it sleeps until the next question.
        tokio::task::yield_now().await;
        *world.script.settle_meets.lock().unwrap() = None;
        pass(Duration::from_secs(30)).await;
    };
    let (answer, ()) = tokio::join!(world.buy("/weather", 1), oversleeps);
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.text());
    assert!(world.open_claim(1).await.is_none());
    assert_eq!(world.script.settle.lock().unwrap().len(), 1, "it was asked once");
}

#[tokio::test]
async fn a_success_that_makes_no_sense_is_not_believed() {
    let good = SettleResponse {
        success: true,
        payer: Some(PAYER.into()),
        transaction: "0x1".into(),
        network: "eip155:84532".into(),
        ..SettleResponse::default()
    };
    for said in [
        SettleResponse { transaction: String::new(), ..good.clone() },
        SettleResponse { network: "eip155:8453".into(), ..good.clone() },
        SettleResponse { payer: Some("0x02".into()), ..good.clone() },
    ] {
        let world = World::new();
        world.script.settles(vec![Settle::Say(said); 5]);
        let answer = world.buy("/weather", 1).await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    }
    let world = World::new();
    world.script.settles([Settle::Say(good)]);
    assert_eq!(world.buy("/weather", 1).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_buyer_who_hangs_up_is_served_when_he_comes_back() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/gated/200", 1).await;
    world.hang_up(paid(Method::GET, "/gated/200", &payment, "")).await;
    let copy = world.send(paid(Method::GET, "/gated/200", &payment, "")).await;
    assert_eq!((copy.status, copy.code().as_str()), (StatusCode::CONFLICT, "payment_in_progress"));
    world.api.gate.open();
    eventually("the call is finished without him", async || world.script.settled() == 1).await;
    eventually("its gate is open", async || {
        let answer = world.start(paid(Method::GET, "/gated/200", &payment, "")).await;
        if answer.status() == StatusCode::CONFLICT {
            return false;
        }
        assert!(is_resent(&answer));
        assert_eq!(Answer::of(answer).await.text(), "as you wish");
        true
    })
    .await;
    let copy = world.send(paid(Method::GET, "/gated/200", &payment, "")).await;
    assert_eq!((copy.status, copy.code().as_str()), (StatusCode::CONFLICT, "duplicate_settlement"));
    assert_eq!((world.api.served(), world.script.settled()), (1, 1));
}

#[tokio::test]
async fn what_a_dead_process_left_is_looked_after() {
    let mut world = World::new();
    let payments =
        [world.payment(Method::GET, "/weather", 1).await, world.payment(Method::GET, "/weather", 2).await];
    // Both are served; one dies before it asks for the settlement, one while it does.
    world.script.settles(vec![Settle::Hang; 2]);
    for payment in &payments {
        world.send(paid(Method::GET, "/weather", payment, "")).await;
    }
    // What the first one's claim would have been.
    let why = "test".to_owned();
    let seen = world.open_claim(1).await.unwrap();
    world.ledger.move_claim(&key(1), seen.seq, ClaimState::Released { why }).await.unwrap();
    let claim = world.open_claim(2).await.unwrap().claim;
    let taken = farthing_ledger::NewClaim { key: key(1), ..claim };
    assert!(matches!(world.ledger.claim(taken).await.unwrap(), Claimed::Granted { .. }));

    let served = world.api.served();
    world.restart().await;
    assert!(world.open_claim(1).await.is_none(), "taken, never settled: free again");
    assert!(world.open_claim(2).await.is_some(), "settling: its answer is owed");
    for payment in &payments {
        let answer = world.send(paid(Method::GET, "/weather", payment, "")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    assert_eq!(world.api.served() - served, 2, "the lost answers are made again");
    assert_eq!(world.script.settled(), 2);
    for payment in &payments {
        assert_eq!(world.send(paid(Method::GET, "/weather", payment, "")).await.status, StatusCode::CONFLICT);
    }
}

#[tokio::test]
async fn another_process_waits_until_the_lease_is_over() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/weather", 1).await;
    world.script.settles(vec![Settle::Hang; 1]);
    world.send(paid(Method::GET, "/weather", &payment, "")).await;
    // A second process on the same ledger, which does not know whether the first one lives.
    let second = World { layer: world.beside(), ..World::new() };
    let answer = second.send(paid(Method::GET, "/weather", &payment, "")).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::CONFLICT, "payment_in_progress"));
    world.clock.advance(Duration::from_secs(30 + 30 + 1 + 60 + 1));
    let answer = second.send(paid(Method::GET, "/weather", &payment, "")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    // The first one still keeps the answer that it made. Sold was the other one.
    for _ in 0..2 {
        let copy = world.send(paid(Method::GET, "/weather", &payment, "")).await;
        assert_eq!((copy.status, copy.code().as_str()), (StatusCode::CONFLICT, "duplicate_settlement"));
    }
    assert_eq!((world.api.served(), second.api.served(), world.script.settled()), (1, 1, 1));
}

/// Prices change: who paid the old one, and has no answer yet, is not asked for the new one.
#[tokio::test]
async fn a_withheld_answer_is_given_out_under_other_prices() {
    for (restarts, upfront) in [(false, false), (true, false), (false, true)] {
        let mut world = World::new();
        let (path, price) = if upfront { ("/upfront/200", "$0.05") } else { ("/weather", "$0.002") };
        let payment = world.payment(Method::GET, path, 1).await;
        world.script.settles(vec![Settle::Pending; 3]);
        let withheld = world.send(paid(Method::GET, path, &payment, "")).await;
        assert_eq!(withheld.status, StatusCode::GATEWAY_TIMEOUT);
        world.script.settle.lock().unwrap().clear();
        if restarts {
            world.restart().await;
        }
        let dearer = YAML.replace(&format!("price: \"{price}\""), "price: \"$0.07\"");
        let pricing = Pricing::new(&Config::parse("gateway.yaml", &dearer).unwrap()).unwrap();
        world.layer.pricing().replace(pricing);

        // Another request with the same payment, and another payment of the old price, buy nothing more.
        let elsewhere = world.send(paid(Method::GET, &format!("{path}?x=1"), &payment, "")).await;
        assert_eq!(elsewhere.status, StatusCode::PAYMENT_REQUIRED, "{restarts} {upfront}");
        let settled = world.script.settled();
        let answer = world.send(paid(Method::GET, path, &payment, "")).await;
        assert_eq!(answer.status, StatusCode::OK, "{restarts} {upfront}: {}", answer.text());
        assert!(answer.settlement().success);
        assert_eq!(world.script.settled(), settled + 1);
        eventually("it is recorded", async || {
            matches!(world.state(1).await, Some(ClaimState::Settled { .. }))
        })
        .await;
        let copy = world.send(paid(Method::GET, path, &payment, "")).await;
        assert_eq!(copy.status, StatusCode::CONFLICT, "not 402: it was paid");
    }
}

/// Version 1 echoes no terms. What a facilitator on the same ledger has recorded is believed all the same.
#[tokio::test]
async fn the_shared_record_says_that_it_is_settled() {
    let world = World::new();
    let payment = world.payment(Method::GET, "/weather", 1).await;
    world.script.settles(vec![Settle::Pending; 9]);
    let withheld = world.send(paid(Method::GET, "/weather", &payment, "")).await;
    assert_eq!(withheld.status, StatusCode::GATEWAY_TIMEOUT);
    world.confirmed(1).await;
    let answer = world.send(paid(Method::GET, "/weather", &payment, "")).await;
    assert_eq!((answer.status, world.api.served()), (StatusCode::OK, 1), "{}", answer.text());
    assert_eq!(answer.settlement().transaction, transaction(&key(1)));
}

/// Two processes at work on one payment: each believes that the other has left it.
async fn both_serve(first: World, second: World, payment: (&'static str, String)) -> (World, usize) {
    let (first, second) = (Arc::new(first), Arc::new(second));
    let call = |world: &Arc<World>| {
        let (world, payment) = (world.clone(), payment.clone());
        tokio::spawn(async move { world.send(paid(Method::GET, "/gated/200", &payment, "")).await })
    };
    let early = call(&second);
    eventually("the second one serves", async || second.api.served() == 1).await;
    let (late, before) = (call(&first), first.api.served());
    let decided = async || late.is_finished() || first.api.served() > before;
    eventually("the first one serves too, or keeps off", decided).await;
    first.api.gate.open();
    second.api.gate.open();
    let answers = [early.await.unwrap(), late.await.unwrap()];
    for answer in &answers {
        assert!(matches!(answer.status, StatusCode::OK | StatusCode::CONFLICT), "{}", answer.text());
    }
    let good = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    (Arc::into_inner(first).unwrap(), good)
}

#[tokio::test]
async fn a_payment_that_was_given_back_is_not_this_processs_any_more() {
    let first = World::new();
    let payment = first.payment(Method::GET, "/gated/200", 1).await;
    // Taken here and given back: the buyer had too little.
    first.api.gate.open();
    first.script.settles([Settle::Refuse(Reason::EVM_INSUFFICIENT_BALANCE, "")]);
    let refused = first.send(paid(Method::GET, "/gated/200", &payment, "")).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    // Then taken by another process. A copy that comes here while it is at work has to wait.
    let second = World { layer: first.beside(), ..World::new() };
    let (first, good) = both_serve(first, second, payment).await;
    assert_eq!((good, first.api.served(), first.script.settled()), (1, 1, 1));
}

#[tokio::test]
async fn one_of_two_processes_that_serve_a_payment_gives_its_answer_out() {
    let first = World::new();
    let payment = first.payment(Method::GET, "/gated/200", 1).await;
    let second = World { layer: first.beside(), ..World::new() };
    // The first one wrongly believes that it is alone, as after a lease that was too short.
    let first = World { layer: first.layer.clone().alone_on_ledger(), ..first };
    let (_, good) = both_serve(first, second, payment).await;
    assert_eq!(good, 1);
}

#[tokio::test]
async fn one_of_two_processes_gives_out_what_was_settled_upfront() {
    let first = World::selling(&patient());
    let payment = first.payment(Method::GET, "/upfront/200", 1).await;
    let second = World { layer: first.beside(), ..World::new() };
    let first = World { layer: first.layer.clone().alone_on_ledger(), ..first };
    // Neither is told that it is settled before the other has asked as well.
    *first.script.settle_meets.lock().unwrap() = Some(Arc::new(Barrier::new(2)));
    let settles = async || {
        let claim = first.open_claim(1).await;
        claim.is_some_and(|claim| matches!(claim.state, ClaimState::Settling { .. }))
    };
    let request = || paid(Method::GET, "/upfront/200", &payment, "");
    let later = async {
        eventually("the second one settles", settles).await;
        first.send(request()).await
    };
    let (a, b) = tokio::join!(second.send(request()), later);
    let good = [&a, &b].into_iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert_eq!(good, 1, "{} {}", a.text(), b.text());
}
