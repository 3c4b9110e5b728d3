//! express.json: the headers of an `@x402/express` server.

use std::collections::BTreeMap;

use farthing_protocol::x402::{
    ExactEvmPayload, Payment, Paywall, ResourceInfo, SettleResponse, decode_header, v2,
};
use farthing_protocol::{Challenge, Requirements};
use serde::Deserialize;
use serde_json::Value;

use crate::common::{Differences, json, table, unpacked};

const FILE: &str = include_str!("../../../../tests/golden/express.json");

#[derive(Deserialize)]
struct Case {
    name: String,
    request: Message,
    response: Message,
    decoded: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Message {
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
}

/// Every case whose answer has this header, with its value.
fn answers_with(header: &str) -> Vec<(Case, String)> {
    let cases: Vec<Case> = table(FILE, "cases");
    let found: Vec<_> = cases
        .into_iter()
        .filter_map(|case| case.response.headers.get(header).cloned().map(|value| (case, value)))
        .collect();
    assert!(found.len() > 10, "{header}: {}", found.len());
    found
}

#[test]
fn a_402_of_express_is_read() {
    for (case, header) in answers_with("payment-required") {
        let body = case.response.body.unwrap_or_default();
        let challenge = Challenge::read(Some(header.as_bytes()), body.as_bytes()).unwrap();
        let sent = &case.decoded["payment-required"];
        assert_eq!((challenge.offers.len(), challenge.unreadable.len()), (1, 0), "{}", case.name);
        assert_eq!(json(challenge.offers[0].raw.get()), sent["accepts"][0], "{}", case.name);
        assert_eq!(challenge.error.as_deref(), sent["error"].as_str(), "{}", case.name);
        let flow = sent["accepts"][0]["extra"]["paymentFlow"].as_str().unwrap_or("authorization");
        assert_eq!(challenge.offers[0].flow().unwrap().as_str(), flow, "{}", case.name);
    }
}

#[test]
fn our_402_is_theirs_byte_for_byte() {
    let differences = Differences(&[
        ("unpaid, upfront", "we sort the keys of `extra`"),
        ("verify says invalid without a reason", "we always say why"),
    ]);
    for (case, header) in answers_with("payment-required") {
        let required: v2::PaymentRequired = decode_header("test", header.as_bytes()).unwrap();
        let mut resource: ResourceInfo = serde_json::from_str(required.resource.unwrap().get()).unwrap();
        // A seller who sets neither must get what express writes then: empty texts.
        for text in [&mut resource.description, &mut resource.mime_type] {
            text.take_if(|text| text.is_empty());
        }
        let terms: Vec<Requirements> =
            required.accepts.iter().map(|raw| v2::requirements(raw).unwrap()).collect();
        let paywall = Paywall::new(&resource, &terms).unwrap();
        let ours = match required.error.as_deref() {
            None | Some("Payment required") => paywall.v2_header().to_owned(),
            Some(reason) => paywall.v2_refusal(reason).unwrap(),
        };
        differences.check(&case.name, ours == header, unpacked(&ours));
    }
}

#[test]
fn payments_for_express_round_trip_or_are_refused() {
    let refused = Differences(&[
        ("payment is not base64", "it is not"),
        ("payment is not JSON", "it is not"),
        ("payment is empty", "it is"),
        ("payment is null", "it is no object"),
        ("payment is a number", "it is no object"),
        ("payment is an empty object", "it has no version"),
        ("payment of x402Version 3", "there is none"),
        ("payment without accepted", "v2 says what it answers"),
    ]);
    for case in table::<Case>(FILE, "cases") {
        for (name, header) in &case.request.headers {
            if !matches!(name.as_str(), "payment-signature" | "x-payment") {
                continue;
            }
            let payment = Payment::from_header(name, header.as_bytes());
            refused.check(&case.name, payment.is_ok(), &payment);
            let Ok(payment) = payment else { continue };
            assert_eq!(&payment.to_header().unwrap().1, header, "{}", case.name);
            serde_json::from_str::<ExactEvmPayload>(payment.payload().get()).unwrap();
        }
    }
}

const ORDER: &str = "express puts `network` before `transaction` when its facilitator fails";

#[test]
fn settlements_of_express_round_trip() {
    let differences = Differences(&[("settle answers 400", ORDER), ("settle answers 500", ORDER)]);
    for (case, header) in answers_with("payment-response") {
        let read: SettleResponse = decode_header("test", header.as_bytes()).unwrap();
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(json(&written), case.decoded["payment-response"], "{}", case.name);
        differences.check(&case.name, written == unpacked(&header), &written);
    }
}
