//! Whatever the rail does, in whatever order, with whoever asks in between: one payment is one settlement.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends there")]

mod common;

use std::sync::Arc;

use common::{PAYEE_2, Pay, Script, Step, World, pay, quick};
use farthing_facilitator::Facilitate;
use farthing_ledger::SettlementState;
use farthing_protocol::x402::Reason;
use proptest::prelude::*;
use tokio::sync::Semaphore;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Confirm),
        Just(Step::Pend),
        Just(Step::Revert),
        Just(Step::Invalid),
        Just(Step::Lost),
        Just(Step::LostAfterRecord),
    ]
}

/// Asks eight times, now and then with other terms, and checks every answer against the ones before.
async fn ask_all(settle: Vec<Step>, outcome: Vec<Step>, others: Vec<bool>) -> Result<(), TestCaseError> {
    let only_sent = |s: &Step| matches!(s, Step::Confirm | Step::Pend | Step::Revert | Step::Lost);
    let outcome: Vec<_> = outcome.into_iter().filter(only_sent).collect();
    let world = World::new(Script::of(&settle).then_outcome(&outcome));
    let mut decided: Option<bool> = None;
    for is_other in others {
        let sent_before = world.script.sent();
        // Once something is sent, other terms are a stranger's; before, they would be the payment themselves.
        let asked = if is_other && sent_before > 0 { Pay { pay_to: PAYEE_2, ..pay() } } else { pay() };
        let answer = world.facilitator.settle(&asked.request()).await;
        prop_assert!(world.script.sent() <= 1, "sent twice");
        let Ok(answer) = answer else {
            prop_assert_eq!(world.script.sent(), 0, "sent, and an error to a caller who asks about it");
            continue;
        };
        if asked.pay_to == PAYEE_2 {
            prop_assert_eq!(answer.error_reason, Some(Reason::DUPLICATE_SETTLEMENT));
            continue;
        }
        let pending = answer.error_reason == Some(Reason::SettlementPending);
        prop_assert!(!answer.success || world.script.sent() == 1, "paid without a transaction");
        if let Some(decided) = decided {
            prop_assert_eq!((answer.success, pending), (decided, false), "a decision was taken back");
        } else if world.script.sent() == 1 && !pending {
            decided = Some(answer.success);
        }
    }
    if let Some(decided) = decided {
        let state = world.ledger.settlement(&pay().key()).await.unwrap().unwrap().state;
        prop_assert_eq!(matches!(state, SettlementState::Confirmed { .. }), decided);
    }
    prop_assert!(world.ledger.verify().await.unwrap().problems.is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn one_payment_is_one_settlement(
        settle in proptest::collection::vec(step(), 0..6),
        outcome in proptest::collection::vec(step(), 0..6),
        others in proptest::collection::vec(any::<bool>(), 8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask_all(settle, outcome, others))?;
    }
}

#[tokio::test]
async fn two_processes_over_one_ledger_send_once() {
    let gate = Some(Semaphore::new(0));
    let first = World::new(Arc::new(Script { gate, ..Script::default() }));
    let second = World::over(Script::of(&[]), first.clock.clone(), first.ledger.clone(), quick());
    first.facilitator.resume().await.unwrap();
    second.facilitator.resume().await.unwrap();
    let asked: Vec<_> = (0..16)
        .map(|place| {
            let world = if place % 2 == 0 { &first } else { &second };
            let (facilitator, request) = (world.facilitator.clone(), pay().request());
            tokio::spawn(async move { facilitator.settle(&request).await })
        })
        .collect();
    common::eventually("sent", || async { first.script.sent() + second.script.sent() > 0 }).await;
    first.script.gate.as_ref().unwrap().add_permits(16);
    for task in asked {
        // A process may say that the other is at it, or that it is out; it may not send or fail it.
        if let Ok(answer) = task.await.unwrap() {
            assert!(answer.success || answer.error_reason == Some(Reason::SettlementPending), "{answer:?}");
        }
    }
    assert_eq!(first.script.sent() + second.script.sent(), 1);
}
