//! Claims, settlements and transactions, by example.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use farthing_ledger::{ClaimState, Claimed, Ledger, LedgerError, NewSettlement, SettlementState, Started};

fn is_wrong_state<T: std::fmt::Debug>(result: &Result<T, LedgerError>) -> bool {
    matches!(result, Err(LedgerError::WrongState { .. }))
}

fn every_claim_state() -> [ClaimState; 5] {
    [
        ClaimState::Taken,
        ClaimState::Released { why: "500".into() },
        ClaimState::Settled { transaction: "0xt".into() },
        ClaimState::Settling { transaction: None },
        ClaimState::Failed { reason: "insufficient_funds".into() },
    ]
}

fn pending(transaction: Option<&str>) -> SettlementState {
    SettlementState::Pending { transaction: transaction.map(str::to_owned) }
}

fn confirmed() -> SettlementState {
    SettlementState::Confirmed { transaction: "0xt".into(), payer: "0xp".into() }
}

fn abandoned() -> SettlementState {
    SettlementState::Abandoned { why: "no gas".into() }
}

#[tokio::test]
async fn of_many_who_claim_at_once_one_serves() {
    let (ledger, _) = memory();
    let claims: Vec<_> = (0..500)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.claim(claim(1)).await })
        })
        .collect();
    let mut granted = 0;
    for answer in claims {
        match answer.await.unwrap().unwrap() {
            Claimed::Granted { .. } => granted += 1,
            Claimed::Duplicate(known) => assert_eq!(known.claim, claim(1)),
        }
    }
    assert_eq!(granted, 1);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn claims_move_only_forward() {
    let (ledger, _) = memory();
    let unknown = ledger.move_claim(&key(0), 1, ClaimState::Settling { transaction: None }).await;
    assert!(matches!(unknown, Err(LedgerError::NotFound { what: "claim", .. })));
    let mut n = 0;
    for from in every_claim_state() {
        for to in every_claim_state() {
            n += 1;
            let row = in_state(&ledger, n, &from).await;
            let moved = ledger.move_claim(&key(n), row, to.clone()).await;
            let is_open = matches!(from, ClaimState::Taken | ClaimState::Settling { .. });
            match is_open && to != ClaimState::Taken {
                true => assert!(moved.unwrap().is_some_and(|next| next > row), "{from:?} to {to:?}"),
                false => assert!(is_wrong_state(&moved), "{from:?} to {to:?}: {moved:?}"),
            }
        }
    }
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn of_all_who_saw_a_claim_one_moves_it() {
    let (ledger, _) = memory();
    let settling = ClaimState::Settling { transaction: Some("0xt".into()) };
    let mut row = taken(&ledger, 1).await;
    // Also to the state that it has: whoever saw it before sees by the row that it is another's now.
    for step in [settling.clone(), settling.clone(), ClaimState::Settled { transaction: "0xt".into() }] {
        let key = key(1);
        let attempt = || ledger.move_claim(&key, row, step.clone());
        let (a, b) = tokio::join!(attempt(), attempt());
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a.xor(b).is_some(), "{step:?}: {a:?} {b:?}");
        row = a.or(b).unwrap();
    }
    assert_whole(&ledger).await;
}

/// A process whose lease is over, and which does not know it, gives back nothing.
#[tokio::test]
async fn what_another_one_has_taken_over_is_not_given_back() {
    let (ledger, _) = memory();
    let released = ClaimState::Released { why: "test".into() };
    let mine = taken(&ledger, 1).await;
    ledger.move_claim(&key(1), mine, released.clone()).await.unwrap().unwrap();
    let theirs = taken(&ledger, 1).await;
    assert_eq!(ledger.move_claim(&key(1), mine, released.clone()).await.unwrap(), None);
    let settling = ClaimState::Settling { transaction: None };
    let theirs = ledger.move_claim(&key(1), theirs, settling.clone()).await.unwrap().unwrap();
    assert_eq!(ledger.move_claim(&key(1), mine, released).await.unwrap(), None);
    let open = ledger.open_claims().await.unwrap();
    assert_eq!((&open[0].state, open[0].seq), (&settling, theirs));
}

#[tokio::test]
async fn only_a_released_claim_is_taken_again() {
    let (ledger, _) = memory();
    for (n, state) in (1..).zip(every_claim_state()) {
        in_state(&ledger, n, &state).await;
        let again = ledger.claim(claim(n)).await.unwrap();
        match state {
            ClaimState::Released { .. } => assert!(matches!(again, Claimed::Granted { .. })),
            _ => assert!(matches!(again, Claimed::Duplicate(known) if known.state == state)),
        }
    }
    let open: Vec<_> = ledger.open_claims().await.unwrap().into_iter().map(|claim| claim.claim.key).collect();
    assert_eq!(open, [key(1), key(2), key(4)]);
    assert_whole(&ledger).await;
}

/// A claim in this state; its row.
async fn in_state(ledger: &Ledger, n: u32, state: &ClaimState) -> i64 {
    let row = taken(ledger, n).await;
    match state {
        ClaimState::Taken => row,
        state => ledger.move_claim(&key(n), row, state.clone()).await.unwrap().unwrap(),
    }
}

#[tokio::test]
async fn a_settlement_begins_once_and_again_only_when_abandoned() {
    let (ledger, _) = memory();
    assert_eq!(ledger.settlement(&key(1)).await.unwrap(), None);
    assert_eq!(ledger.begin_settlement(settlement(1)).await.unwrap(), Started::New);
    let other = NewSettlement { binding: "other".into(), pay_to: "0xthief".into(), ..settlement(1) };
    let Started::Known(known) = ledger.begin_settlement(other.clone()).await.unwrap() else {
        panic!("begun twice")
    };
    assert_eq!((known.settlement, known.state), (settlement(1), pending(None)));

    ledger.update_settlement(&key(1), abandoned()).await.unwrap();
    assert!(is_wrong_state(&ledger.update_settlement(&key(1), confirmed()).await));
    assert_eq!(ledger.begin_settlement(other.clone()).await.unwrap(), Started::New);
    let read = ledger.settlement(&key(1)).await.unwrap().unwrap();
    assert_eq!((read.settlement, read.state), (other.clone(), pending(None)));

    ledger.update_settlement(&key(1), pending(Some("0xt"))).await.unwrap();
    ledger.update_settlement(&key(1), confirmed()).await.unwrap();
    ledger.update_settlement(&key(1), confirmed()).await.unwrap();
    for state in [pending(None), abandoned()] {
        assert!(is_wrong_state(&ledger.update_settlement(&key(1), state).await));
    }
    assert!(matches!(ledger.begin_settlement(other).await.unwrap(), Started::Known(_)));
    assert!(matches!(
        ledger.update_settlement(&key(2), abandoned()).await,
        Err(LedgerError::NotFound { what: "settlement", .. })
    ));
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn a_failure_is_read_back_as_written() {
    let (ledger, _) = memory();
    assert_eq!(ledger.begin_settlement(settlement(1)).await.unwrap(), Started::New);
    let failed = SettlementState::Failed {
        reason: "invalid_transaction_state".into(),
        message: "reverted".into(),
        transaction: Some("0xt".into()),
    };
    ledger.update_settlement(&key(1), failed.clone()).await.unwrap();
    assert_eq!(ledger.settlement(&key(1)).await.unwrap().unwrap().state, failed);
    assert!(is_wrong_state(&ledger.update_settlement(&key(1), confirmed()).await));
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn a_transaction_is_open_while_a_payment_in_it_is_pending() {
    let (ledger, _) = memory();
    for n in 1..=3 {
        assert_eq!(ledger.begin_settlement(settlement(n)).await.unwrap(), Started::New);
    }
    ledger.broadcast(broadcast("0xa", [1, 2])).await.unwrap();
    assert_eq!(ledger.settlement(&key(2)).await.unwrap().unwrap().state, pending(Some("0xa")));
    ledger.update_settlement(&key(1), confirmed()).await.unwrap();
    // It is replaced, with one payment that is confirmed by now.
    ledger.broadcast(broadcast("0xb", [1, 2])).await.unwrap();
    ledger.broadcast(broadcast("0xb", [1, 2])).await.unwrap();
    assert_eq!(ledger.settlement(&key(1)).await.unwrap().unwrap().state, confirmed());
    assert_eq!(ledger.settlement(&key(2)).await.unwrap().unwrap().state, pending(Some("0xb")));
    assert_eq!(ledger.open_broadcasts().await.unwrap(), [broadcast("0xa", [1, 2]), broadcast("0xb", [1, 2])]);
    let waiting = ledger.pending_settlements().await.unwrap();
    assert_eq!(waiting.iter().map(|s| &s.settlement.key).collect::<Vec<_>>(), [&key(2), &key(3)]);
    ledger.update_settlement(&key(2), confirmed()).await.unwrap();
    assert_eq!(ledger.open_broadcasts().await.unwrap(), []);
    // One that fills a nonce has no payments.
    ledger.broadcast(broadcast("0xfill", [])).await.unwrap();
    assert_eq!(ledger.open_broadcasts().await.unwrap(), []);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn what_must_not_be_sent_is_refused_whole() {
    let (ledger, _) = memory();
    for n in 1..=2 {
        assert_eq!(ledger.begin_settlement(settlement(n)).await.unwrap(), Started::New);
    }
    let unknown = ledger.broadcast(broadcast("0xa", [1, 9])).await;
    assert!(matches!(unknown, Err(LedgerError::NotFound { what: "settlement", .. })));
    ledger.update_settlement(&key(2), abandoned()).await.unwrap();
    assert!(is_wrong_state(&ledger.broadcast(broadcast("0xa", [1, 2])).await));
    assert_eq!(ledger.settlement(&key(1)).await.unwrap().unwrap().state, pending(None));
    ledger.broadcast(broadcast("0xa", [1])).await.unwrap();
    let other = farthing_ledger::BroadcastRecord { raw: "0x00".into(), ..broadcast("0xa", [1]) };
    assert!(is_wrong_state(&ledger.broadcast(other).await));
    assert_whole(&ledger).await;
}
