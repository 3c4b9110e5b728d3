//! exact_evm.json: payments as `@x402/evm` signs them. (Digests and signatures are farthing-rail-evm's to test.)

use farthing_protocol::x402::{FacilitatorRequest, Payment, SettleResponse};
use farthing_protocol::{Object, PaymentKey, Protocol};
use serde::Deserialize;
use serde_json::Value;

use crate::common::{json, raw, table};

const FILE: &str = include_str!("../../../../tests/golden/exact_evm.json");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    x402_version: u8,
    requirements: Value,
    payment_payload: Value,
    settle: Value,
}

fn request(case: &Case) -> FacilitatorRequest {
    let body = serde_json::json!({
        "x402Version": case.x402_version,
        "paymentPayload": case.payment_payload,
        "paymentRequirements": case.requirements,
    });
    FacilitatorRequest::read(body.to_string().as_bytes()).unwrap()
}

#[test]
fn payments_round_trip() {
    for case in table::<Case>(FILE, "cases") {
        let payment = request(&case).payment;
        assert_eq!(payment.protocol().x402_version(), case.x402_version, "{}", case.name);
        assert_eq!(json(payment.to_raw().unwrap().get()), case.payment_payload, "{}", case.name);
        let (name, header) = payment.to_header().unwrap();
        let again = Payment::from_header(name, header.as_bytes()).unwrap();
        assert_eq!(again.canonical().unwrap(), payment.canonical().unwrap(), "{}", case.name);
    }
}

#[test]
fn payments_answer_their_offer() {
    for case in table::<Case>(FILE, "cases") {
        let FacilitatorRequest { payment, requirements, raw_requirements } = request(&case);
        let offer: Object = serde_json::from_str(raw_requirements.get()).unwrap();
        assert!(payment.answers(&requirements, &offer).unwrap(), "{}", case.name);
        let mut dearer = offer.clone();
        dearer.0.insert("amount".to_owned(), "99".into());
        let v2 = payment.protocol() == Protocol::X402V2;
        assert_eq!(payment.answers(&requirements, &dearer).unwrap(), !v2, "v1 does not name the amount");
    }
}

#[test]
fn payment_keys_name_chain_token_payer_and_nonce() {
    let mut keys = std::collections::BTreeSet::new();
    for case in table::<Case>(FILE, "cases") {
        let FacilitatorRequest { payment, requirements, .. } = request(&case);
        let signed = &case.payment_payload["payload"]["authorization"];
        let text = |value: &Value| value.as_str().unwrap().to_lowercase();
        let expected = format!(
            "{}/eip3009/{}/{}/{}",
            requirements.network,
            text(&case.requirements["asset"]),
            text(&signed["from"]),
            text(&signed["nonce"])
        );
        let key = PaymentKey::of(&requirements, payment.payload()).unwrap();
        assert_eq!(key.as_str(), expected, "{}", case.name);
        assert!(keys.insert(key), "{} has the key of another", case.name);
    }
}

#[test]
fn settlements_round_trip() {
    for case in table::<Case>(FILE, "cases") {
        let read: SettleResponse = serde_json::from_str(raw(&case.settle).get()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), case.settle, "{}", case.name);
    }
}
