//! The freeze, approvals, and what else stands between an agent and its money, by example.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use farthing_ledger::{
    ApprovalFilter, ApprovalState, CallOutcome, Ledger, LedgerError, NewPurchase, PurchaseState, Reserved,
};
use farthing_policy::{
    ApprovalNeed, CallPlan, Denial, DenialCode, Limit, Measure, Needs, Period, Refund, Window,
};

const DAY: Window = Window::Calendar(Period::Day);
const HOUR: Duration = Duration::from_secs(3600);

fn need(terms: &str) -> ApprovalNeed {
    ApprovalNeed { rule: "large".into(), terms: terms.into(), valid: HOUR }
}

fn needs(terms: &str) -> Needs {
    Needs { limits: vec![amount("all", DAY, "$10")], approval: Some(need(terms)), ..Needs::default() }
}

fn asking(terms: &str) -> Arc<CallPlan> {
    Arc::new(asking_for(need(terms)))
}

fn asking_for(need: ApprovalNeed) -> CallPlan {
    let mut plan = CallPlan::default();
    plan.approval = Some(need);
    plan
}

async fn denied(ledger: &Ledger, purchase: NewPurchase, needs: Needs) -> Option<Denial> {
    match ledger.reserve_with(purchase, needs).await.unwrap() {
        Reserved::Granted { .. } => None,
        Reserved::Denied(denial) => Some(denial),
    }
}

/// The id of the approval that a purchase on these terms waits for.
async fn waits(ledger: &Ledger, name: &str, terms: &str) -> String {
    let denial = denied(ledger, purchase(name, "$5"), needs(terms)).await.unwrap();
    assert_eq!(denial.code, DenialCode::ApprovalRequired);
    denial.approval.unwrap().id
}

/// Those that wait, oldest first.
fn waiting() -> ApprovalFilter {
    ApprovalFilter { pending: Some(true), oldest_first: true, ..ApprovalFilter::default() }
}

fn is_wrong_state<T: std::fmt::Debug>(result: &Result<T, LedgerError>, found: &str) -> bool {
    matches!(result, Err(LedgerError::WrongState { state, .. }) if state == found)
}

#[tokio::test]
async fn a_freeze_stops_what_spends_and_nothing_else() {
    let (ledger, _) = memory();
    assert!(!ledger.maybe_frozen());
    for name in ["a", "b"] {
        assert_eq!(denied(&ledger, purchase(name, "$1"), Needs::default()).await, None);
    }
    ledger.signed(&id("a"), signed(1)).await.unwrap();
    let refundable = || plan(charge("x", DAY, 1, Refund::OnError), 1);
    assert_eq!(denial(&ledger, call("before"), refundable()).await, None);

    ledger.freeze("a key leaked".into(), "ops".into()).await.unwrap();
    ledger.freeze("again".into(), "somebody".into()).await.unwrap();
    let frozen = ledger.frozen().await.unwrap().unwrap();
    assert_eq!((frozen.why.as_str(), frozen.by.as_str()), ("a key leaked", "ops"));
    assert_eq!(frozen.since.as_second(), START);
    assert!(ledger.maybe_frozen());
    // What was reserved before is not signed any more.
    let signing = ledger.signed(&id("b"), signed(2)).await;
    assert!(matches!(&signing, Err(LedgerError::Frozen(known)) if *known == frozen), "{signing:?}");
    assert_eq!(ledger.purchase(&id("b")).await.unwrap().state, PurchaseState::Reserved);
    for denial in [
        denied(&ledger, purchase("c", "$1"), Needs::default()).await.unwrap(),
        denial(&ledger, call("c"), free_plan()).await.unwrap(),
    ] {
        assert_eq!(denial.code, DenialCode::Frozen);
        assert!(denial.message.contains("a key leaked"), "{denial}");
    }
    // What was begun ends, and sellers go on.
    ledger.responded(&id("a"), response()).await.unwrap();
    ledger.finish(&id("a"), paid()).await.unwrap();
    ledger.release_unsigned(&id("b"), "frozen".into()).await.unwrap();
    ledger.end_call("before".into(), end(CallOutcome::Error)).await.unwrap();
    taken(&ledger, 1).await;

    ledger.thaw("ops".into()).await.unwrap();
    assert!(!ledger.maybe_frozen());
    assert_eq!(ledger.frozen().await.unwrap(), None);
    assert_eq!(denied(&ledger, purchase("c", "$1"), Needs::default()).await, None);
    assert_eq!(denial(&ledger, call("c"), refundable()).await, None);
    ledger.thaw("ops".into()).await.unwrap();
    let kinds: Vec<_> = journal(&ledger).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds.iter().filter(|kind| ["frozen", "thawed"].contains(&kind.as_str())).count(), 2);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn every_process_sees_the_freeze_and_it_survives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let marker = folder.path().join("ledger.db.frozen");
    let (one, other) = (Ledger::open(&path, clock()).unwrap(), Ledger::open(&path, clock()).unwrap());
    one.freeze("stop".into(), "ops".into()).await.unwrap();
    assert!(marker.exists() && other.maybe_frozen());
    assert_eq!(denial(&other, call("a"), free_plan()).await.unwrap().code, DenialCode::Frozen);
    one.close().await.unwrap();
    other.close().await.unwrap();
    // A power cut, or whoever copies the ledger alone, leaves no marker.
    std::fs::remove_file(&marker).unwrap();
    let ledger = Ledger::open(&path, clock()).unwrap();
    assert!(ledger.maybe_frozen() && ledger.frozen().await.unwrap().is_some());
    ledger.thaw("ops".into()).await.unwrap();
    assert!(!marker.exists() && !ledger.maybe_frozen());
    // A marker that stands for nothing costs a question, and no call.
    std::fs::write(&marker, "").unwrap();
    assert!(ledger.maybe_frozen());
    assert_eq!(denial(&ledger, call("b"), free_plan()).await, None);
    ledger.thaw("ops".into()).await.unwrap();
    assert!(!ledger.maybe_frozen());
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn without_a_marker_nothing_is_frozen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::open(&path, clock()).unwrap();
    std::fs::create_dir(folder.path().join("ledger.db.frozen")).unwrap();
    let refused = ledger.freeze("stop".into(), "ops".into()).await;
    assert!(matches!(refused, Err(LedgerError::Database(_))), "{refused:?}");
    assert_eq!(ledger.frozen().await.unwrap(), None);
    assert_whole(&ledger).await;
}

/// Freezing and thawing at once from several handles never leaves a freeze that cannot be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_freeze_is_without_its_marker() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledgers: Vec<_> = (0..3).map(|_| Ledger::open(&path, clock()).unwrap()).collect();
    for _ in 0..20 {
        let tasks: Vec<_> = (0..9)
            .map(|n| {
                let ledger = ledgers[n % 3].clone();
                tokio::spawn(async move {
                    match n % 2 {
                        0 => ledger.freeze("stop".into(), "ops".into()).await,
                        _ => ledger.thaw("ops".into()).await,
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let frozen = ledgers[0].frozen().await.unwrap().is_some();
        assert!(!frozen || ledgers[1].maybe_frozen());
    }
    assert_whole(&ledgers[0]).await;
}

#[tokio::test]
async fn an_approval_is_asked_for_decided_and_used_once() {
    let (ledger, clock) = memory();
    let first = waits(&ledger, "a", "{}").await;
    clock.advance(Duration::from_secs(600));
    let denial = denied(&ledger, purchase("b", "$5"), needs("{}")).await.unwrap();
    let asked = denial.approval.unwrap();
    assert_eq!((&asked.id, asked.expires_in_seconds), (&first, 3000), "the same is not asked twice");
    assert_eq!(asked.how, format!("farthing approvals approve {first}"));
    let pending = ledger.approvals(waiting()).await.unwrap();
    assert_eq!(
        (pending.len(), pending[0].state, pending[0].terms.as_str()),
        (1, ApprovalState::Pending, "{}")
    );

    ledger.decide_approval(&first, true, "ana".into()).await.unwrap();
    assert!(is_wrong_state(&ledger.decide_approval(&first, false, "bob".into()).await, "approved"));
    assert_eq!(denied(&ledger, purchase("a", "$5"), needs("{}")).await, None);
    let used = ledger.approval(&first).await.unwrap();
    assert_eq!((used.state, used.used_by.as_deref()), (ApprovalState::Used, Some("a")));
    assert_eq!(
        (used.decided_by.as_deref(), used.decided_at),
        (Some("ana"), Some(used.created_at + HOUR / 6))
    );
    assert_ne!(waits(&ledger, "b", "{}").await, first);
    assert!(matches!(
        ledger.decide_approval("a999", true, "ana".into()).await,
        Err(LedgerError::NotFound { .. })
    ));
    let kinds: Vec<_> = journal(&ledger).await.into_iter().map(|(kind, _)| kind).collect();
    let expected = ["approval_asked", "denied", "denied", "approval_decided", "reserved", "approval_used"];
    assert_eq!(kinds[..6], expected);
    assert_whole(&ledger).await;
}

/// Whoever asked may be gone by then.
#[tokio::test]
async fn the_process_that_asked_tells_of_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let [asking, other] = [0, 1].map(|_| Ledger::open(&path, clock()).unwrap());
    // Asked, and not waited for.
    let asked = asking.reserve_with(purchase("a", "$5"), needs("{}"));
    drop(tokio::time::timeout(Duration::ZERO, asked).await);
    let id = waits(&asking, "b", "{}").await;
    assert_eq!(waits(&other, "c", "{}").await, id, "there is one");
    assert_eq!([&other, &asking, &asking].map(|ledger| ledger.take_untold(&id)), [false, true, false]);
}

#[tokio::test]
async fn an_approval_is_bound_to_its_terms_and_its_policy() {
    let (ledger, _) = memory();
    let approved = waits(&ledger, "a", r#"{"amount":"5"}"#).await;
    ledger.decide_approval(&approved, true, "ana".into()).await.unwrap();
    assert_ne!(waits(&ledger, "a", r#"{"amount":"6"}"#).await, approved);
    let other = NewPurchase { policy_hash: "p2".into(), ..purchase("a", "$5") };
    assert!(denied(&ledger, other, needs(r#"{"amount":"5"}"#)).await.is_some());
    assert_eq!(denied(&ledger, purchase("a", "$5"), needs(r#"{"amount":"5"}"#)).await, None);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn approvals_and_refusals_expire() {
    let (ledger, clock) = memory();
    // Nobody decided.
    let first = waits(&ledger, "a", "{}").await;
    clock.advance(HOUR);
    assert_eq!(ledger.approval(&first).await.unwrap().state, ApprovalState::Expired);
    assert!(is_wrong_state(&ledger.decide_approval(&first, true, "ana".into()).await, "expired"));
    // Nobody used it.
    let second = waits(&ledger, "a", "{}").await;
    clock.advance(HOUR / 2);
    ledger.decide_approval(&second, true, "ana".into()).await.unwrap();
    clock.advance(HOUR);
    // It was refused: not asked again for an hour.
    let third = waits(&ledger, "a", "{}").await;
    ledger.decide_approval(&third, false, "ana".into()).await.unwrap();
    let refused = denied(&ledger, purchase("a", "$5"), needs("{}")).await.unwrap();
    assert_eq!((refused.code, refused.retry_after_seconds), (DenialCode::ApprovalDenied, Some(3601)));
    clock.advance(HOUR);
    assert_ne!(waits(&ledger, "a", "{}").await, third);
    assert_eq!(ledger.approvals(ApprovalFilter::default()).await.unwrap().len(), 4);
    let two = ApprovalFilter { limit: Some(2), ..ApprovalFilter::default() };
    assert_eq!(ledger.approvals(two).await.unwrap().len(), 2);
    // However long it is valid, its end is a time.
    let long = ApprovalNeed { valid: Duration::MAX, ..need("long") };
    let id = denial(&ledger, call("x"), asking_for(long)).await.unwrap().approval.unwrap().id;
    ledger.decide_approval(&id, true, "ana".into()).await.unwrap();
    assert_eq!(ledger.approval(&id).await.unwrap().state, ApprovalState::Approved);
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn every_approval_is_on_one_page_of_the_list() {
    let (ledger, clock) = memory();
    waits(&ledger, "over", r#"{"n":0}"#).await;
    clock.advance(HOUR);
    let mut asked = Vec::new();
    for n in 1..=5 {
        asked.push(waits(&ledger, &format!("p{n}"), &format!(r#"{{"n":{n}}}"#)).await);
    }
    ledger.decide_approval(&asked.remove(2), false, "ana".into()).await.unwrap();
    assert_eq!(ledger.pending_approvals().await.unwrap(), 4);
    for (oldest_first, pending, expected) in
        [(true, Some(true), asked.clone()), (false, Some(true), asked.iter().rev().cloned().collect())]
    {
        let mut found = Vec::new();
        let mut filter = ApprovalFilter { pending, oldest_first, limit: Some(3), after: None };
        loop {
            let page = ledger.approvals(filter.clone()).await.unwrap();
            found.extend(page.iter().map(|approval| approval.id.clone()));
            let Some(last) = page.last() else { break };
            filter.after = Some(last.id.clone());
        }
        assert_eq!(found, expected, "{oldest_first}");
    }
    let over = ApprovalFilter { pending: Some(false), ..ApprovalFilter::default() };
    let states: Vec<_> = ledger.approvals(over).await.unwrap().iter().map(|one| one.state).collect();
    assert_eq!(states, [ApprovalState::Denied, ApprovalState::Expired]);
    let beyond = ApprovalFilter { after: Some("a999".into()), ..ApprovalFilter::default() };
    assert!(matches!(ledger.approvals(beyond).await, Err(LedgerError::NotFound { .. })));
}

#[tokio::test]
async fn nobody_is_asked_about_what_is_denied_anyway() {
    let (ledger, _) = memory();
    let denial = denied(&ledger, purchase("a", "$11"), needs("{}")).await.unwrap();
    assert_eq!(denial.code, DenialCode::BudgetExceeded);
    assert!(ledger.approvals(ApprovalFilter::default()).await.unwrap().is_empty());
    // What has no room leaves its approval alone.
    let id = waits(&ledger, "b", "{}").await;
    ledger.decide_approval(&id, true, "ana".into()).await.unwrap();
    assert!(denied(&ledger, purchase("a", "$11"), needs("{}")).await.is_some());
    ledger.freeze("stop".into(), "ops".into()).await.unwrap();
    assert!(denied(&ledger, purchase("b", "$5"), needs("{}")).await.is_some());
    ledger.thaw("ops".into()).await.unwrap();
    assert_eq!(denied(&ledger, purchase("b", "$5"), needs("{}")).await, None);
    assert_whole(&ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_one_approval_one_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledgers: Vec<_> = (0..2).map(|_| Ledger::open(&path, clock()).unwrap()).collect();
    let approval = waits(&ledgers[0], "a", "{}").await;
    ledgers[1].decide_approval(&approval, true, "ana".into()).await.unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let ledger = ledgers[n % 2].clone();
            tokio::spawn(async move {
                match n % 3 {
                    0 => denial(&ledger, call(n.to_string()), asking("{}")).await,
                    _ => denied(&ledger, purchase(n.to_string(), "$0.01"), needs("{}")).await,
                }
            })
        })
        .collect();
    let mut granted = 0;
    for task in tasks {
        granted += usize::from(task.await.unwrap().is_none());
    }
    assert_eq!(granted, 1);
    assert_eq!(ledgers[0].approvals(ApprovalFilter::default()).await.unwrap().len(), 2);
    assert_whole(&ledgers[0]).await;
}

#[tokio::test]
async fn only_so_many_requests_wait() {
    let (ledger, clock) = memory();
    for n in 0..1000 {
        assert!(denial(&ledger, call("x"), asking(&n.to_string())).await.unwrap().approval.is_some());
    }
    let denied = denial(&ledger, call("x"), asking("one more")).await.unwrap();
    assert_eq!((denied.code, denied.approval), (DenialCode::ApprovalRequired, None));
    assert!(denied.message.contains("1000 others"), "{}", denied.message);
    assert!(denial(&ledger, call("x"), asking("7")).await.unwrap().approval.is_some(), "it waits already");
    clock.advance(HOUR);
    assert!(denial(&ledger, call("x"), asking("one more")).await.unwrap().approval.is_some());
}

#[tokio::test]
async fn a_limit_in_shadow_mode_reports_and_counts() {
    let (ledger, _) = memory();
    let shadow = Limit { shadow: true, ..amount("agent:x", DAY, "$1") };
    let needs = || Needs { limits: vec![shadow.clone(), amount("all", DAY, "$5")], ..Needs::default() };
    for (name, reported) in [("a", 0), ("b", 1), ("c", 1)] {
        let granted = ledger.reserve_with(purchase(name, "$1"), needs()).await.unwrap();
        let Reserved::Granted { used, shadowed } = granted else { panic!("denied") };
        assert_eq!((used.len(), shadowed.len()), (2, reported), "{name}");
        assert!(shadowed.iter().all(|denial| denial.code == DenialCode::BudgetExceeded));
    }
    assert_eq!(ledger.usage(vec![shadow]).await.unwrap()[0].amount, usd("$3"));
    let rows = ledger.journal(0, 9).await.unwrap();
    assert!(rows[0].body.contains(r#""shadowed":null"#) && rows[1].body.contains("budget_exceeded"));
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn new_payees_are_limited_and_known_ones_are_not() {
    let (ledger, _) = memory();
    let pays = |name: &str, payee: &str| NewPurchase { pay_to: payee.into(), ..purchase(name, "$1") };
    let first_use = |payee: &str| Limit {
        first_use_of: Some(format!("payee:{payee}")),
        ..Limit::new("strangers", "new-payees", DAY, Measure::Count(2))
    };
    let try_one = async |name: &str, payee: &str| {
        let needs = Needs { limits: vec![first_use(payee)], ..Needs::default() };
        denied(&ledger, pays(name, payee), needs).await
    };
    for (name, payee) in [("a", "0x1"), ("b", "0x1"), ("c", "0x2"), ("d", "0x2"), ("e", "0x1")] {
        assert_eq!(try_one(name, payee).await, None, "{name}");
    }
    let denial = try_one("f", "0x3").await.unwrap();
    assert_eq!((denial.code, denial.rule.as_str()), (DenialCode::TooManyNewPayees, "strangers"));
    assert!(denial.message.contains("payee:0x3"), "{denial}");
    assert_eq!(
        ledger
            .usage(vec![first_use("0x3"), first_use("0x1")])
            .await
            .unwrap()
            .iter()
            .map(|usage| usage.count)
            .collect::<Vec<_>>(),
        [2, 0]
    );
    assert_eq!(try_one("g", "0x1").await, None, "a known one");
    assert_whole(&ledger).await;
}

#[tokio::test]
async fn the_record_knows_whose_purchase_it_was() {
    let (ledger, _) = memory();
    let terms =
        NewPurchase { agent: Some("clerk".into()), session: Some("s1".into()), ..purchase("a", "$1") };
    let _ = ledger.reserve(terms.clone(), vec![]).await.unwrap();
    assert_eq!(ledger.purchase(&id("a")).await.unwrap().terms, terms);
    let broke = NewPurchase { id: id("b"), ..terms };
    let _ = ledger.reserve(broke, vec![amount("all", DAY, "$1")]).await.unwrap();
    let denied = ledger.journal(1, 1).await.unwrap().remove(0);
    for part in [r#""agent":"clerk""#, r#""session":"s1""#, r#""code":"budget_exceeded""#] {
        assert!(denied.body.contains(part), "{}", denied.body);
    }
    assert_whole(&ledger).await;
}
