use serde_json::{Map, Number, Value};

use crate::Object;

/// Keys of `extra` that go stale between the offer and the payment, on Solana.
const VOLATILE_ON_SOLANA: [&str; 3] = ["recentBlockhash", "lastValidBlockHeight", "recentSlot"];

/// Whether the offer that a client echoes is the one that the server made, as the reference decides it.
///
/// Everything but `extra` must be equal: the same keys, strings with their case, a string never equal to a number, one
/// key more is a mismatch even if it is null. The server's `extra` must be contained in the client's, objects at any
/// depth; arrays must be equal. An offer without `extra` takes any.
///
/// The keys of `extra` that go stale on Solana are not compared there.
#[must_use]
pub fn matches(offer: &Object, accepted: &Object) -> bool {
    let core = |object: &Object| object.0.keys().filter(|key| *key != "extra").count();
    let equal = offer
        .0
        .iter()
        .filter(|(key, _)| *key != "extra")
        .all(|(key, value)| accepted.0.get(key).is_some_and(|echo| equal(value, echo)));
    equal && core(offer) == core(accepted) && extra_matches(offer, accepted)
}

/// The first extension whose echo differs from what the server advertised (`extension_echo_mismatch`).
///
/// What was advertised must be contained in the echo: its `info`, or the whole where there is no `info`. An extension
/// that is not echoed, or that nobody advertised, is no mismatch. (The reference lets clients of `builder-code` extend
/// its array `s`; here it must be echoed as it is.)
#[must_use]
pub fn altered_extension<'a>(advertised: &Object, echoed: &'a Object) -> Option<&'a str> {
    let altered = |(key, echo): &(&String, &Value)| {
        advertised.0.get(*key).is_some_and(|original| !contains(info(original), info(echo)))
    };
    echoed.0.iter().find(altered).map(|(key, _)| key.as_str())
}

fn info(extension: &Value) -> &Value {
    extension.get("info").unwrap_or(extension)
}

fn extra_matches(offer: &Object, accepted: &Object) -> bool {
    let Some(wanted) = offer.0.get("extra") else { return true };
    let given = accepted.0.get("extra");
    match (wanted, given) {
        (Value::Object(wanted), Some(Value::Object(given))) => {
            let solana = offer.str("network").is_some_and(|network| network.starts_with("solana:"));
            let stale = |key: &str| solana && VOLATILE_ON_SOLANA.contains(&key);
            all_contained(wanted, given, stale)
        }
        (wanted, Some(given)) => contains(wanted, given),
        (_, None) => false,
    }
}

/// Whether `given` has everything that `wanted` has.
fn contains(wanted: &Value, given: &Value) -> bool {
    match (wanted, given) {
        (Value::Object(wanted), Value::Object(given)) => all_contained(wanted, given, |_| false),
        _ => equal(wanted, given),
    }
}

fn all_contained(
    wanted: &Map<String, Value>,
    given: &Map<String, Value>,
    skip: impl Fn(&str) -> bool,
) -> bool {
    wanted
        .iter()
        .filter(|(key, _)| !skip(key))
        .all(|(key, value)| given.get(key).is_some_and(|given| contains(value, given)))
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            let in_b = |(key, value): (&String, &Value)| b.get(key).is_some_and(|other| equal(value, other));
            a.len() == b.len() && a.iter().all(in_b)
        }
        _ => a == b,
    }
}

/// JSON has one kind of number: `300`, `300.0` and `3e2` are the same. No amount is compared here: on the wire they are
/// strings.
fn same_number(a: &Number, b: &Number) -> bool {
    a == b || ((a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(json: &str) -> Object {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn numbers_are_compared_by_value() {
        let offer = object(r#"{"a":300,"extra":{"b":[1]}}"#);
        assert!(matches(&offer, &object(r#"{"a":3e2,"extra":{"b":[1.0]}}"#)));
        assert!(!matches(&offer, &object(r#"{"a":"300","extra":{"b":[1]}}"#)));
        assert!(!matches(&offer, &object(r#"{"a":300,"extra":{"b":[true]}}"#)));
        let big = object(r#"{"a":9007199254740993}"#);
        assert!(!matches(&big, &object(r#"{"a":9007199254740992}"#)), "integers are not rounded to floats");
    }

    #[test]
    fn stale_keys_are_skipped_only_at_the_top_of_solanas_extra() {
        let offer =
            |network: &str, extra: &str| object(&format!(r#"{{"network":"{network}","extra":{extra}}}"#));
        let (now, old) = (r#"{"recentSlot":2}"#, r#"{"recentSlot":1}"#);
        assert!(matches(&offer("solana:x", now), &offer("solana:x", old)));
        assert!(!matches(&offer("eip155:1", now), &offer("eip155:1", old)));
        let deep = |extra: &str| offer("solana:x", &format!(r#"{{"o":{extra}}}"#));
        assert!(!matches(&deep(now), &deep(old)));
    }

    proptest! {
        #[test]
        fn an_offer_matches_itself_and_any_extra_key_of_its_extra(
            fields in proptest::collection::btree_map("[a-e]", "[xyz]{0,2}", 0..4),
            extra in proptest::collection::btree_map("[a-e]", -3_i64..3, 0..4),
        ) {
            let mut offer = object(&serde_json::to_string(&fields).unwrap());
            offer.0.insert("extra".to_owned(), serde_json::to_value(&extra).unwrap());
            let mut echo = offer.clone();
            prop_assert!(matches(&offer, &echo));
            echo.0["extra"]["more"] = Value::Null;
            prop_assert!(matches(&offer, &echo));
            prop_assert!(!matches(&echo, &offer), "the containment has a direction");
            echo.0.insert("more".to_owned(), Value::Null);
            prop_assert!(!matches(&offer, &echo) && !matches(&echo, &offer));
        }
    }
}
