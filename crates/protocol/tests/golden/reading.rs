//! headers.json: `decoding` and `reading_402`.

use std::collections::BTreeMap;

use farthing_protocol::x402::{Payment, SettleResponse, decode_header, v2};
use farthing_protocol::{Challenge, Protocol, StrictValue};
use serde::Deserialize;
use serde_json::Value;

use crate::common::{Differences, table};

const FILE: &str = include_str!("../../../../tests/golden/headers.json");

#[derive(Deserialize)]
struct Decoding {
    name: String,
    input: String,
    results: BTreeMap<String, Outcome>,
}

#[derive(Deserialize, PartialEq)]
struct Outcome {
    /// `Some(Null)` for a null that was read, `None` where the decoder threw.
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct Reading {
    name: String,
    header: Option<String>,
    body: Value,
    reads: Option<u8>,
}

const LENIENT: &str = "servers write it, and nothing is keyed on the header's text";

#[test]
fn headers_are_decoded_as_the_reference_decodes_them() {
    let differences = Differences(&[
        ("a trailing newline", LENIENT),
        ("one = where two are due", LENIENT),
        ("url-safe alphabet", LENIENT),
        ("the same key twice: the last one wins", "two readers could see two messages"),
        ("bytes that are not UTF-8 become U+FFFD", "what was checked must be what was sent"),
        ("an integer above 2^53 loses digits", "we keep them"),
    ]);
    for case in table::<Decoding>(FILE, "decoding") {
        let reference = &case.results["PAYMENT-REQUIRED"];
        assert!(case.results.values().all(|result| result == reference), "one outcome for all headers");
        let ours = decode_header::<StrictValue>("test", case.input.as_bytes()).ok().map(|read| read.0);
        differences.check(&case.name, ours == reference.value, &ours);
    }
}

#[test]
fn nothing_of_it_is_a_message() {
    for Decoding { name, input, .. } in table(FILE, "decoding") {
        let input = input.as_bytes();
        assert!(decode_header::<v2::PaymentRequired>("test", input).is_err(), "{name}");
        assert!(Payment::from_header("payment-signature", input).is_err(), "{name}");
        assert!(Payment::from_header("x-payment", input).is_err(), "{name}");
        assert!(decode_header::<SettleResponse>("test", input).is_err(), "{name}");
    }
}

#[test]
fn a_402_is_read_from_header_or_body() {
    for case in table::<Reading>(FILE, "reading_402") {
        let body = if case.body.is_null() { String::new() } else { case.body.to_string() };
        let read = Challenge::read(case.header.as_deref().map(str::as_bytes), body.as_bytes());
        let version = read.as_ref().ok().map(|challenge| challenge.offers[0].protocol.x402_version());
        assert_eq!(version, case.reads, "{}: {read:?}", case.name);
    }
}

#[test]
fn a_402_in_both_versions_gives_the_offers_of_both() {
    // The reference reads the header only. A wallet that may choose loses nothing by seeing both: v2's stand first.
    let cases: Vec<Reading> = table(FILE, "reading_402");
    let both = cases.iter().find(|case| case.name == "v2 header and v1 body: the header wins").unwrap();
    let header = both.header.as_deref().map(str::as_bytes);
    let challenge = Challenge::read(header, both.body.to_string().as_bytes()).unwrap();
    let protocols: Vec<Protocol> = challenge.offers.iter().map(|offer| offer.protocol).collect();
    assert_eq!(protocols, [Protocol::X402V2, Protocol::X402V1]);
}
