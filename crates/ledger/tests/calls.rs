//! Calls of tools, by example.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::*;
use farthing_ledger::{Admitted, CallOutcome, Ledger, LedgerError, Noted};
use farthing_policy::{CallPlan, Denial, DenialCode, Period, Refund, Window};

const DAY: Window = Window::Calendar(Period::Day);
const MINUTE: Window = Window::Calendar(Period::Minute);
const HOUR: Duration = Duration::from_secs(3600);

const OUTCOMES: [CallOutcome; 6] = [
    CallOutcome::Answered,
    CallOutcome::ToolError,
    CallOutcome::Error,
    CallOutcome::Failed,
    CallOutcome::Lost,
    CallOutcome::Withdrawn,
];

#[tokio::test]
async fn a_cap_admits_what_fits_and_tells_the_rest_what_is_used() {
    let (ledger, clock) = memory();
    let cents = |n| plan(charge("desk/cents", DAY, n, Refund::Never), 100);
    assert_eq!(denial(&ledger, call("a"), cents(60)).await, None);
    let denied = denial(&ledger, call("b"), cents(41)).await.unwrap();
    assert_eq!((denied.code, denied.rule.as_str()), (DenialCode::RateExceeded, "cap"));
    assert_eq!((denied.used.as_deref(), denied.remaining.as_deref()), (Some("60"), Some("40")));
    // 22:13:20 to midnight is 6,400 seconds; one more, to be past it.
    assert_eq!(denied.retry_after_seconds, Some(6401));
    assert_eq!(denial(&ledger, call("c"), cents(40)).await, None);
    clock.advance(2 * HOUR);
    assert_eq!(denial(&ledger, call("d"), cents(100)).await, None);
    let kinds: Vec<_> = journal(&ledger).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["call", "call_denied", "call", "call"]);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn a_rolling_cap_says_when_its_oldest_use_leaves() {
    let (ledger, clock) = memory();
    let one = || plan(charge("desk/calls", Window::Rolling(Period::Hour), 1, Refund::Never), 2);
    for name in ["a", "b"] {
        assert_eq!(denial(&ledger, call(name), one()).await, None);
        clock.advance(Duration::from_secs(600));
    }
    // The first was 1,200 seconds ago; its bucket is a second long, and one more second is past it.
    assert_eq!(denial(&ledger, call("c"), one()).await.unwrap().retry_after_seconds, Some(2402));
    clock.advance(Duration::from_secs(2401));
    assert_eq!(denial(&ledger, call("c"), one()).await, None);
    assert!(denial(&ledger, call("d"), one()).await.is_some());
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn all_counters_or_none() {
    let (ledger, _) = memory();
    let both = CallPlan::default()
        .with_limit("wide", charge("wide", DAY, 1, Refund::Never), quantity(5))
        .with_limit("narrow", charge("narrow", DAY, 1, Refund::Never), quantity(1));
    assert_eq!(denial(&ledger, call("a"), both.clone()).await, None);
    assert_eq!(denial(&ledger, call("b"), both).await.unwrap().rule, "narrow");
    let wide = || plan(charge("wide", DAY, 4, Refund::Never), 5);
    assert_eq!(denial(&ledger, call("c"), wide()).await, None, "the denied call took nothing of it");
    assert!(denial(&ledger, call("d"), plan(charge("wide", DAY, 1, Refund::Never), 5)).await.is_some());
}

#[tokio::test]
async fn two_windows_of_one_scope_are_two_counters() {
    let (ledger, _) = memory();
    // Both of them are added up from buckets of a day, and from those of an hour and a minute.
    for windows in [[DAY, Window::Calendar(Period::Month)], [DAY, Window::Rolling(Period::Week)]] {
        let scope = format!("{windows:?}");
        let both = windows.into_iter().fold(CallPlan::default(), |plan, window| {
            plan.with_limit("cap", charge(&scope, window, 1, Refund::Never), quantity(3))
        });
        for n in 0..3 {
            assert_eq!(denial(&ledger, call(format!("{scope}{n}")), both.clone()).await, None);
        }
        assert!(denial(&ledger, call("d"), both).await.is_some());
    }
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn counters_and_budgets_do_not_mix() {
    let (ledger, _) = memory();
    let _ = ledger.reserve(purchase("a", "$5"), vec![]).await.unwrap();
    for scope in ["all", "host:api.example.com", "tool:x"] {
        assert_eq!(denial(&ledger, call(scope), plan(charge(scope, DAY, 1, Refund::Never), 1)).await, None);
    }
    let all = ledger.usage(vec![amount("all", DAY, "$9")]).await.unwrap();
    assert_eq!((all[0].amount, all[0].count), (usd("$5"), 1));
}

#[tokio::test]
async fn an_end_gives_back_what_its_outcome_gives_back_and_once() {
    for refund in [Refund::Never, Refund::OnError, Refund::OnFailure] {
        for outcome in OUTCOMES {
            let (ledger, _) = memory();
            let one = || plan(charge("x", DAY, 1, refund), 1);
            assert_eq!(denial(&ledger, call("a"), one()).await, None);
            ledger.end_call("a".into(), end(outcome)).await.unwrap();
            let again = denial(&ledger, call("b"), one()).await;
            assert_eq!(again.is_none(), outcome.gives_back(refund), "{refund:?} {outcome:?}");
            // Whatever a second end says, it gives nothing back.
            for outcome in OUTCOMES {
                ledger.end_call("a".into(), end(outcome)).await.unwrap();
            }
            assert!(denial(&ledger, call("c"), one()).await.is_some(), "{refund:?} {outcome:?}");
            assert_whole(&ledger).await;
        }
    }
    assert!(
        CallOutcome::Error.gives_back(Refund::OnError) && !CallOutcome::Lost.gives_back(Refund::OnFailure)
    );
}

#[tokio::test]
async fn an_answer_is_no_row_and_any_other_end_is() {
    let (ledger, _) = memory();
    let one = || plan(charge("x", DAY, 1, Refund::OnError), 9);
    for (n, outcome) in OUTCOMES.into_iter().enumerate() {
        assert_eq!(denial(&ledger, call(n.to_string()), one()).await, None);
        ledger.end_call(n.to_string(), end(outcome)).await.unwrap();
    }
    let rows = ledger.journal(0, 100).await.unwrap();
    let ends: Vec<_> = rows.iter().filter(|row| row.kind == "call_ended").map(|row| &row.body).collect();
    assert_eq!(
        ends,
        [
            r#"{"call":2,"outcome":"tool_error"}"#,
            r#"{"call":4,"outcome":"error","refunded":[["tool:x","calendar_day","1000000000000000000","on_error"]]}"#,
            r#"{"call":6,"outcome":"failed"}"#,
            r#"{"call":8,"outcome":"lost"}"#,
            r#"{"call":10,"outcome":"withdrawn","refunded":[["tool:x","calendar_day","1000000000000000000","on_error"]]}"#,
        ]
    );
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn a_call_that_runs_is_admitted_once() {
    let (ledger, _) = memory();
    let one = || plan(charge("x", DAY, 1, Refund::OnError), 9);
    assert_eq!(denial(&ledger, call("a"), one()).await, None);
    let again = ledger.admit(call("a"), one().into()).await;
    assert!(matches!(again, Err(LedgerError::WrongState { what: "call", .. })), "{again:?}");
    ledger.end_call("a".into(), end(CallOutcome::Error)).await.unwrap();
    assert_eq!(denial(&ledger, call("a"), plan(charge("x", DAY, 9, Refund::OnError), 9)).await, None);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn a_late_refund_changes_no_other_window() {
    for (window, later) in [(MINUTE, 60), (DAY, 86_400), (Window::Rolling(Period::Minute), 61)] {
        let (ledger, clock) = memory();
        let one = || plan(charge("x", window, 1, Refund::OnError), 1);
        assert_eq!(denial(&ledger, call("old"), one()).await, None);
        clock.advance(Duration::from_secs(later));
        assert_eq!(denial(&ledger, call("new"), one()).await, None, "{window:?}");
        ledger.end_call("old".into(), end(CallOutcome::Error)).await.unwrap();
        assert!(denial(&ledger, call("more"), one()).await.is_some(), "{window:?}: it was opened again");
        ledger.end_call("new".into(), end(CallOutcome::Error)).await.unwrap();
        assert_eq!(denial(&ledger, call("more"), one()).await, None, "{window:?}");
        assert_whole(&ledger).await;
    }
}

#[tokio::test]
async fn a_clock_that_steps_back_opens_no_window_again() {
    for window in [MINUTE, DAY, Window::Rolling(Period::Hour)] {
        let (ledger, clock) = memory();
        let one = || plan(charge("x", window, 1, Refund::Never), 1);
        assert_eq!(denial(&ledger, call("a"), one()).await, None);
        clock.step_to_unix_second(START - 90_000);
        assert!(denial(&ledger, call("b"), one()).await.is_some(), "{window:?}");
        assert_whole(&ledger).await;
    }
}

#[tokio::test]
async fn what_may_be_given_back_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let one = || plan(charge("x", DAY, 1, Refund::OnError), 2);
    let ledger = Ledger::open(&path, clock()).unwrap();
    for name in ["a", "b"] {
        assert_eq!(denial(&ledger, call(name), one()).await, None);
    }
    ledger.end_call("b".into(), end(CallOutcome::Answered)).await.unwrap();
    ledger.close().await.unwrap();
    let ledger = Ledger::open(&path, clock()).unwrap();
    for name in ["a", "b", "a"] {
        ledger.end_call(name.into(), end(CallOutcome::Error)).await.unwrap();
    }
    assert_eq!(denial(&ledger, call("c"), one()).await, None, "`a` gave back");
    assert!(denial(&ledger, call("d"), one()).await.is_some(), "once, and `b` had been answered");
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn more_than_a_counter_can_hold_is_an_error_and_leaves_no_trace() {
    let (ledger, _) = memory();
    let most = u128::MAX / 10u128.pow(18);
    let huge = || {
        let mut plan = CallPlan::default();
        plan.charges = vec![charge("x", DAY, most, Refund::OnError), charge("y", DAY, 1, Refund::OnError)];
        plan
    };
    assert_eq!(denial(&ledger, call("a"), huge()).await, None);
    assert!(matches!(ledger.admit(call("b"), huge().into()).await, Err(LedgerError::Database(_))));
    assert_eq!(journal(&ledger).await.len(), 1);
    // The call of that name is not remembered.
    assert_eq!(denial(&ledger, call("b"), plan(charge("y", DAY, 1, Refund::OnError), 2)).await, None);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn notes_are_in_the_journal_in_their_order_and_before_what_is_asked_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::open(&path, clock()).unwrap();
    let denied = Denial::new(DenialCode::ToolHidden, "hide", "it is hidden");
    let mut expected = Vec::new();
    // More than may gather.
    for n in 0..2_000 {
        let name = format!("n{n}");
        if n % 100 == 50 {
            assert_eq!(denial(&ledger, call(name.clone()), free_plan()).await, None);
            expected.push(("call".to_owned(), name));
        } else if n % 2 == 0 {
            ledger.note(call(name.clone()), Noted::Allowed { shadowed: vec![] }).await.unwrap();
            expected.push(("call".to_owned(), name));
        } else {
            ledger.note(call(name.clone()), Noted::Denied(denied.clone())).await.unwrap();
            expected.push(("call_denied".to_owned(), name));
        }
    }
    ledger.close().await.unwrap();
    let after = ledger.note(call("late"), Noted::Allowed { shadowed: vec![] }).await;
    assert!(matches!(after, Err(LedgerError::Closed)));
    let ledger = Ledger::open(&path, clock()).unwrap();
    assert_eq!(journal(&ledger).await, expected);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn what_nobody_waits_for_is_soon_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::open(&path, clock()).unwrap();
    let one = || plan(charge("x", DAY, 1, Refund::OnError), 1);
    let admitted = ledger.admit(call("a"), one().into()).await.unwrap();
    assert_eq!(admitted, Admitted::Granted { shadowed: vec![] });
    ledger.end_call("a".into(), end(CallOutcome::Error)).await.unwrap();
    ledger.end_call("b".into(), end(CallOutcome::Answered)).await.unwrap();
    ledger.note(call("c"), Noted::Allowed { shadowed: vec![] }).await.unwrap();
    let rows = || -> i64 {
        let other = rusqlite::Connection::open(&path).unwrap();
        other.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).unwrap()
    };
    let begun = std::time::Instant::now();
    while rows() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody wrote the note");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn the_journal_is_read_from_any_row_on() {
    let (ledger, _) = memory();
    for name in ["a", "b", "c"] {
        assert_eq!(denial(&ledger, call(name), free_plan()).await, None);
    }
    let rows = ledger.journal(1, 1).await.unwrap();
    assert_eq!((rows.len(), rows[0].seq, rows[0].id.as_str()), (1, 2, "b"));
    assert_eq!(
        rows[0].body,
        r#"{"agent":"clerk","arguments":"{\"cents\":25}","policy_hash":"p1","server":"desk","session":"s1","tool":"send_payment"}"#
    );
    let rest = ledger.journal(2, 9).await.unwrap();
    assert_eq!((rest.len(), &rest[0].prev), (1, &rows[0].hash));
    assert_eq!(rest[0].hash, ledger.verify().await.unwrap().head);
}
