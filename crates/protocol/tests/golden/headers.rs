//! headers.json: `cases` and `bodies_v1`.

use farthing_protocol::x402::{ExactEvmPayload, Payment, SettleResponse, decode_header, encode_header, v2};
use farthing_protocol::{Challenge, PaymentKey, Protocol};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::common::{Differences, json, table};

const FILE: &str = include_str!("../../../../tests/golden/headers.json");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    header: String,
    base64: String,
    json: String,
    value: Value,
    passes_schema: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    name: String,
    json: String,
    passes_schema: bool,
}

#[derive(Deserialize)]
struct Offers {
    accepts: Vec<Box<RawValue>>,
}

fn cases(header: &str) -> Vec<Case> {
    let cases: Vec<Case> = table(FILE, "cases");
    let cases: Vec<Case> = cases.into_iter().filter(|case| case.header == header).collect();
    assert!(!cases.is_empty(), "no cases of {header}");
    cases
}

const NULL_DROPPED: &str = "a null optional is left out, which means the same";

#[test]
fn required_headers_are_written_as_the_reference_writes_them() {
    let differences = Differences(&[
        ("null optionals", NULL_DROPPED),
        (
            "unknown keys",
            "a key that nobody knows, beside the offers, is not kept; in offers and extensions it is",
        ),
    ]);
    for case in cases("PAYMENT-REQUIRED") {
        let read: v2::PaymentRequired = decode_header("test", case.base64.as_bytes()).unwrap();
        let written = encode_header(&read).unwrap();
        differences.check(&case.name, written == case.base64, serde_json::to_string(&read));
    }
}

#[test]
fn an_offer_is_readable_when_it_passes_the_references_schema() {
    for case in cases("PAYMENT-REQUIRED") {
        let challenge = Challenge::read(Some(case.base64.as_bytes()), b"");
        let readable = challenge.as_ref().is_ok_and(|challenge| challenge.unreadable.is_empty());
        assert_eq!(Some(readable), case.passes_schema, "{}: {challenge:?}", case.name);
    }
}

#[test]
fn offers_resource_and_extensions_are_echoed_byte_for_byte() {
    for case in cases("PAYMENT-REQUIRED").into_iter().filter(|case| case.passes_schema == Some(true)) {
        let challenge = Challenge::read(Some(case.base64.as_bytes()), b"").unwrap();
        let offers: Offers = serde_json::from_str(&case.json).unwrap();
        assert_eq!(challenge.offers.len(), offers.accepts.len(), "{}", case.name);
        for (offer, sent) in challenge.offers.iter().zip(&offers.accepts) {
            assert_eq!(offer.raw.get(), sent.get(), "{}", case.name);
            let payment = Payment::answer(&challenge, offer, RawValue::NULL.to_owned()).unwrap();
            let echo = payment.to_raw().unwrap();
            assert!(echo.get().ends_with(&format!(r#","accepted":{}}}"#, sent.get())), "{echo}");
            for raw in [&challenge.resource, &challenge.extensions].into_iter().flatten() {
                assert!(case.json.contains(raw.get()) && echo.get().contains(raw.get()), "{}", case.name);
            }
            assert_eq!(offer.resource_url.as_deref(), case.value["resource"]["url"].as_str());
            assert_eq!(offer.description.as_deref(), case.value["resource"]["description"].as_str());
        }
    }
}

#[test]
fn payments_are_written_as_the_reference_writes_them() {
    let differences = Differences(&[("v2 payment, extensions null", NULL_DROPPED)]);
    for (header, protocol) in [("PAYMENT-SIGNATURE", Protocol::X402V2), ("X-PAYMENT", Protocol::X402V1)] {
        for case in cases(header) {
            let payment = Payment::from_header(header, case.base64.as_bytes()).unwrap();
            assert_eq!(payment.protocol(), protocol);
            let (name, written) = payment.to_header().unwrap();
            assert!(name.eq_ignore_ascii_case(header));
            differences.check(&case.name, written == case.base64, payment.to_raw());

            let signed: ExactEvmPayload = serde_json::from_str(payment.payload().get()).unwrap();
            assert_eq!(serde_json::to_string(&signed).unwrap(), payment.payload().get(), "{}", case.name);
        }
    }
}

#[test]
fn every_payment_of_the_reference_has_a_key_of_its_own() {
    let mut keys = std::collections::BTreeSet::new();
    for case in cases("PAYMENT-SIGNATURE") {
        let v2 = Payment::from_header("PAYMENT-SIGNATURE", case.base64.as_bytes()).unwrap();
        let Payment::V2(payment) = &v2 else { panic!("{}", case.name) };
        let terms = v2::requirements(&payment.accepted).unwrap();
        let key = PaymentKey::of(&terms, v2.payload()).unwrap();
        let nonce = case.value["payload"]["authorization"]["nonce"].as_str().unwrap();
        assert_eq!(hex::encode(key.eip3009_parts().unwrap().2), nonce.trim_start_matches("0x"));
        assert!(keys.insert(key), "{}", case.name);
    }
}

#[test]
fn settlements_are_written_as_the_reference_writes_them() {
    let differences = Differences(&[("settled, null optionals", NULL_DROPPED)]);
    for header in ["PAYMENT-RESPONSE", "X-PAYMENT-RESPONSE"] {
        for case in cases(header) {
            let read: SettleResponse = decode_header("test", case.base64.as_bytes()).unwrap();
            assert_eq!(Some(read.success), case.value["success"].as_bool());
            let reason = read.error_reason.as_ref().map(|reason| reason.as_str());
            assert_eq!(reason, case.value["errorReason"].as_str());
            differences.check(&case.name, encode_header(&read).unwrap() == case.base64, read);
        }
    }
}

#[test]
fn v1_bodies_are_read() {
    let differences = Differences(&[
        ("error null (the schema refuses it)", "a null optional is an absent one"),
        (
            "description missing (the schema refuses it)",
            "it is for people, and changes nothing about the terms",
        ),
        ("mimeType null (the schema refuses it)", "a null optional is an absent one"),
    ]);
    for body in table::<Body>(FILE, "bodies_v1") {
        let challenge = Challenge::read(None, body.json.as_bytes()).unwrap();
        differences.check(&body.name, challenge.unreadable.is_empty() == body.passes_schema, &challenge);
        let sent: Offers = serde_json::from_str(&body.json).unwrap();
        let raws = challenge.offers.iter().map(|offer| &offer.raw);
        let raws = raws.chain(challenge.unreadable.iter().map(|offer| &offer.raw));
        assert!(raws.map(|raw| raw.get()).eq(sent.accepts.iter().map(|raw| raw.get())), "{}", body.name);
        for (offer, sent) in challenge.offers.iter().zip(&sent.accepts) {
            let sent = json(sent.get());
            assert_eq!(offer.protocol, Protocol::X402V1);
            assert_eq!(offer.requirements.network.v1_name(), sent["network"].as_str());
            assert_eq!(
                Some(offer.requirements.amount.to_string().as_str()),
                sent["maxAmountRequired"].as_str()
            );
            assert_eq!(offer.resource_url.as_deref(), sent["resource"].as_str());
            let payment = Payment::answer(&challenge, offer, RawValue::NULL.to_owned()).unwrap();
            let Payment::V1(payment) = payment else { panic!("{}", body.name) };
            assert_eq!(Some(payment.network.as_str()), sent["network"].as_str());
        }
    }
}
