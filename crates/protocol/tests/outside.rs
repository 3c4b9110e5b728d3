//! Whatever arrives, the decoders answer: they never panic, and what they keep is bounded by what came.
#![cfg(test)]

use farthing_money::{BaseUnits, Network};
use farthing_protocol::x402::{
    self, FacilitatorRequest, Payment, PaymentIdentifier, SettleResponse, SupportedResponse, VerifyResponse,
    v1, v2,
};
use farthing_protocol::{
    Challenge, MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_OFFERS, Object, Offer, PaymentKey, ProtocolError,
    Requirements, StrictValue,
};
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

/// A message of each kind, to be damaged.
const MESSAGES: [&str; 6] = [
    r#"{"x402Version":2,"error":"x","resource":{"url":"https://a.example/"},"accepts":[{"scheme":"exact","network":"eip155:8453","amount":"10000","asset":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913","payTo":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC","maxTimeoutSeconds":300,"extra":{"name":"USD Coin","version":"2"}}],"extensions":{"payment-identifier":{"info":{"required":true}}}}"#,
    r#"{"x402Version":1,"error":"x","accepts":[{"scheme":"exact","network":"base","maxAmountRequired":"10000","resource":"https://a.example/","description":"","mimeType":"","payTo":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC","maxTimeoutSeconds":300,"asset":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913","outputSchema":null}]}"#,
    r#"{"x402Version":2,"payload":{"authorization":{"from":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8","to":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC","value":"1","validAfter":"0","validBefore":"9","nonce":"0xd273b4734ae1f039843b91cb1404cee3d59841b236c228cf08141ebd992f3ce4"},"signature":"0x1b"},"accepted":{}}"#,
    r#"{"x402Version":1,"scheme":"exact","network":"base","payload":{}}"#,
    r#"{"x402Version":2,"paymentPayload":{"x402Version":2,"payload":{},"accepted":{}},"paymentRequirements":{"scheme":"exact","network":"eip155:1","amount":"1","asset":"a","payTo":"b","maxTimeoutSeconds":1}}"#,
    r#"{"isValid":true,"success":true,"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:1","extra":null}],"errorReason":"settlement_pending","transaction":"0x","network":"base"}"#,
];

/// Gives `bytes` to everything that reads, and looks at what can be looked at.
fn read_everything(bytes: &[u8]) {
    for challenge in
        [Challenge::read(None, bytes), Challenge::read(Some(bytes), b""), Challenge::read(Some(bytes), bytes)]
    {
        let Ok(challenge) = challenge else { continue };
        let kept = challenge.offers.len() + challenge.unreadable.len();
        assert!((1..=2 * MAX_OFFERS).contains(&kept));
        challenge.offers.iter().for_each(|offer| read_offer(&challenge, offer));
    }
    if let Ok(request) = FacilitatorRequest::read(bytes) {
        read_payment(&request.payment, &request.requirements);
    }
    for header in [x402::PAYMENT_SIGNATURE, x402::X_PAYMENT] {
        let _ = Payment::from_header(header, bytes);
    }
    let _ = x402::decode_header::<SettleResponse>("test", bytes);
    let _ = x402::decode_header::<StrictValue>("test", bytes);
    let _ = serde_json::from_slice::<VerifyResponse>(bytes);
    let _ = serde_json::from_slice::<SettleResponse>(bytes);
    let _ = serde_json::from_slice::<SupportedResponse>(bytes);
    if let Ok(raw) = serde_json::from_slice::<&RawValue>(bytes) {
        read_raw(raw);
    }
}

fn read_offer(challenge: &Challenge, offer: &Offer) {
    let _ = offer.flow();
    let payment = Payment::answer(challenge, offer, RawValue::NULL.to_owned()).unwrap();
    payment.to_header().unwrap();
}

fn read_payment(payment: &Payment, terms: &Requirements) {
    let _ = PaymentKey::of(terms, payment.payload());
    let _ = payment.canonical();
    let _ = payment.answers(terms, &Object::default());
    let _ = PaymentIdentifier::read(payment.extensions());
}

fn read_raw(raw: &RawValue) {
    let _ = v1::PaymentRequirements::read(raw);
    let _ = v2::requirements(raw);
    let _ = PaymentIdentifier::read(Some(raw));
    let _ = PaymentKey::of(&terms(), raw);
    if let Ok(payment) = Payment::read(raw) {
        read_payment(&payment, &terms());
    }
}

fn terms() -> Requirements {
    Requirements {
        scheme: "exact".into(),
        network: Network::BASE,
        amount: BaseUnits::new(1),
        asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into(),
        pay_to: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC".into(),
        max_timeout_seconds: 60,
        extra: Object::default(),
    }
}

/// Bytes of a message with a piece of it replaced, as JSON and as a header.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6),
        "(null|-?[0-9]{1,25}|\"[a-z0-9x:]{0,12}\"|\\{\\}|\\[\\]|true|[\\[{,:\"}\\]])"
            .prop_map(String::into_bytes),
    ];
    (0..MESSAGES.len(), any::<prop::sample::Index>(), 0_usize..12, piece, any::<bool>()).prop_map(
        |(message, at, cut, piece, packed)| {
            let mut bytes = MESSAGES[message].as_bytes().to_vec();
            let start = at.index(bytes.len());
            let end = bytes.len().min(start + cut);
            bytes.splice(start..end, piece);
            if packed {
                base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes).into_bytes()
            } else {
                bytes
            }
        },
    )
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("\\PC{0,6}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_everything(&bytes);
    }

    #[test]
    fn damaged_messages_are_read_or_refused(bytes in damaged()) {
        read_everything(&bytes);
    }

    #[test]
    fn arbitrary_json_is_read_or_refused(value in any_json()) {
        read_everything(value.to_string().as_bytes());
    }

    #[test]
    fn offers_keep_their_text(
        values in proptest::collection::vec(any_json(), 1..5),
        later in any_json(),
        space in "[ \t\n]{0,3}",
    ) {
        // Strange offers between good ones with an unknown key: each is kept as it was written, in its order.
        let good = format!(r#"{{"later":{later},{space}"payTo" :"0xB","scheme":"exact",{space}"network":"eip155:8453",
            "amount":"0012","asset":"0xA","maxTimeoutSeconds":60,{space}"extra":null}}"#);
        let texts: Vec<String> = values.iter().flat_map(|value| [format!("{value:#}"), good.clone()]).collect();
        let json = format!(r#"{{"x402Version":2,"accepts":[{}]}}"#, texts.join(","));
        let header = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &json);
        let challenge = Challenge::read(Some(header.as_bytes()), b"").unwrap();
        prop_assert_eq!(challenge.offers.len(), values.len());
        prop_assert!(challenge.offers.iter().all(|offer| offer.raw.get() == good));
        let unreadable = challenge.unreadable.iter().map(|offer| offer.raw.get().to_owned());
        prop_assert!(unreadable.eq(texts.iter().step_by(2).cloned()));
        let payment = Payment::answer(&challenge, &challenge.offers[0], RawValue::NULL.to_owned()).unwrap();
        let (name, value) = payment.to_header().unwrap();
        let Payment::V2(read) = Payment::from_header(name, value.as_bytes()).unwrap() else { panic!("{payment:?}") };
        prop_assert_eq!(read.accepted.get(), good);
    }

    #[test]
    fn a_payment_key_takes_exactly_20_and_32_bytes_of_hex(
        from in "(0x|0x|0X|)[0-9a-fA-F]{38}[0-9a-fA-FgG ]{1,3}",
        nonce in "0x[0-9a-f]{62}[0-9a-f+-]{1,3}",
    ) {
        let hex = |text: &str, digits: usize| text.strip_prefix("0x").is_some_and(|rest| {
            rest.len() == digits && rest.bytes().all(|b| b.is_ascii_hexdigit())
        });
        let payload = serde_json::json!({"signature": "", "authorization": {"from": from, "to": "", "value": "",
            "validAfter": "", "validBefore": "", "nonce": nonce}});
        let key = PaymentKey::of(&terms(), &serde_json::value::to_raw_value(&payload).unwrap());
        prop_assert_eq!(key.is_ok(), hex(&from, 40) && hex(&nonce, 64));
    }
}

#[test]
fn a_payment_key_is_made_of_nothing_else() {
    let nonce = "0xd273b4734ae1f039843b91cb1404cee3d59841b236c228cf08141ebd992f3ce4";
    let from = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    let key = |terms: &Requirements, from: &str, nonce: &str| {
        let json = format!(
            r#"{{"signature":"","authorization":{{"from":{from},"to":"","value":"","validAfter":"","validBefore":"","nonce":{nonce}}}}}"#
        );
        PaymentKey::of(terms, &RawValue::from_string(json).unwrap())
    };
    let quoted = |text: &str| format!("\"{text}\"");
    assert!(key(&terms(), &quoted(from), &quoted(nonce)).is_ok());
    for bad in
        ["null", "7", "[]", &quoted(""), &quoted("0x"), &quoted(&from[2..]), &quoted(&format!("{from}00"))]
    {
        assert!(key(&terms(), bad, &quoted(nonce)).is_err(), "from {bad}");
    }
    for bad in ["null", "7", &quoted("0x00"), &quoted(&nonce[..64]), &quoted(&format!(" {nonce}"))] {
        assert!(key(&terms(), &quoted(from), bad).is_err(), "nonce {bad}");
    }
    let twice = format!("{},\"nonce\":{}", quoted(nonce), quoted(nonce));
    assert!(key(&terms(), &quoted(from), &twice).is_err(), "two nonces");
    for changed in [
        Requirements { asset: "0x833589".into(), ..terms() },
        Requirements { scheme: "upto".into(), ..terms() },
        Requirements { network: Network::SOLANA, ..terms() },
    ] {
        assert!(key(&changed, &quoted(from), &quoted(nonce)).is_err(), "{changed:?}");
    }
}

#[test]
fn size_depth_and_number_are_bounded() {
    let deep = "[".repeat(MAX_BODY_BYTES);
    read_everything(deep.as_bytes());
    read_everything(base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &deep[..20_000]).as_bytes());

    let long = vec![b'A'; MAX_HEADER_BYTES + 1];
    assert!(matches!(Challenge::read(Some(&long), b""), Err(ProtocolError::TooLarge { .. })));
    let long = format!("{{\"x402Version\":1,\"accepts\":[{}]}}", " ".repeat(MAX_BODY_BYTES));
    assert!(matches!(Challenge::read(None, long.as_bytes()), Err(ProtocolError::TooLarge { .. })));
    assert!(matches!(FacilitatorRequest::read(long.as_bytes()), Err(ProtocolError::TooLarge { .. })));

    let offers = |n: usize| format!("{{\"x402Version\":1,\"accepts\":[{}]}}", vec!["0"; n].join(","));
    assert_eq!(Challenge::read(None, offers(MAX_OFFERS).as_bytes()).unwrap().unreadable.len(), MAX_OFFERS);
    let many = Challenge::read(None, offers(MAX_OFFERS + 1).as_bytes());
    assert!(matches!(many, Err(ProtocolError::TooMany { count: 101, .. })), "{many:?}");
}

#[test]
fn a_byte_order_mark_is_dropped() {
    let body = format!("\u{feff}{}", MESSAGES[1]);
    assert_eq!(Challenge::read(None, body.as_bytes()).unwrap().offers.len(), 1);
    let request = format!("\u{feff}{}", MESSAGES[4]);
    assert!(FacilitatorRequest::read(request.as_bytes()).is_ok());
}

#[test]
fn offers_that_nobody_could_meet_are_unreadable_and_say_why() {
    let good: Value = serde_json::from_str(MESSAGES[0]).unwrap();
    let cases: [(&str, Value, &str); 9] = [
        ("payTo", "".into(), "`payTo` is not valid"),
        ("asset", "".into(), "`asset` is not valid"),
        ("scheme", "".into(), "`scheme` is not valid"),
        ("maxTimeoutSeconds", 0.into(), "`maxTimeoutSeconds` is not valid"),
        ("amount", "0x2710".into(), "`amount` is not valid"),
        ("amount", " 10000 ".into(), "`amount` is not valid"),
        ("amount", 10000.into(), "invalid type"),
        ("network", "base".into(), "`network` is not valid"),
        ("extra", "USD Coin".into(), "expected an object"),
    ];
    for (key, value, why) in cases {
        let mut required = good.clone();
        required["accepts"][0][key] = value;
        let header = x402::encode_header(&required).unwrap();
        let challenge = Challenge::read(Some(header.as_bytes()), b"").unwrap();
        assert!(challenge.offers.is_empty(), "{key}");
        assert!(challenge.unreadable[0].why.contains(why), "{}", challenge.unreadable[0].why);
    }
}

#[test]
fn a_resource_of_another_form_costs_its_description_only() {
    let mut required: Value = serde_json::from_str(MESSAGES[0]).unwrap();
    required["resource"] = serde_json::json!({"url": "https://a.example/", "description": 7, "tags": "x"});
    let header = x402::encode_header(&required).unwrap();
    let challenge = Challenge::read(Some(header.as_bytes()), b"").unwrap();
    assert_eq!(challenge.offers[0].resource_url.as_deref(), Some("https://a.example/"));
    assert_eq!(challenge.offers[0].description, None);
}
