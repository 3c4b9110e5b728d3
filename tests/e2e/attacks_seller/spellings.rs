//! One signed payment, written in every way that somebody might take for another one.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use farthing_protocol::x402::{PAYMENT_SIGNATURE, Payment, X_PAYMENT};
use serde_json::{Value, json};

use super::shop::Header;

/// The order of the curve: `s` and this less `s` sign the same.
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

/// The payment itself first, then its disguises, each with a name.
pub(super) fn of(payment: &Payment) -> Vec<(&'static str, Header)> {
    let json = payment.to_raw().unwrap().get().to_owned();
    let mut all = vec![("as it is", payment.to_header().unwrap())];
    all.extend(values(&json).into_iter().map(|(name, text)| (name, header(&text))));
    all.extend(texts(&json).into_iter().map(|(name, text)| (name, header(&text))));
    all.extend(encodings(&json));
    all
}

fn header(json: &str) -> Header {
    (PAYMENT_SIGNATURE, STANDARD.encode(json))
}

/// Other values of fields.
fn values(json: &str) -> Vec<(&'static str, String)> {
    let payment: Value = serde_json::from_str(json).unwrap();
    let changed = |at: &str, change: &dyn Fn(&str) -> String| {
        let mut payment = payment.clone();
        let field = payment.pointer_mut(at).unwrap();
        *field = change(field.as_str().unwrap()).into();
        payment.to_string()
    };
    let upper = |text: &str| format!("0x{}", text[2..].to_uppercase());
    let field = |name: &str| format!("/payload/authorization/{name}");
    let signature = "/payload/signature";
    vec![
        ("nonce in capitals", changed(&field("nonce"), &upper)),
        ("nonce with 0X", changed(&field("nonce"), &|text| text.replace("0x", "0X"))),
        ("nonce without 0x", changed(&field("nonce"), &|text| text[2..].to_owned())),
        ("nonce padded in front", changed(&field("nonce"), &|text| text.replace("0x", "0x00"))),
        ("nonce padded behind", changed(&field("nonce"), &|text| format!("{text}00"))),
        ("nonce cut", changed(&field("nonce"), &|text| format!("0x{}", text[2..].trim_start_matches('0')))),
        ("payer in small letters", changed(&field("from"), &str::to_lowercase)),
        ("payer in capitals", changed(&field("from"), &upper)),
        ("payer padded", changed(&field("from"), &|text| text.replace("0x", "0x00"))),
        ("payee in small letters", changed(&field("to"), &str::to_lowercase)),
        ("value with a zero", changed(&field("value"), &|text| format!("0{text}"))),
        ("value in hex", changed(&field("value"), &|text| format!("{:#x}", text.parse::<u64>().unwrap()))),
        ("value with a sign", changed(&field("value"), &|text| format!("+{text}"))),
        ("beginning with a zero", changed(&field("validAfter"), &|text| format!("0{text}"))),
        ("end with a zero", changed(&field("validBefore"), &|text| format!("0{text}"))),
        ("nonce with a space", changed(&field("nonce"), &|text| format!("{text} "))),
        ("signature in capitals", changed(signature, &upper)),
        ("signature with v of 0 or 1", changed(signature, &|text| with_v(text, |v| v - 27))),
        ("signature with the other v", changed(signature, &|text| with_v(text, |v| 55 - v))),
        ("signature with the chain in v", changed(signature, &|text| with_v(text, |v| v + 8))),
        ("signature mirrored", changed(signature, &mirrored)),
        ("signature mirrored, old v", changed(signature, &|text| with_v(&mirrored(text), |v| 55 - v))),
        ("signature short (EIP-2098)", changed(signature, &short)),
        ("signature padded", changed(signature, &|text| format!("{text}00"))),
    ]
}

/// Other texts of the same values, or values given twice.
fn texts(json: &str) -> Vec<(&'static str, String)> {
    let value: Value = serde_json::from_str(json).unwrap();
    let mut extended = value.clone();
    extended["payload"]["authorization"]["note"] = "x".into();
    let mut elsewhere = value.clone();
    elsewhere["resource"] = json!({"url": "http://127.0.0.1:4020/slow/other"});
    let first_version = json!({
        "x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": value["payload"],
    });
    let other_nonce = format!(r#""nonce":"0x{}","nonce":"#, "11".repeat(32));
    vec![
        ("laid out", serde_json::to_string_pretty(&value).unwrap()),
        ("keys in another order", value.to_string()),
        ("one more field", extended.to_string()),
        ("another resource", elsewhere.to_string()),
        ("the first version", first_version.to_string()),
        ("escaped letters", json.replace(r#""nonce""#, r#""nonc\u0065""#)),
        ("two nonces", json.replace(r#""nonce":"#, &other_nonce)),
        ("two payloads", json.replacen(r#""payload":"#, r#""payload":{},"payload":"#, 1)),
        ("text behind", format!("{json}{json}")),
    ]
}

/// Other encodings and headers.
fn encodings(json: &str) -> Vec<(&'static str, Header)> {
    let spaced = [json, " ", "  "].map(|space| format!("{json}{}", if space == json { "" } else { space }));
    // Of three neighbouring lengths one has no padding and two have.
    let mut all: Vec<(&'static str, Header)> = spaced
        .iter()
        .flat_map(|json| {
            [
                ("without padding", (PAYMENT_SIGNATURE, STANDARD_NO_PAD.encode(json))),
                ("for URLs", (PAYMENT_SIGNATURE, URL_SAFE_NO_PAD.encode(json))),
            ]
        })
        .collect();
    all.push(("in the other header", (X_PAYMENT, STANDARD.encode(json))));
    all.push(("as plain JSON", (PAYMENT_SIGNATURE, json.to_owned())));
    all
}

fn bytes(signature: &str) -> Vec<u8> {
    let pairs = signature.as_bytes()[2..].chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn with_v(signature: &str, change: impl Fn(u8) -> u8) -> String {
    let mut bytes = bytes(signature);
    bytes[64] = change(bytes[64]);
    text(&bytes)
}

/// The other signature that the same key makes of this one without knowing the secret.
fn mirrored(signature: &str) -> String {
    let (mut bytes, order) = (bytes(signature), bytes(&format!("0x{ORDER}")));
    let mut borrow = 0;
    for at in (0..32).rev() {
        let less = i16::from(order[at]) - i16::from(bytes[32 + at]) - borrow;
        borrow = i16::from(less < 0);
        bytes[32 + at] = u8::try_from(less.rem_euclid(256)).unwrap();
    }
    bytes[64] = 55 - bytes[64];
    text(&bytes)
}

/// 64 bytes, with `v` in the highest bit of `s`.
fn short(signature: &str) -> String {
    let mut bytes = bytes(signature);
    bytes[32] |= (bytes[64] - 27) << 7;
    text(&bytes[..64])
}
