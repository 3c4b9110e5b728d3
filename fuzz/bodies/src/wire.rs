//! What the targets of x402's messages have in common.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Stands for a signature: it may be in no error and no debug output.
pub(crate) const SIGNATURE: &str = "5ec4e7c0ffee5ec4e7";

/// A header's value: after `=` the bytes as they are, else base64 of the input, so that a fuzzer changes JSON and not
/// base64 letters.
pub(crate) fn header(input: &[u8]) -> Vec<u8> {
    match input.strip_prefix(b"=") {
        Some(raw) => raw.to_vec(),
        None => STANDARD.encode(input).into_bytes(),
    }
}

/// The JSON under these keys, where there is an object all the way.
pub(crate) fn below<'a>(value: &'a mut Value, keys: &[&str]) -> Option<&'a mut Value> {
    keys.iter().try_fold(value, |value, key| value.as_object_mut()?.get_mut(*key))
}

/// The input with a signature where signatures stand, in the right or in a wrong type: one form per input, by its
/// length. Nothing where the input has these characters already.
pub(crate) fn signed(json: &[u8], payload: &[&str]) -> Option<String> {
    let mut value = serde_json::from_slice::<Value>(json).ok()?;
    let (form, depth) = (json.len() % 3, json.len() / 3 % 3);
    let form = match form {
        0 => Value::from(SIGNATURE),
        1 => serde_json::json!([SIGNATURE]),
        _ => serde_json::json!({ "x": SIGNATURE }),
    };
    let inner: &[&str] = [&[][..], &["signature"], &["authorization"]][depth];
    *below(&mut value, &[payload, inner].concat())? = form;
    Some(value.to_string()).filter(|text| text.matches(SIGNATURE).count() == 1)
}

/// Every text that is `json` with one key of the object at `path` standing twice.
pub(crate) fn with_a_key_twice(json: &[u8], path: &[&str]) -> Vec<(String, String)> {
    let Ok(mut value) = serde_json::from_slice::<Value>(json) else { return Vec::new() };
    let mark = Value::from("farthing-fuzz-mark");
    let Some(place) = below(&mut value, path) else { return Vec::new() };
    let Value::Object(object) = std::mem::replace(place, mark.clone()) else { return Vec::new() };
    let around = value.to_string();
    let twice = |(key, value): (&String, &Value)| {
        let inner = Value::Object(object.clone()).to_string();
        let doubled = format!("{{{}:{value},{}", Value::from(key.as_str()), &inner[1..]);
        (key.clone(), around.replacen(&mark.to_string(), &doubled, 1))
    };
    object.iter().map(twice).collect()
}
