use serde_json::Value;

use crate::Object;

/// Keys of `extra` that go stale between the offer and the payment (Solana's).
const VOLATILE: [&str; 3] = ["recentBlockhash", "lastValidBlockHeight", "recentSlot"];

/// Whether the offer that a client echoes is the one that the server made.
///
/// As the reference does it: every field but `extra` must be equal, strings with their case; the server's `extra`
/// must be contained in the client's, but for values that go stale.
#[must_use]
pub fn matches(offer: &Object, accepted: &Object) -> bool {
    let outside_extra =
        |object: &Object| object.0.iter().filter(|(key, value)| *key != "extra" && !value.is_null()).count();
    let equal = offer
        .0
        .iter()
        .filter(|(key, value)| *key != "extra" && !value.is_null())
        .all(|(key, value)| accepted.0.get(key) == Some(value));
    equal && outside_extra(offer) == outside_extra(accepted) && extra_contained(offer, accepted)
}

fn extra_contained(offer: &Object, accepted: &Object) -> bool {
    let Some(Value::Object(wanted)) = offer.0.get("extra") else { return true };
    let given = accepted.0.get("extra").and_then(Value::as_object);
    wanted
        .iter()
        .filter(|(key, _)| !VOLATILE.contains(&key.as_str()))
        .all(|(key, value)| given.and_then(|extra| extra.get(key)) == Some(value))
}
