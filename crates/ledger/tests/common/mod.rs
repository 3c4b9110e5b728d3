//! What the tests of the ledger share.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::panic, reason = "a test that cannot go on ends there")]

use std::sync::Arc;

use farthing_ambient::TestClock;
use farthing_ledger::{
    BroadcastRecord, Claimed, Ledger, NewClaim, NewPurchase, NewSettlement, Outcome, PurchaseId,
    ResponseRecord, SignedRecord,
};
use farthing_money::{BaseUnits, Network, Price, Usd};
use farthing_policy::{Limit, Measure, Window};
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

pub(crate) async fn assert_whole(ledger: &Ledger) {
    let report = ledger.verify().await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
}
