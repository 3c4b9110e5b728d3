//! What a seller answers with 402.

use farthing_protocol::x402::{self, Payment, v1, v2};
use farthing_protocol::{Challenge, MAX_OFFERS, Offer};
use serde_json::value::RawValue;

use crate::errors::reads_well;
use crate::wire;

/// The input is a header's JSON, a zero byte, and a body. An offer that is read has terms that can be met, stands in
/// the input byte for byte, reads as the same terms again, and is echoed as it came; offers are bounded in number, and
/// one that cannot be read says why. What is written reads as the same.
pub(crate) fn run(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (header, body) = (&input[..at], input.get(at + 1..).unwrap_or_default());
    let encoded = wire::header(header);
    same_when_written(&encoded);
    let both =
        [(Some(encoded.as_slice()), body), (Some(encoded.as_slice()), header), (None, header), (None, body)];
    for (value, body) in both {
        match Challenge::read(value, body) {
            Ok(challenge) => holds(&challenge, &[header, body]),
            Err(error) => drop(reads_well(&error)),
        }
    }
}

fn same_when_written(header: &[u8]) {
    let Ok(required) = x402::decode_header::<v2::PaymentRequired>("PAYMENT-REQUIRED", header) else { return };
    let written = x402::encode_header(&required).unwrap();
    let again: v2::PaymentRequired = x402::decode_header("PAYMENT-REQUIRED", written.as_bytes()).unwrap();
    assert_eq!(x402::encode_header(&again).unwrap(), written);
}

fn holds(challenge: &Challenge, sources: &[&[u8]]) {
    let count = challenge.offers.len() + challenge.unreadable.len();
    assert!((1..=2 * MAX_OFFERS).contains(&count));
    for unreadable in &challenge.unreadable {
        reads_well(&unreadable.why);
    }
    for offer in &challenge.offers {
        can_be_met(offer);
        reads_again(offer);
        is_echoed(challenge, offer, sources);
    }
}

fn can_be_met(offer: &Offer) {
    let terms = &offer.requirements;
    assert!(!terms.scheme.is_empty() && !terms.asset.is_empty() && !terms.pay_to.is_empty());
    assert!(terms.max_timeout_seconds > 0);
    if let Err(error) = offer.flow() {
        reads_well(&error);
    }
}

fn reads_again(offer: &Offer) {
    let again = match offer.protocol.x402_version() {
        2 => v2::requirements(&offer.raw).unwrap(),
        _ => v1::PaymentRequirements::read(&offer.raw).unwrap().requirements().unwrap(),
    };
    assert_eq!(again, offer.requirements);
    let written = v2::PaymentRequirements::from(&offer.requirements);
    assert_eq!(written.requirements().unwrap(), offer.requirements, "version 2 writes what it reads");
}

fn is_echoed(challenge: &Challenge, offer: &Offer, sources: &[&[u8]]) {
    let raw = offer.raw.get().as_bytes();
    let stands_in = |source: &&[u8]| source.windows(raw.len()).any(|window| window == raw);
    // A raw header is base64: the JSON does not stand in the input.
    assert!(sources.iter().any(stands_in) || sources[0].starts_with(b"="), "the offer is not as it came");
    let payload = RawValue::from_string(r#"{"signature":"0x"}"#.to_owned()).unwrap();
    let payment = Payment::answer(challenge, offer, payload).unwrap();
    let (name, value) = payment.to_header().unwrap();
    if value.len() > farthing_protocol::MAX_HEADER_BYTES {
        return;
    }
    let read = Payment::from_header(name, value.as_bytes()).unwrap();
    assert_eq!(read.to_raw().unwrap().get(), payment.to_raw().unwrap().get());
    if let Payment::V2(read) = &read {
        assert_eq!(read.accepted.get(), offer.raw.get());
    }
}
