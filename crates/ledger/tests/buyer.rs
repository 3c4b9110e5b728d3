//! Purchases and budgets, by example.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::*;
use farthing_ledger::{LedgerError, NewPurchase, PurchaseFilter, PurchaseState, Reserved, ResponseRecord};
use farthing_policy::{DenialCode, Measure, Period, Policy, Window};

const DAY: Window = Window::Calendar(Period::Day);

fn is_granted(reserved: &Reserved) -> bool {
    matches!(reserved, Reserved::Granted { .. })
}

fn is_wrong_state<T: std::fmt::Debug>(result: &Result<T, LedgerError>) -> bool {
    matches!(result, Err(LedgerError::WrongState { .. }))
}

#[tokio::test]
async fn a_purchase_is_recorded_step_by_step() {
    let (ledger, clock) = memory();
    let terms = purchase("a", "$0.25");
    let Reserved::Granted { used, shadowed } =
        ledger.reserve(terms.clone(), vec![amount("all", DAY, "$1")]).await.unwrap()
    else {
        panic!("denied")
    };
    assert_eq!((used[0].1.amount, used[0].1.count, shadowed), (usd("$0.25"), 1, vec![]));
    clock.advance(Duration::from_millis(1500));
    ledger.signed(&id("a"), signed(1)).await.unwrap();
    ledger.responded(&id("a"), response()).await.unwrap();
    ledger.finish(&id("a"), paid()).await.unwrap();

    let read = ledger.purchase(&id("a")).await.unwrap();
    assert_eq!(read.terms, terms);
    assert_eq!(read.state, PurchaseState::Paid);
    assert_eq!(read.signed, Some(signed(1)));
    assert_eq!(read.response, Some(response()));
    assert_eq!(read.outcome, Some(paid()));
    assert_eq!(read.created_at.as_millisecond(), START * 1000);
    assert_eq!(read.updated_at.as_millisecond(), START * 1000 + 1500);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn only_the_steps_that_follow_are_taken() {
    let (ledger, _) = memory();
    assert!(matches!(ledger.purchase(&id("a")).await, Err(LedgerError::NotFound { what: "purchase", .. })));
    assert!(matches!(ledger.signed(&id("a"), signed(1)).await, Err(LedgerError::NotFound { .. })));
    assert!(is_granted(&ledger.reserve(purchase("a", "$1"), vec![]).await.unwrap()));
    // Reserved: not again, no response, and it cannot have been paid.
    assert!(is_wrong_state(&ledger.reserve(purchase("a", "$1"), vec![]).await));
    assert!(is_wrong_state(&ledger.responded(&id("a"), response()).await));
    assert!(is_wrong_state(&ledger.finish(&id("a"), paid()).await));
    assert!(is_wrong_state(&ledger.finish(&id("a"), unknown()).await));
    // Signed: once.
    ledger.signed(&id("a"), signed(1)).await.unwrap();
    assert!(is_wrong_state(&ledger.signed(&id("a"), signed(1)).await));
    // Unknown: a response may still come, once; the same again is no news.
    ledger.finish(&id("a"), unknown()).await.unwrap();
    ledger.finish(&id("a"), unknown()).await.unwrap();
    assert!(is_wrong_state(&ledger.signed(&id("a"), signed(2)).await));
    ledger.responded(&id("a"), response()).await.unwrap();
    ledger.responded(&id("a"), response()).await.unwrap();
    let other = ResponseRecord { status: 500, ..response() };
    assert!(is_wrong_state(&ledger.responded(&id("a"), other).await));
    assert_eq!(ledger.purchase(&id("a")).await.unwrap().state, PurchaseState::Unknown);
    // Paid: for good.
    ledger.finish(&id("a"), paid()).await.unwrap();
    ledger.finish(&id("a"), paid()).await.unwrap();
    let elsewhere = farthing_ledger::Outcome::Paid { transaction: Some("0xother".into()) };
    assert!(is_wrong_state(&ledger.finish(&id("a"), elsewhere).await));
    assert!(is_wrong_state(&ledger.finish(&id("a"), not_paid()).await));
    assert!(is_wrong_state(&ledger.finish(&id("a"), unknown()).await));
    assert!(is_wrong_state(&ledger.signed(&id("a"), signed(1)).await));
    // Not paid: for good, and without a response.
    assert!(is_granted(&ledger.reserve(purchase("b", "$1"), vec![]).await.unwrap()));
    ledger.finish(&id("b"), not_paid()).await.unwrap();
    ledger.finish(&id("b"), not_paid()).await.unwrap();
    assert!(is_wrong_state(&ledger.signed(&id("b"), signed(1)).await));
    assert!(is_wrong_state(&ledger.finish(&id("b"), paid()).await));
    assert!(is_wrong_state(&ledger.responded(&id("b"), response()).await));
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn only_what_is_unsigned_is_released_unsigned() {
    let (ledger, _) = memory();
    let limit = || vec![amount("all", DAY, "$1")];
    for name in ["a", "b"] {
        assert!(is_granted(&ledger.reserve(purchase(name, "$0.50"), limit()).await.unwrap()));
    }
    ledger.signed(&id("a"), signed(1)).await.unwrap();
    assert!(is_wrong_state(&ledger.release_unsigned(&id("a"), "gone".into()).await));
    assert_eq!(ledger.purchase(&id("a")).await.unwrap().state, PurchaseState::Signed);
    ledger.release_unsigned(&id("b"), "gone".into()).await.unwrap();
    ledger.release_unsigned(&id("b"), "gone".into()).await.unwrap();
    assert_eq!(ledger.usage(limit()).await.unwrap()[0].amount, usd("$0.50"), "the signed one stays counted");
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn a_later_answer_takes_the_place_of_a_failure_only() {
    let (ledger, _) = memory();
    assert!(is_granted(&ledger.reserve(purchase("a", "$1"), vec![]).await.unwrap()));
    ledger.signed(&id("a"), signed(1)).await.unwrap();
    let failure = ResponseRecord { status: 502, ..response() };
    ledger.responded(&id("a"), failure.clone()).await.unwrap();
    ledger.finish(&id("a"), unknown()).await.unwrap();
    ledger.responded(&id("a"), response()).await.unwrap();
    assert_eq!(ledger.purchase(&id("a")).await.unwrap().response, Some(response()));
    assert!(is_wrong_state(&ledger.responded(&id("a"), failure).await));
    // Another success does not either, whole or not.
    for file in ["bodies/a.2.body", "bodies/a.2.part"] {
        let other = ResponseRecord { body_digest: "11".into(), body_file: Some(file.into()), ..response() };
        assert!(is_wrong_state(&ledger.responded(&id("a"), other).await), "{file}");
    }
    assert_eq!(ledger.purchase(&id("a")).await.unwrap().response, Some(response()));
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn a_part_gives_way_to_a_success_only() {
    let (ledger, _) = memory();
    assert!(is_granted(&ledger.reserve(purchase("a", "$1"), vec![]).await.unwrap()));
    ledger.signed(&id("a"), signed(1)).await.unwrap();
    ledger.finish(&id("a"), paid()).await.unwrap();
    let part = ResponseRecord { body_file: Some("bodies/a.part".into()), ..response() };
    ledger.responded(&id("a"), part.clone()).await.unwrap();
    let failure = ResponseRecord { status: 502, ..response() };
    assert!(is_wrong_state(&ledger.responded(&id("a"), failure).await));
    assert_eq!(ledger.purchase(&id("a")).await.unwrap().response, Some(part));
    let whole = ResponseRecord { body_file: Some("bodies/a.2.body".into()), ..response() };
    ledger.responded(&id("a"), whole.clone()).await.unwrap();
    assert_eq!(ledger.purchase(&id("a")).await.unwrap().response, Some(whole));
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn a_denied_purchase_leaves_only_the_refusal() {
    let (ledger, _) = memory();
    let limits = vec![amount("all", DAY, "$1")];
    assert!(is_granted(&ledger.reserve(purchase("a", "$0.75"), limits.clone()).await.unwrap()));
    let rows = ledger.verify().await.unwrap().rows;
    let Reserved::Denied(denial) = ledger.reserve(purchase("b", "$0.26"), limits.clone()).await.unwrap()
    else {
        panic!("granted")
    };
    assert_eq!(denial.code, DenialCode::BudgetExceeded);
    assert_eq!(denial.remaining.as_deref(), Some("$0.25"));
    // 22:13:20 to midnight is 6,400 seconds; one more, to be past it.
    assert_eq!(denial.retry_after_seconds, Some(6401));
    assert_eq!(ledger.verify().await.unwrap().rows, rows + 1);
    assert!(matches!(ledger.purchase(&id("b")).await, Err(LedgerError::NotFound { .. })));
    // The same purchase may be tried again.
    assert!(is_granted(&ledger.reserve(purchase("b", "$0.25"), limits.clone()).await.unwrap()));
    // What is above the whole limit will not fit tomorrow either.
    let Reserved::Denied(denial) = ledger.reserve(purchase("c", "$1.01"), limits).await.unwrap() else {
        panic!("granted")
    };
    assert_eq!(denial.retry_after_seconds, None);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn every_limit_must_have_room_and_none_is_taken_when_one_has_not() {
    let (ledger, _) = memory();
    let limits = vec![amount("all", DAY, "$10"), amount("payee:0xelse", Window::Lifetime, "$0.50")];
    assert!(!is_granted(&ledger.reserve(purchase("a", "$0.51"), limits.clone()).await.unwrap()));
    let used = ledger.usage(limits).await.unwrap();
    assert!(used.iter().all(|used| used.amount == usd("$0") && used.count == 0));
}

#[tokio::test]
async fn a_release_gives_the_amount_back_and_not_the_attempt() {
    let (ledger, _) = memory();
    let rate = limit("all", DAY, Measure::Count(2));
    let limits = vec![amount("all", DAY, "$1"), rate];
    for name in ["a", "b"] {
        assert!(is_granted(&ledger.reserve(purchase(name, "$1"), limits.clone()).await.unwrap()));
        assert!(!is_granted(&ledger.reserve(purchase("x", "$0.01"), limits.clone()).await.unwrap()));
        ledger.finish(&id(name), not_paid()).await.unwrap();
    }
    let Reserved::Denied(denial) = ledger.reserve(purchase("c", "$1"), limits).await.unwrap() else {
        panic!("granted")
    };
    assert_eq!(denial.code, DenialCode::RateExceeded);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn what_is_unknown_stays_reserved_and_a_late_release_changes_no_other_window() {
    let (ledger, clock) = memory();
    let limits = vec![amount("all", DAY, "$1")];
    assert!(is_granted(&ledger.reserve(purchase("a", "$0.60"), limits.clone()).await.unwrap()));
    ledger.signed(&id("a"), signed(1)).await.unwrap();
    ledger.finish(&id("a"), unknown()).await.unwrap();
    assert!(!is_granted(&ledger.reserve(purchase("b", "$0.60"), limits.clone()).await.unwrap()));
    clock.advance(Duration::from_secs(86_400));
    assert!(is_granted(&ledger.reserve(purchase("b", "$0.60"), limits.clone()).await.unwrap()));
    ledger.finish(&id("a"), not_paid()).await.unwrap();
    assert_eq!(ledger.usage(limits.clone()).await.unwrap()[0].amount, usd("$0.60"));
    let ever = vec![amount("all", Window::Lifetime, "$9")];
    assert_eq!(ledger.usage(ever).await.unwrap()[0].amount, usd("$0.60"));
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn a_policy_that_is_made_later_sees_the_use_before_it() {
    let (ledger, _) = memory();
    assert!(is_granted(&ledger.reserve(purchase("a", "$0.40"), vec![]).await.unwrap()));
    let later = [
        amount("all", Window::Rolling(Period::Minute), "$1"),
        amount("host:api.example.com", Window::Rolling(Period::Month), "$1"),
        amount("payee:0x209693bc6afc0c5328ba36faf03c514ef312287c", Window::Calendar(Period::Week), "$1"),
    ];
    for limit in later {
        let used = ledger.usage(vec![limit.clone()]).await.unwrap();
        assert_eq!((used[0].amount, used[0].count), (usd("$0.40"), 1), "{limit:?}");
    }
    let other = ledger.usage(vec![amount("host:example.com", DAY, "$1")]).await.unwrap();
    assert_eq!(other[0].amount, usd("$0"));
}

#[tokio::test]
async fn where_a_limit_counts_apart_the_use_is_told_the_most_first() {
    let (ledger, clock) = memory();
    let of = |name: &str, host: &str, value: &str| NewPurchase {
        url: format!("https://{host}/"),
        ..purchase(name, value)
    };
    assert!(is_granted(&ledger.reserve(of("old", "old.example", "$0.90"), vec![]).await.unwrap()));
    clock.advance(Duration::from_secs(2 * 86_400));
    for (name, host, value) in
        [("a", "a.example", "$0.10"), ("b", "b.example", "$0.30"), ("c", "a.example", "$0.10")]
    {
        assert!(is_granted(&ledger.reserve(of(name, host, value), vec![]).await.unwrap()));
    }
    let policy = "version: 1\npayments: {max: \"$1\", budgets: [{name: one, max: \"$1\", per: day, each: host}, {name: task, max: \"$1\", per: session}]}\n";
    let apart = Policy::parse(policy).unwrap().counted_apart();
    let used = ledger.used_apart(&apart[0]).await.unwrap();
    let told: Vec<_> =
        used.iter().map(|(limit, used)| (apart[0].name(&limit.scope).unwrap(), used.amount)).collect();
    assert_eq!(told, [("b.example", usd("$0.30")), ("a.example", usd("$0.20"))]);
    assert_eq!(ledger.used_apart(&apart[1]).await.unwrap(), [], "sessions have no names");
}

#[tokio::test]
async fn it_is_said_when_room_comes() {
    let (ledger, clock) = memory();
    clock.advance(Duration::from_millis(250));
    assert!(is_granted(&ledger.reserve(purchase("a", "$0.40"), vec![]).await.unwrap()));
    clock.advance(Duration::from_secs(10));
    let frees = |window| {
        let ledger = ledger.clone();
        async move { ledger.usage(vec![amount("all", window, "$1")]).await.unwrap()[0].frees_in }
    };
    // From 22:13:30.250; the bucket of the use begins at 22:13:20.
    assert_eq!(frees(Window::Calendar(Period::Minute)).await, Some(Duration::from_millis(29_750)));
    assert_eq!(frees(Window::Rolling(Period::Minute)).await, Some(Duration::from_millis(50_750)));
    assert_eq!(frees(Window::Rolling(Period::Hour)).await, Some(Duration::from_millis(3_590_750)));
    assert_eq!(frees(Window::Lifetime).await, None);
    clock.advance(Duration::from_secs(120));
    assert_eq!(frees(Window::Rolling(Period::Minute)).await, None);
}

/// Three payments, two of which must have left before the next one fits.
#[tokio::test]
async fn a_refusal_says_when_enough_has_left_a_rolling_window() {
    let hour = Window::Rolling(Period::Hour);
    for limit in [amount("all", hour, "$1"), limit("all", hour, Measure::Count(2))] {
        let (ledger, clock) = memory();
        for name in ["a", "b", "c"] {
            assert!(is_granted(&ledger.reserve(purchase(name, "$0.30"), vec![]).await.unwrap()));
            clock.advance(Duration::from_secs(600));
        }
        let refused = ledger.reserve(purchase("d", "$0.50"), vec![limit.clone()]).await.unwrap();
        let Reserved::Denied(denial) = refused else { panic!("granted") };
        // The second one was 1,200 seconds ago, and its bucket is a second long; one more, to be past it.
        assert_eq!(denial.retry_after_seconds, Some(2402), "{limit:?}");
        clock.advance(Duration::from_secs(2400));
        assert!(!is_granted(&ledger.reserve(purchase("d", "$0.50"), vec![limit.clone()]).await.unwrap()));
        clock.advance(Duration::from_secs(2));
        assert!(is_granted(&ledger.reserve(purchase("d", "$0.50"), vec![limit]).await.unwrap()));
    }
}

#[tokio::test]
async fn a_clock_that_steps_back_opens_no_window_again() {
    let (ledger, clock) = memory();
    let limits = vec![amount("all", DAY, "$1"), amount("all", Window::Rolling(Period::Day), "$1")];
    assert!(is_granted(&ledger.reserve(purchase("a", "$1"), limits.clone()).await.unwrap()));
    clock.step_to_unix_second(START - 90_000);
    assert!(!is_granted(&ledger.reserve(purchase("b", "$0.01"), limits.clone()).await.unwrap()));
    ledger.signed(&id("a"), signed(1)).await.unwrap();
    let updated = ledger.purchase(&id("a")).await.unwrap().updated_at;
    assert_eq!(updated.as_millisecond(), START * 1000);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn amounts_beyond_64_bits_are_exact_and_too_large_ones_refused() {
    let (ledger, _) = memory();
    let limits = vec![amount("all", Window::Lifetime, "$340282366920938463463.374607431768211455")];
    let huge = "$170141183460469231731.687303715884105727";
    assert!(is_granted(&ledger.reserve(purchase("a", huge), limits.clone()).await.unwrap()));
    assert!(is_granted(&ledger.reserve(purchase("b", huge), limits.clone()).await.unwrap()));
    let used = ledger.usage(limits.clone()).await.unwrap();
    assert_eq!(used[0].amount, usd("$340282366920938463463.374607431768211454"));
    assert!(!is_granted(&ledger.reserve(purchase("c", "$1"), limits).await.unwrap()));
    assert!(matches!(ledger.reserve(purchase("c", "$1"), vec![]).await, Err(LedgerError::Database(_))));
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn purchases_are_listed_newest_first() {
    let (ledger, _) = memory();
    for name in ["c", "a", "b", "d"] {
        assert!(is_granted(&ledger.reserve(purchase(name, "$1"), vec![]).await.unwrap()));
    }
    ledger.finish(&id("b"), not_paid()).await.unwrap();
    let names = |filter| {
        let ledger = ledger.clone();
        async move {
            let found = ledger.purchases(filter).await.unwrap();
            found.into_iter().map(|purchase| purchase.terms.id.0).collect::<String>()
        }
    };
    assert_eq!(names(PurchaseFilter::default()).await, "dbac");
    assert_eq!(names(PurchaseFilter { unresolved: true, ..PurchaseFilter::default() }).await, "dac");
    assert_eq!(
        names(PurchaseFilter { unresolved: true, limit: Some(2), ..PurchaseFilter::default() }).await,
        "da"
    );
    for (end, found) in [("b", "b"), ("B", ""), ("%", ""), ("xb", "")] {
        let filter = PurchaseFilter { id_ends_with: Some(end.into()), ..PurchaseFilter::default() };
        assert_eq!(names(filter).await, found, "{end}");
    }
}

#[test]
fn debug_output_has_no_signature() {
    assert!(!format!("{:?}", signed(1)).contains(HEADER));
    assert!(!format!("{:?}", settlement(1)).contains("feedface"));
    assert!(!format!("{:?}", broadcast("0xt", [1])).contains("deadbeef"));
}
