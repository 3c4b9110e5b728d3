//! One payment, one settlement: asked again, from many sides, across failures and restarts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends there")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{PAYEE_2, PAYER, Script, Step, TX, World, eventually, hasty, pay, quick};
use farthing_facilitator::{Facilitate, FacilitatorError, Limits, Payees};
use farthing_ledger::{Ledger, SettlementState, Started};
use farthing_money::Network;
use farthing_protocol::x402::{FacilitatorRequest, Reason, SettleResponse};
use tokio::sync::Semaphore;

fn reason(answer: &SettleResponse) -> &str {
    answer.error_reason.as_ref().map_or("", Reason::as_str)
}

/// Asks to settle until there is an answer: a hasty caller's time may also be over before anything is recorded.
async fn answered(world: &World) -> SettleResponse {
    let begun = Instant::now();
    loop {
        match world.facilitator.settle(&pay().request()).await {
            Err(FacilitatorError::Unreachable { .. }) if begun.elapsed() < Duration::from_secs(60) => {}
            answer => return answer.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_settlement_is_answered_in_its_version() {
    let world = World::new(Script::of(&[]));
    let v2 = world.facilitator.settle(&pay().request()).await.unwrap();
    assert!(v2.success && v2.error_reason.is_none(), "{v2:?}");
    let said = (v2.transaction.as_str(), v2.network.as_str(), v2.amount.as_deref(), v2.payer.as_deref());
    assert_eq!(said, (TX, "eip155:84532", Some("10000"), Some(PAYER)));
    let mut v1 = pay();
    (v1.version, v1.nonce) = (1, 2);
    let v1 = world.facilitator.settle(&v1.request()).await.unwrap();
    assert_eq!((v1.success, v1.network.as_str(), v1.amount), (true, "base-sepolia", None));
    assert_eq!(world.script.sent(), 2);
}

#[tokio::test]
async fn eight_at_once_are_one_transaction() {
    let gate = Some(Semaphore::new(0));
    let world = World::new(Arc::new(Script { gate, ..Script::default() }));
    let request = pay().request();
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let (facilitator, request) = (world.facilitator.clone(), request.clone());
            tokio::spawn(async move { facilitator.settle(&request).await.unwrap() })
        })
        .collect();
    eventually("it is sent", || async { world.script.sent() == 1 }).await;
    world.script.gate.as_ref().unwrap().add_permits(8);
    let mut answers = Vec::new();
    for task in asked {
        answers.push(task.await.unwrap());
    }
    assert!(answers.iter().all(|answer| answer.success && *answer == answers[0]), "{answers:?}");
    assert_eq!(world.script.sent(), 1);
}

#[tokio::test]
async fn failures_are_answered_from_the_record_too() {
    let world = World::new(Script::of(&[Step::Revert]));
    let first = world.facilitator.settle(&pay().request()).await.unwrap();
    assert_eq!((first.success, reason(&first)), (false, "invalid_exact_evm_transaction_failed"));
    assert_eq!(world.facilitator.settle(&pay().request()).await.unwrap(), first);
    assert_eq!(world.script.sent(), 1);
}

/// Known attacks, "while a payment is `settlement_pending`, settle again with another payTo or amount".
#[tokio::test]
async fn other_terms_are_refused_while_pending_and_after() {
    let script = Script::of(&[Step::Pend]).then_outcome(&[Step::Pend, Step::Confirm]);
    let world = World::new(script);
    let pending = world.facilitator.settle(&pay().request()).await.unwrap();
    assert_eq!(
        (pending.success, reason(&pending), pending.transaction.as_str()),
        (false, "settlement_pending", TX)
    );
    let other_payee = common::Pay { pay_to: PAYEE_2, ..pay() };
    let other_amount = common::Pay { amount: "1", ..pay() };
    let other_version = common::Pay { version: 1, ..pay() };
    for other in [&other_payee, &other_amount, &other_version] {
        let answer = world.facilitator.settle(&other.request()).await.unwrap();
        assert_eq!((answer.success, reason(&answer)), (false, "duplicate_settlement"), "{other:?}");
    }
    assert_eq!(world.script.outcomes.load(Ordering::SeqCst), 0, "strangers' terms ask nothing of the chain");
    let still = world.facilitator.settle(&pay().request()).await.unwrap();
    assert_eq!(reason(&still), "settlement_pending");
    assert!(world.facilitator.settle(&pay().request()).await.unwrap().success);
    let answer = world.facilitator.settle(&other_payee.request()).await.unwrap();
    assert_eq!(reason(&answer), "duplicate_settlement");
    assert_eq!(world.script.sent(), 1);
}

#[tokio::test]
async fn space_and_order_of_keys_are_no_other_terms() {
    let world = World::new(Script::of(&[]));
    assert!(world.facilitator.settle(&pay().request()).await.unwrap().success);
    let value: serde_json::Value = serde_json::from_str(&pay().body()).unwrap();
    let again = FacilitatorRequest::read(serde_json::to_string_pretty(&value).unwrap().as_bytes()).unwrap();
    assert!(world.facilitator.settle(&again).await.unwrap().success);
    assert_eq!(world.script.sent(), 1);
}

#[tokio::test]
async fn what_was_never_sent_may_be_tried_again() {
    let world = World::new(Script::of(&[Step::Invalid, Step::Lost, Step::Confirm]));
    let refused = world.facilitator.settle(&pay().request()).await.unwrap();
    assert_eq!((refused.success, reason(&refused)), (false, "invalid_exact_evm_signature"));
    let state = world.ledger.settlement(&pay().key()).await.unwrap().unwrap().state;
    assert!(matches!(state, SettlementState::Abandoned { .. }), "{state:?}");
    let lost = world.facilitator.settle(&pay().request()).await;
    assert!(matches!(lost, Err(FacilitatorError::Unreachable { .. })), "{lost:?}");
    assert!(!world.facilitator.health().serving, "its only rail is down");
    assert!(world.facilitator.settle(&pay().request()).await.unwrap().success);
    assert!(world.facilitator.health().serving);
}

#[tokio::test]
async fn a_forged_copy_does_not_take_the_place_of_the_real_one() {
    let gate = Some(Semaphore::new(0));
    let steps = [Step::Invalid, Step::Confirm];
    let script =
        Script { gate, settle: std::sync::Mutex::new(steps.into_iter().collect()), ..Script::default() };
    script.gate.as_ref().unwrap().add_permits(1);
    let world = World::new(Arc::new(script));
    let forged = common::Pay { pay_to: PAYEE_2, ..pay() };
    let forged = world.facilitator.settle(&forged.request()).await.unwrap();
    assert_eq!(reason(&forged), "invalid_exact_evm_signature");
    assert!(world.facilitator.settle(&pay().request()).await.unwrap().success);
}

#[tokio::test]
async fn a_recorded_transaction_is_never_abandoned() {
    let world = World::new(Script::of(&[Step::LostAfterRecord]).then_outcome(&[Step::Lost, Step::Confirm]));
    for _ in 0..2 {
        let answer = world.facilitator.settle(&pay().request()).await.unwrap();
        assert_eq!((reason(&answer), answer.transaction.as_str()), ("settlement_pending", TX));
    }
    assert!(world.facilitator.settle(&pay().request()).await.unwrap().success);
    assert_eq!(world.script.sent(), 1);
}

#[tokio::test]
async fn pending_ends_in_the_background() {
    let steps = [Step::Pend, Step::Lost, Step::Confirm];
    let world = World::new(Script::of(&[Step::Pend]).then_outcome(&steps));
    world.facilitator.resume().await.unwrap();
    let answer = world.facilitator.settle(&pay().request()).await.unwrap();
    assert_eq!(reason(&answer), "settlement_pending");
    let confirmed = || async {
        let record = world.ledger.settlement(&pay().key()).await.unwrap().unwrap();
        matches!(record.state, SettlementState::Confirmed { .. })
    };
    eventually("confirmed", confirmed).await;
    let asked = world.script.outcomes.load(Ordering::SeqCst);
    assert!(world.facilitator.settle(&pay().request()).await.unwrap().success);
    assert_eq!(world.script.outcomes.load(Ordering::SeqCst), asked, "answered from the record");
}

/// Known attacks, "drain or cancel between verify and settle": canceled when it was on its way.
#[tokio::test]
async fn canceled_on_the_chain_is_failed() {
    let world = World::new(Script::of(&[Step::Pend]).then_outcome(&[Step::Revert]));
    assert_eq!(reason(&world.facilitator.settle(&pay().request()).await.unwrap()), "settlement_pending");
    let failed = world.facilitator.settle(&pay().request()).await.unwrap();
    assert_eq!(reason(&failed), "invalid_exact_evm_transaction_failed");
    let state = world.ledger.settlement(&pay().key()).await.unwrap().unwrap().state;
    assert!(matches!(state, SettlementState::Failed { .. }), "{state:?}");
}

#[tokio::test]
async fn a_slow_chain_is_pending_for_the_caller_and_goes_on() {
    let gate = Some(Semaphore::new(0));
    let world = World::with(Arc::new(Script { gate, ..Script::default() }), hasty());
    let answer = answered(&world).await;
    assert_eq!((reason(&answer), answer.transaction.as_str()), ("settlement_pending", TX));
    world.script.gate.as_ref().unwrap().add_permits(1);
    // The caller is as hasty now, and the machine may be slow.
    eventually("settled", || async { answered(&world).await.success }).await;
    assert_eq!(world.script.sent(), 1);
}

#[tokio::test]
async fn before_anything_is_sent_nobody_knows() {
    let world = World::with(Script::of(&[Step::Hang]), hasty());
    for _ in 0..2 {
        let answer = world.facilitator.settle(&pay().request()).await;
        assert!(matches!(answer, Err(FacilitatorError::Unreachable { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn an_abandoned_attempt_with_other_terms_says_nothing_about_a_later_one() {
    let before = World::new(Script::of(&[Step::Invalid]));
    let forged = common::Pay { pay_to: PAYEE_2, ..pay() };
    assert!(!before.facilitator.settle(&forged.request()).await.unwrap().success);
    // The next process takes longer to take up what was sent than the caller waits; then it settles.
    let script = Arc::new(Script { resume_gate: Some(Semaphore::new(0)), ..Script::default() });
    let world = World::over(script, before.clock.clone(), before.ledger.clone(), hasty());
    let answer = world.facilitator.settle(&pay().request()).await;
    assert!(matches!(answer, Err(FacilitatorError::Unreachable { .. })), "nobody knows yet: {answer:?}");
    world.script.resume_gate.as_ref().unwrap().add_permits(1);
    eventually("it settles", || async {
        let record = world.ledger.settlement(&pay().key()).await.unwrap().unwrap();
        matches!(record.state, SettlementState::Confirmed { .. })
    })
    .await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_stops_nothing() {
    let gate = Some(Semaphore::new(0));
    let world = World::new(Arc::new(Script { gate, ..Script::default() }));
    let (facilitator, request) = (world.facilitator.clone(), pay().request());
    let caller = tokio::spawn(async move { facilitator.settle(&request).await });
    eventually("it is sent", || async { world.script.sent() == 1 }).await;
    caller.abort();
    world.script.gate.as_ref().unwrap().add_permits(1);
    let confirmed = || async {
        let record = world.ledger.settlement(&pay().key()).await.unwrap().unwrap();
        matches!(record.state, SettlementState::Confirmed { .. })
    };
    eventually("confirmed", confirmed).await;
}

#[test]
fn a_process_that_died_after_sending_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Arc::new(farthing_ambient::TestClock::at_unix_second(1_767_225_600));
    let dying = tokio::runtime::Runtime::new().unwrap();
    dying.block_on(async {
        let ledger = Ledger::open(&path, clock.clone()).unwrap();
        let world = World::over(Script::of(&[Step::HangAfterRecord]), clock.clone(), ledger, hasty());
        world.facilitator.resume().await.unwrap();
        assert_eq!(reason(&answered(&world).await), "settlement_pending");
    });
    dying.shutdown_background(); // every task is dropped where it stands

    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let ledger = Ledger::open(&path, clock.clone()).unwrap();
        let script = Script::of(&[]).then_outcome(&[Step::Pend, Step::Confirm]);
        let world = World::over(script, clock, ledger, quick());
        world.facilitator.resume().await.unwrap();
        let resumed = world.script.resumed.lock().unwrap().clone();
        assert_eq!(resumed.len(), 1);
        assert_eq!((resumed[0].len(), resumed[0][0].transaction.as_str()), (1, TX));
        let confirmed = || async {
            let record = world.ledger.settlement(&pay().key()).await.unwrap().unwrap();
            matches!(record.state, SettlementState::Confirmed { .. })
        };
        eventually("confirmed", confirmed).await;
        assert!(world.facilitator.settle(&pay().request()).await.unwrap().success);
        assert_eq!(world.script.sent(), 0, "the new process sent nothing");
    });
}

/// A payment that is in the record and never sent, as of a process that died.
async fn begun_and_left() -> World {
    let world = World::with(Script::of(&[Step::Hang]), hasty());
    assert!(world.facilitator.settle(&pay().request()).await.is_err());
    let begun = || async { world.ledger.settlement(&pay().key()).await.unwrap().is_some() };
    eventually("begun", begun).await;
    world
}

#[tokio::test]
async fn what_died_before_sending_is_begun_again_after_its_lease() {
    let first = begun_and_left().await;
    let limits = Limits { unsent_lease: Duration::from_secs(60), ..quick() };
    let second = World::over(Script::of(&[]), first.clock.clone(), first.ledger.clone(), limits);
    let early = second.facilitator.settle(&pay().request()).await;
    assert!(matches!(early, Err(FacilitatorError::Unreachable { .. })), "the first may be alive: {early:?}");
    first.clock.advance(Duration::from_secs(60));
    assert!(second.facilitator.settle(&pay().request()).await.unwrap().success);
    assert_eq!(second.script.sent(), 1);
}

#[tokio::test]
async fn the_sweeper_abandons_what_died_before_sending() {
    let first = begun_and_left().await;
    first.clock.advance(quick().unsent_lease);
    let second = World::over(Script::of(&[]), first.clock.clone(), first.ledger.clone(), quick());
    second.facilitator.resume().await.unwrap();
    let abandoned = || async {
        let record = second.ledger.settlement(&pay().key()).await.unwrap().unwrap();
        matches!(record.state, SettlementState::Abandoned { .. })
    };
    eventually("abandoned", abandoned).await;
}

#[tokio::test]
async fn nothing_is_sent_before_a_rail_is_taken_up() {
    let world = World::new(Script::of(&[]));
    world.script.resume_fails.store(2, Ordering::SeqCst);
    assert!(world.facilitator.resume().await.is_err());
    assert!(world.facilitator.settle(&pay().request()).await.is_err());
    assert_eq!(world.script.sent(), 0);
    assert!(world.ledger.settlement(&pay().key()).await.unwrap().is_none());
    assert!(world.facilitator.settle(&pay().request()).await.unwrap().success, "it tries again by itself");
    assert_eq!(world.script.resumed.lock().unwrap().len(), 1, "taken up once");
}

#[tokio::test]
async fn drain_waits_for_what_is_in_flight() {
    let gate = Some(Semaphore::new(0));
    let world = World::new(Arc::new(Script { gate, ..Script::default() }));
    let (facilitator, request) = (world.facilitator.clone(), pay().request());
    let caller = tokio::spawn(async move { facilitator.settle(&request).await });
    eventually("it is sent", || async { world.script.sent() == 1 }).await;
    assert_eq!(world.facilitator.drain(Duration::from_millis(50)).await, 1, "one is left");
    let mut late = pay();
    late.nonce = 2;
    assert!(world.facilitator.settle(&late.request()).await.is_err(), "none is begun");
    world.script.gate.as_ref().unwrap().add_permits(1);
    assert_eq!(world.facilitator.drain(Duration::from_secs(30)).await, 0);
    assert!(caller.await.unwrap().unwrap().success);
}

#[tokio::test]
async fn settlements_at_once_are_bounded() {
    let limits = Limits { max_settlements: 1, ..hasty() };
    let world = World::with(Script::of(&[Step::Hang]), limits);
    let (facilitator, request) = (world.facilitator.clone(), pay().request());
    let first = tokio::spawn(async move { facilitator.settle(&request).await });
    let begun = || async { world.ledger.settlement(&pay().key()).await.unwrap().is_some() };
    eventually("begun", begun).await;
    let mut second = pay();
    second.nonce = 2;
    let refused = world.facilitator.settle(&second.request()).await;
    assert!(matches!(refused, Err(FacilitatorError::Refused { .. })), "{refused:?}");
    assert!(first.await.unwrap().is_err());
}

/// Known attacks, "gas griefing": the payTo allow list; and "fake token, decimals or domain".
#[tokio::test]
async fn what_is_not_ours_to_settle_is_refused_before_the_record() {
    let listed = [(Network::BASE_SEPOLIA, Payees::new(vec![PAYEE_2.into()]))];
    let world = World::with(Script::of(&[]), Limits { pay_to: listed.into(), ..quick() });
    let edit =
        |from: &str, to: &str| FacilitatorRequest::read(pay().body().replace(from, to).as_bytes()).unwrap();
    let requirements = |from: &str, to: &str| {
        let body = pay().body();
        let (payment, terms) = body.split_once("\"paymentRequirements\"").unwrap();
        let body = format!("{payment}\"paymentRequirements\"{}", terms.replace(from, to));
        FacilitatorRequest::read(body.as_bytes()).unwrap()
    };
    let cases = [
        (edit("eip155:84532", "eip155:1"), "invalid_network"),
        (edit("\"exact\"", "\"upto\""), "unsupported_scheme"),
        (requirements(common::PAYEE, PAYEE_2), "invalid_exact_evm_recipient_mismatch"),
        (requirements("10000", "1"), "invalid_exact_evm_payload_authorization_value_mismatch"),
        (requirements("300", "60"), "invalid_payment_requirements"),
        (requirements("USDC", "USD Coin"), "invalid_payment_requirements"),
        (pay().request(), "invalid_payment_requirements"),
    ];
    for (request, code) in cases {
        let verify = world.facilitator.verify(&request).await.unwrap();
        assert_eq!((verify.is_valid, verify.invalid_reason.unwrap().as_str()), (false, code));
        let settle = world.facilitator.settle(&request).await.unwrap();
        assert_eq!((settle.success, reason(&settle)), (false, code));
    }
    assert!(world.ledger.settlement(&pay().key()).await.unwrap().is_none());
    let allowed = common::Pay { pay_to: PAYEE_2, ..pay() };
    assert!(world.facilitator.settle(&allowed.request()).await.unwrap().success);
}

#[tokio::test]
async fn verify_answers_or_says_that_it_cannot() {
    let world = World::new(Script::of(&[]));
    world.script.verify.lock().unwrap().extend([Step::Invalid, Step::Lost]);
    let invalid = world.facilitator.verify(&pay().request()).await.unwrap();
    assert_eq!((invalid.is_valid, invalid.payer.as_deref()), (false, Some(PAYER)));
    let lost = world.facilitator.verify(&pay().request()).await;
    assert!(matches!(lost, Err(FacilitatorError::Unreachable { .. })));
    assert!(world.facilitator.verify(&pay().request()).await.unwrap().is_valid);
    let supported = world.facilitator.supported().await.unwrap();
    assert_eq!(supported.kinds.len(), 2);
    assert_eq!(supported.signers["eip155:*"], [common::SIGNER]);
}

#[tokio::test]
async fn the_ledger_is_whole_afterwards() {
    let script = Script::of(&[Step::Pend, Step::Invalid, Step::Confirm, Step::Revert]);
    let world = World::new(script.then_outcome(&[Step::Confirm]));
    for nonce in [1, 2, 2, 3, 1] {
        drop(world.facilitator.settle(&common::Pay { nonce, ..pay() }.request()).await);
    }
    let report = world.ledger.verify().await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    let again = world
        .ledger
        .begin_settlement(world.ledger.settlement(&pay().key()).await.unwrap().unwrap().settlement);
    assert!(matches!(again.await.unwrap(), Started::Known(_)));
}
