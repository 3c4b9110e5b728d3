//! Live answers, beside what is advertised.

use farthing_money::Registry;
use farthing_protocol::discovery::{Advertised, asks_for_mpp, compare};
use farthing_protocol::{Challenge, ProtocolError, x402};
use serde_json::{Value, json};
use url::Url;

use crate::common::{USDC, codes, read, selling};

/// A 402 of version 2 with these offers and this resource.
fn asking(accepts: Value, resource: Value) -> Result<Challenge, ProtocolError> {
    let required = json!({"x402Version": 2, "resource": resource, "accepts": accepts});
    Challenge::read(Some(x402::encode_header(&required).unwrap().as_bytes()), b"")
}

fn offer() -> Value {
    json!({"scheme": "exact", "network": "eip155:8453", "amount": "20000", "asset": USDC,
        "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C", "maxTimeoutSeconds": 60,
        "extra": {"name": "USD Coin", "version": "2"}})
}

/// The codes of a live answer to a call that is advertised with this price.
fn judged(
    price: Value,
    status: u16,
    challenge: Option<&Result<Challenge, ProtocolError>>,
    made_up: bool,
) -> Vec<&'static str> {
    let document = read(&selling(json!({"price": price, "protocols": [{"x402": {}}, {"mpp": {}}]})));
    let operation = &document.operations[0];
    let url = Url::parse("https://api.example.com/a").unwrap();
    let advertised = Advertised {
        method: "GET",
        url: &url,
        documented: true,
        made_up,
        auth: operation.auth,
        price: operation.price.as_ref(),
        protocols: &operation.protocols,
        offers: &operation.offers,
    };
    let registry = Registry::builtin();
    codes(&compare(&advertised, status, challenge.map(Result::as_ref), Some(false), &registry))
}

#[test]
fn what_is_advertised_is_held_against_what_is_asked() {
    let fixed = json!({"mode": "fixed", "amount": "0.02"});
    let own = json!({"url": "https://api.example.com/a"});
    let changed = |key: &str, value: Value| {
        let mut changed = offer();
        changed[key] = value;
        asking(json!([changed]), own.clone())
    };
    let both = ["missing-bazaar-schema", "protocol-not-offered"];
    for (price, challenge, found) in [
        (fixed.clone(), asking(json!([offer()]), own.clone()), None),
        (
            json!({"mode": "dynamic", "min": "0.01", "max": "0.02"}),
            asking(json!([offer()]), own.clone()),
            None,
        ),
        (
            json!({"mode": "dynamic", "min": "0.03"}),
            asking(json!([offer()]), own.clone()),
            Some("price-mismatch"),
        ),
        (fixed.clone(), changed("amount", json!("20001")), Some("price-mismatch")),
        (
            fixed.clone(),
            changed("asset", json!("0x0000000000000000000000000000000000000001")),
            Some("unknown-asset"),
        ),
        (
            fixed.clone(),
            changed("extra", json!({"name": "USDC", "version": "2"})),
            Some("wrong-eip712-domain"),
        ),
        (fixed.clone(), changed("extra", json!({"name": "USD Coin"})), Some("wrong-eip712-domain")),
        // Another contract is signed for, under its own domain.
        (fixed.clone(), changed("extra", json!({"assetTransferMethod": "permit2"})), None),
        (
            fixed.clone(),
            changed("extra", json!({"assetTransferMethod": "eip3009", "name": "USD Coin"})),
            Some("wrong-eip712-domain"),
        ),
        (
            fixed.clone(),
            changed("extra", json!({"assetTransferMethod": null, "name": "USD Coin"})),
            Some("wrong-eip712-domain"),
        ),
        (fixed.clone(), changed("amount", json!("1.5")), Some("unreadable-offer")),
        (fixed.clone(), asking(json!([offer()]), json!({})), Some("missing-resource-url")),
        (
            fixed.clone(),
            asking(json!([offer()]), json!({"url": "https://evil.example/a"})),
            Some("resource-url-of-another-origin"),
        ),
        (
            fixed.clone(),
            asking(json!([offer()]), json!({"url": "https://api.example.com/b"})),
            Some("resource-url-of-another-path"),
        ),
    ] {
        let codes = judged(price.clone(), 402, Some(&challenge), false);
        let expected: Vec<&str> = found.into_iter().chain(both).collect();
        let same = expected.iter().all(|code| codes.contains(code)) && codes.len() == expected.len();
        // An offer that cannot be read leaves nothing that would have to be right.
        assert!(same, "{price}: {codes:?}, expected {expected:?}");
    }
}

#[test]
fn advertised_offers_are_held_against_live_ones() {
    let registry = Registry::builtin();
    let challenge = asking(json!([offer()]), json!({"url": "https://api.example.com/a"}));
    let advertised = |network: Value, currency: Value| json!({"intent": "charge", "method": "x402", "amount": "20000", "network": network, "currency": currency});
    let elsewhere = advertised(json!("eip155:8454"), json!(USDC));
    for (offers, missing) in [
        (json!([advertised(json!("eip155:8453"), json!(USDC.to_lowercase()))]), false),
        (json!([advertised(json!("base"), json!("usdc"))]), false),
        (json!([advertised(json!("base"), json!("USD"))]), false),
        (json!([advertised(json!(null), json!(null))]), false),
        (json!([elsewhere, advertised(json!("base"), json!(USDC))]), false),
        (json!([elsewhere]), true),
        (
            json!([advertised(json!("eip155:8453"), json!("0x0000000000000000000000000000000000000001"))]),
            true,
        ),
        (json!([{"intent": "charge", "method": "tempo", "amount": "20000", "currency": "0x20c0"}]), false),
    ] {
        let document = read(&selling(json!({"offers": offers})));
        let operation = &document.operations[0];
        let advertised = Advertised {
            method: "GET",
            url: &Url::parse("https://api.example.com/a").unwrap(),
            documented: true,
            made_up: false,
            auth: operation.auth,
            price: operation.price.as_ref(),
            protocols: &operation.protocols,
            offers: &operation.offers,
        };
        let found = codes(&compare(&advertised, 402, Some(challenge.as_ref()), None, &registry));
        assert_eq!(found.contains(&"offer-not-offered"), missing, "{offers}: {found:?}");
    }
}

#[test]
fn routes_that_ask_for_nothing_are_named() {
    let fixed = || json!({"mode": "fixed", "amount": "0.02"});
    for (status, made_up, found) in [
        (200, false, "priced-but-free"),
        (204, true, "priced-but-free"),
        (404, false, "priced-but-missing"),
        (404, true, "not-probed"),
        (410, false, "priced-but-missing"),
        (503, false, "server-error"),
        (400, false, "not-probed"),
    ] {
        assert_eq!(judged(fixed(), status, None, made_up), [found], "{status}");
    }
    let unreadable = Challenge::read(None, b"pay me");
    assert_eq!(
        judged(fixed(), 402, Some(&unreadable), false),
        ["unreadable-402", "protocol-not-offered", "protocol-not-offered"]
    );
}

#[test]
fn mpp_is_recognised_by_its_scheme() {
    for (header, is) in [
        (r#"Payment id="x", method="tempo""#, true),
        (r#"Bearer realm="a", Payment id="x""#, true),
        (r#"Bearer realm="Payment""#, false),
        ("", false),
    ] {
        assert_eq!(asks_for_mpp(header), is, "{header}");
    }
}
