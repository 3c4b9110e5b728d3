//! The payment that a buyer sends.

use farthing_money::{BaseUnits, Network};
use farthing_protocol::x402::{Payment, PaymentId, PaymentIdentifier, altered_extension, decode_header};
use farthing_protocol::{Object, PaymentKey, Requirements};
use serde_json::value::RawValue;

use crate::errors::reads_well;
use crate::wire::{self, SIGNATURE};

/// A payment that is read writes itself as it came, under the header of its version; its canonical form is one; its key
/// holds the decoded bytes and no letter case; it answers our offer only when it echoes every term of it; a known key
/// that stands twice is refused; a signature is in no error and no debug output.
pub(crate) fn run(input: &[u8]) {
    let value = wire::header(input);
    for name in ["PAYMENT-SIGNATURE", "X-PAYMENT"] {
        match Payment::from_header(name, &value) {
            Ok(payment) => holds(&payment),
            Err(error) => drop(reads_well(&error)),
        }
    }
    if let Some(payment) = from_json(input) {
        for (key, twice) in wire::with_a_key_twice(input, &[]) {
            assert!(!is_known(&payment, &key) || from_json(twice.as_bytes()).is_none(), "{key} stands twice");
        }
    }
    if let Some(json) = wire::signed(input, &["payload"]) {
        hides_its_signature(&json);
    }
}

fn from_json(json: &[u8]) -> Option<Payment> {
    Payment::from_header("PAYMENT-SIGNATURE", &wire::header(json)).ok()
}

fn is_known(payment: &Payment, key: &str) -> bool {
    match payment {
        Payment::V1(_) => ["x402Version", "scheme", "network", "payload"].contains(&key),
        Payment::V2(_) => ["x402Version", "payload", "accepted", "extensions", "resource"].contains(&key),
    }
}

fn terms() -> Requirements {
    Requirements {
        scheme: "exact".into(),
        network: Network::BASE_SEPOLIA,
        amount: BaseUnits::new(10_000),
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
        pay_to: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC".into(),
        max_timeout_seconds: 300,
        extra: serde_json::from_str(r#"{"name":"USDC","version":"2"}"#).unwrap(),
    }
}

fn offer() -> Object {
    let wire = farthing_protocol::x402::v2::PaymentRequirements::from(&terms());
    serde_json::from_value(serde_json::to_value(wire).unwrap()).unwrap()
}

fn holds(payment: &Payment) {
    let raw = payment.to_raw().unwrap();
    let (name, value) = payment.to_header().unwrap();
    if value.len() <= farthing_protocol::MAX_HEADER_BYTES {
        let again = Payment::from_header(name, value.as_bytes()).unwrap();
        assert_eq!(again.to_raw().unwrap().get(), raw.get());
    }
    assert_eq!(name == "x-payment", payment.protocol().x402_version() == 1);
    is_canonical(payment);
    has_one_key(payment.payload());
    answers_only_its_offer(payment);
    if let Some(extensions) = payment.extensions() {
        identifies(extensions);
    }
}

fn is_canonical(payment: &Payment) {
    let canonical = match payment.canonical() {
        Ok(canonical) => canonical,
        Err(error) => return drop(reads_well(&error)),
    };
    let raw = RawValue::from_string(canonical.clone()).unwrap();
    let again = Payment::read(&raw).unwrap();
    assert_eq!(again.canonical().unwrap(), canonical, "the canonical form is not its own");
}

fn has_one_key(payload: &RawValue) {
    let key = match PaymentKey::of(&terms(), payload) {
        Ok(key) => key,
        Err(error) => return drop(reads_well(&error)),
    };
    let (asset, from, nonce) = key.eip3009_parts().unwrap();
    assert_eq!(PaymentKey::eip3009(&Network::BASE_SEPOLIA, asset, from, nonce), key);
    assert_eq!(key.as_str().to_ascii_lowercase(), key.as_str());
    // Other letters' case, same payment.
    let upper = |text: &str| text.to_ascii_uppercase().replace("0X", "0x");
    // Half of a surrogate pair, in a field that nobody reads, is JSON by the grammar, and no text.
    let Ok(mut value) = serde_json::from_str::<serde_json::Value>(payload.get()) else { return };
    for field in ["from", "nonce"] {
        let place = wire::below(&mut value, &["authorization", field]).unwrap();
        *place = upper(place.as_str().unwrap()).into();
    }
    let other = serde_json::value::to_raw_value(&value).unwrap();
    assert_eq!(PaymentKey::of(&terms(), &other).unwrap(), key);
}

fn answers_only_its_offer(payment: &Payment) {
    let offer = offer();
    match payment.answers(&terms(), &offer) {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => return drop(reads_well(&error)),
    }
    let Payment::V2(payment) = payment else { return };
    let echo: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(payment.accepted.get()).unwrap();
    for key in ["scheme", "network", "amount", "asset", "payTo"] {
        assert_eq!(echo[key], offer.0[key], "{key} is not the offer's");
    }
    assert_eq!(echo["maxTimeoutSeconds"].as_f64(), Some(300.0));
    assert_eq!(echo["extra"]["name"], "USDC");
    assert_eq!(echo.len(), offer.0.len());
}

/// The client's id goes into the echo, and nothing else of it changes.
fn identifies(extensions: &RawValue) {
    let declared = match PaymentIdentifier::read(Some(extensions)) {
        Ok(declared) => declared,
        Err(error) => return drop(reads_well(&error)),
    };
    let id = PaymentId::try_from("pay_7d5d747be160e280".to_owned()).unwrap();
    let Ok(filled) = PaymentIdentifier::fill(extensions, &id) else { return };
    let Some(declared) = declared else {
        return assert_eq!(filled.get(), extensions.get(), "nothing is added that was not declared");
    };
    let read = PaymentIdentifier::read(Some(&filled)).unwrap().unwrap();
    assert_eq!((read.required, read.id), (declared.required, Some(id)));
    let object = |raw: &RawValue| serde_json::from_str::<Object>(raw.get());
    if let (Ok(advertised), Ok(echoed), None) = (object(extensions), object(&filled), declared.id) {
        let nulls = advertised.0["payment-identifier"]["info"].get("id").is_some();
        assert!(nulls || altered_extension(&advertised, &echoed).is_none(), "{}", filled.get());
    }
}

fn hides_its_signature(json: &str) {
    let value = wire::header(json.as_bytes());
    let shown = match Payment::from_header("PAYMENT-SIGNATURE", &value) {
        Ok(payment) => {
            let key =
                PaymentKey::of(&terms(), payment.payload()).map_err(|error| format!("{error} {error:?}"));
            let canonical = payment.canonical().map(drop);
            format!("{payment:?} {key:?} {canonical:?}")
        }
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(SIGNATURE), "a signature is shown: {shown}");
    // Not from this header, but from any other: a type that is read says no value.
    let error = decode_header::<farthing_protocol::x402::ExactEvmPayload>("test", &value).map(drop);
    assert!(!format!("{error:?}").contains(SIGNATURE), "{error:?}");
}
