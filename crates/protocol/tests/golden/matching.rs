//! matching.json: which offer a payment answers, and which echoes of extensions pass.

use farthing_protocol::x402::{Payment, Reason, altered_extension, v1, v2};
use farthing_protocol::{Object, ProtocolError};
use serde::Deserialize;
use serde_json::Value;

use crate::common::{Differences, raw, table};

const FILE: &str = include_str!("../../../../tests/golden/matching.json");

#[derive(Deserialize)]
struct Case {
    name: String,
    accepts: Vec<Value>,
    payment: Value,
    index: Option<usize>,
    throws: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Echo {
    name: String,
    advertised: Object,
    echoed: Object,
    x402_version: u8,
    result: EchoResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EchoResult {
    invalid_reason: Option<Reason>,
    extension_key: Option<String>,
}

fn answers(offer: &Value, payment: &Payment) -> bool {
    let raw = raw(offer);
    let terms = match payment {
        Payment::V1(_) => v1::PaymentRequirements::read(&raw).unwrap().requirements(),
        Payment::V2(_) => v2::requirements(&raw),
    };
    payment.answers(&terms.unwrap(), &serde_json::from_str(raw.get()).unwrap()).unwrap()
}

#[test]
fn a_payment_answers_the_offer_that_the_reference_finds() {
    let differences = Differences(&[
        (
            "a real v1 payment has no accepted: never found",
            "the reference's server no longer takes v1; ours does, by scheme and network",
        ),
        ("v1 with accepted: scheme and network only", "no client writes a v1 payment like that"),
    ]);
    for case in table::<Case>(FILE, "cases") {
        let payment = Payment::read(&raw(&case.payment));
        if case.throws.is_some() {
            assert!(payment.is_err(), "{}", case.name);
        }
        let found =
            payment.ok().and_then(|payment| case.accepts.iter().position(|offer| answers(offer, &payment)));
        differences.check(&case.name, found == case.index, found);
    }
}

#[test]
fn an_unsupported_version_is_named() {
    let cases: Vec<Case> = table(FILE, "cases");
    let case = cases.iter().find(|case| case.name == "x402Version 3").unwrap();
    assert!(matches!(Payment::read(&raw(&case.payment)), Err(ProtocolError::Version(3))));
}

#[test]
fn altered_extensions_are_the_references() {
    // Version 1 has no extensions: `Payment::extensions` gives none to compare.
    for case in table::<Echo>(FILE, "extensions").into_iter().filter(|case| case.x402_version == 2) {
        let altered = altered_extension(&case.advertised, &case.echoed);
        assert_eq!(altered, case.result.extension_key.as_deref(), "{}", case.name);
        assert_eq!(altered.is_some(), case.result.invalid_reason == Some(Reason::EXTENSION_ECHO_MISMATCH));
    }
}
