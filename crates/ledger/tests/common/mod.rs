//! What the tests of the ledger share.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::panic, reason = "a test that cannot go on ends there")]

use std::sync::Arc;

use farthing_ambient::TestClock;
use farthing_ledger::{
    Admitted, BroadcastRecord, CallEnd, CallOutcome, Claimed, Ledger, NewCall, NewClaim, NewPurchase,
    NewSettlement, Outcome, PurchaseId, ResponseRecord, SignedRecord,
};
use farthing_money::{BaseUnits, Network, Price, Usd};
use farthing_policy::{CallPlan, Charge, Counter, Denial, Limit, Measure, Period, Quantity, Refund, Window};
use farthing_protocol::PaymentKey;

/// 2023-11-14T22:13:20Z, a Tuesday.
pub(crate) const START: i64 = 1_700_000_000;

pub(crate) fn clock() -> Arc<TestClock> {
    Arc::new(TestClock::at_unix_second(START))
}

pub(crate) fn memory() -> (Ledger, Arc<TestClock>) {
    let clock = clock();
    (Ledger::in_memory(clock.clone()).unwrap(), clock)
}

pub(crate) fn usd(text: &str) -> Usd {
    text.parse::<Price>().unwrap().in_dollars().unwrap()
}

pub(crate) fn id(text: impl Into<String>) -> PurchaseId {
    PurchaseId(text.into())
}

pub(crate) fn purchase(name: impl Into<String>, dollars: &str) -> NewPurchase {
    let value = usd(dollars);
    NewPurchase {
        id: id(name),
        method: "GET".into(),
        url: "https://API.Example.com:8443/weather?city=Bern".into(),
        request_digest: "d1".into(),
        protocol: "x402-v2".into(),
        scheme: "exact".into(),
        network: Network::BASE,
        asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into(),
        amount: BaseUnits::new(value.get() / 10u128.pow(12)),
        value,
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        payer: "0x857b06519E91e3A54538791bDbb0E22373e36b66".into(),
        offer: r#"{"scheme":"exact"}"#.into(),
        policy_hash: "p1".into(),
        agent: None,
        session: None,
    }
}

pub(crate) fn limit(scope: &str, window: Window, measure: Measure) -> Limit {
    Limit::new(format!("{scope} {window}"), scope, window, measure)
}

pub(crate) fn amount(scope: &str, window: Window, most: &str) -> Limit {
    limit(scope, window, Measure::Amount(usd(most)))
}

pub(crate) fn key(n: u32) -> PaymentKey {
    let mut nonce = [0; 32];
    nonce[..4].copy_from_slice(&n.wrapping_mul(2_654_435_769).to_be_bytes());
    nonce[28..].copy_from_slice(&n.to_be_bytes());
    PaymentKey::eip3009(&Network::BASE, [0x83; 20], [0x85; 20], nonce)
}

pub(crate) const HEADER: &str = "c2lnbmVkLXBheW1lbnQtb2YtdGhlLWJ1eWVy";

pub(crate) fn signed(n: u32) -> SignedRecord {
    SignedRecord {
        key: key(n),
        header_name: "PAYMENT-SIGNATURE".into(),
        header_value: HEADER.into(),
        valid_before: farthing_ambient::Timestamp::from_second(START + 60).unwrap(),
    }
}

pub(crate) fn response() -> ResponseRecord {
    ResponseRecord {
        status: 200,
        content_type: Some("application/json".into()),
        body_digest: "b1".into(),
        body_bytes: 42,
        body_file: Some("bodies/a".into()),
        settlement: Some(r#"{"success":true}"#.into()),
    }
}

pub(crate) fn paid() -> Outcome {
    Outcome::Paid { transaction: Some("0xt".into()) }
}

pub(crate) fn not_paid() -> Outcome {
    Outcome::NotPaid { why: "expired".into() }
}

pub(crate) fn unknown() -> Outcome {
    Outcome::Unknown { why: "no answer".into() }
}

pub(crate) fn claim(n: u32) -> NewClaim {
    NewClaim {
        key: key(n),
        route: "GET /weather".into(),
        request: "GET /weather?city=Bern".into(),
        payer: "0x857b06519E91e3A54538791bDbb0E22373e36b66".into(),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        network: Network::BASE,
        asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into(),
        amount: BaseUnits::new(2500),
    }
}

pub(crate) const PAYMENT: &str = r#"{"signature":"0xfeedfacefeedface"}"#;

/// Takes a payment that nobody has; the claim's row.
pub(crate) async fn taken(ledger: &Ledger, n: u32) -> i64 {
    match ledger.claim(claim(n)).await.unwrap() {
        Claimed::Granted { seq } => seq,
        Claimed::Duplicate(known) => panic!("{known:?}"),
    }
}

pub(crate) fn settlement(n: u32) -> NewSettlement {
    NewSettlement {
        key: key(n),
        binding: "bound".into(),
        payment: PAYMENT.into(),
        requirements: r#"{"scheme":"exact"}"#.into(),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        network: Network::BASE,
        asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into(),
        amount: BaseUnits::new(2500),
    }
}

pub(crate) const RAW: &str = "0x02f8b1deadbeefdeadbeef";

pub(crate) fn broadcast(transaction: &str, payments: impl IntoIterator<Item = u32>) -> BroadcastRecord {
    BroadcastRecord {
        network: Network::BASE,
        signer: "0x1111111111111111111111111111111111111111".into(),
        nonce: 7,
        transaction: transaction.into(),
        raw: RAW.into(),
        payments: payments.into_iter().map(key).collect(),
    }
}

pub(crate) fn call(name: impl Into<String>) -> NewCall {
    NewCall {
        id: name.into(),
        server: "desk".into(),
        agent: Some("clerk".into()),
        session: "s1".into(),
        tool: "send_payment".into(),
        arguments: r#"{"cents":25}"#.into(),
        policy_hash: "p1".into(),
    }
}

pub(crate) fn quantity(n: u128) -> Quantity {
    Quantity::new(n * Quantity::ONE.get())
}

pub(crate) fn charge(scope: &str, window: Window, n: u128, refund: Refund) -> Charge {
    let counter = Counter { scope: scope.into(), window };
    Charge { counter, amount: quantity(n), refund }
}

/// A plan of one charge with its limit.
pub(crate) fn plan(charge: Charge, most: u128) -> CallPlan {
    CallPlan::default().with_limit("cap", charge, quantity(most))
}

/// A plan that counts nothing.
pub(crate) fn free_plan() -> Arc<CallPlan> {
    Arc::new(CallPlan::default())
}

pub(crate) fn end(outcome: CallOutcome) -> CallEnd {
    CallEnd { outcome }
}

/// The denial that a call meets; none when it may be made.
pub(crate) async fn denial(ledger: &Ledger, call: NewCall, plan: impl Into<Arc<CallPlan>>) -> Option<Denial> {
    match ledger.admit(call, plan.into()).await.unwrap() {
        Admitted::Granted { .. } => None,
        Admitted::Denied(denial) => Some(denial),
    }
}

/// The kinds of the journal's rows and what they are about.
pub(crate) async fn journal(ledger: &Ledger) -> Vec<(String, String)> {
    ledger.journal(0, u32::MAX).await.unwrap().into_iter().map(|row| (row.kind, row.id)).collect()
}

/// How long a rolling window is, and how much longer the ledger may believe it is.
pub(crate) fn rolling(period: Period) -> (i64, i64) {
    let (second, minute, hour) = (1_000, 60_000, 3_600_000);
    match period {
        Period::Minute => (minute, second),
        Period::Hour => (hour, second),
        Period::Day => (24 * hour, minute),
        Period::Week => (7 * 24 * hour, hour),
        Period::Month => (30 * 24 * hour, hour),
    }
}

/// What a calendar would call this minute, hour, day, week or month.
pub(crate) fn calendar_name(period: Period, at: i64) -> String {
    let at = farthing_ambient::Timestamp::from_millisecond(at).unwrap().to_string();
    let length = match period {
        Period::Minute => 16,
        Period::Hour => 13,
        Period::Day => 10,
        Period::Month => 7,
        Period::Week => {
            let date: jiff::civil::Date = at[..10].parse().unwrap();
            let week = date.iso_week_date();
            return format!("{}-W{}", week.year(), week.week());
        }
    };
    at[..length].to_owned()
}

pub(crate) async fn assert_whole(ledger: &Ledger) {
    let report = ledger.verify().await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
}
