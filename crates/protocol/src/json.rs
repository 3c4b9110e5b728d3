use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use crate::error::printable;

/// The deepest nesting that is read. A bazaar schema needs about 12.
const MAX_DEPTH: usize = 48;

/// JSON without the byte order mark that some servers put before it and every JavaScript client drops.
pub(crate) fn without_bom(json: &[u8]) -> &[u8] {
    json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json)
}

/// A JSON value in which no object has the same key twice.
///
/// Two parsers may disagree about which of two equal keys counts, and then the terms that were checked are not the
/// terms that are used (DESIGN.md, invariant 10).
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[serde(transparent)]
pub struct StrictValue(pub Value);

/// A JSON object in which no key stands twice, at any depth. An explicit `null` reads as the empty object.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[serde(transparent)]
pub struct Object(pub Map<String, Value>);

impl Object {
    /// The string under `key`, where there is one.
    #[must_use]
    pub fn str(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str)
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Depth(MAX_DEPTH).deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match StrictValue::deserialize(deserializer)?.0 {
            Value::Object(map) => Ok(Self(map)),
            Value::Null => Ok(Self::default()),
            _ => Err(de::Error::custom("expected an object")),
        }
    }
}

/// Reads a value with this many levels left.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(inner)?;
            if map.contains_key(&key) {
                return Err(twice(&key));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

fn twice<E: de::Error>(key: &str) -> E {
    E::custom(format_args!("the key `{}` stands twice", printable(key)))
}

/// A JSON object whose values stay the text they came in, in their order, so that one of them can be changed without
/// touching the others. No key stands twice in it; what is inside the values is not looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawObject(Vec<(String, Box<RawValue>)>);

impl RawObject {
    pub(crate) fn get(&self, key: &str) -> Option<&RawValue> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| &**value)
    }

    pub(crate) fn set(&mut self, key: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawObject, A::Error> {
                let mut seen = BTreeSet::new();
                let mut entries = Vec::new();
                while let Some((key, value)) = access.next_entry::<String, Box<RawValue>>()? {
                    if !seen.insert(key.clone()) {
                        return Err(twice(&key));
                    }
                    entries.push((key, value));
                }
                Ok(RawObject(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn duplicate_keys_are_refused_at_any_depth() {
        for json in [r#"{"a":1,"a":1}"#, r#"[{"x":{"b":1,"b":2}}]"#] {
            assert!(serde_json::from_str::<StrictValue>(json).is_err(), "{json}");
        }
        assert!(serde_json::from_str::<StrictValue>(r#"{"a":{"b":1},"b":1}"#).is_ok());
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(serde_json::from_str::<StrictValue>(&deep(MAX_DEPTH)).is_ok());
        assert!(serde_json::from_str::<StrictValue>(&deep(MAX_DEPTH + 1)).is_err());
    }

    #[test]
    fn null_is_an_empty_object() {
        assert!(serde_json::from_str::<Object>("null").unwrap().is_empty());
        assert!(serde_json::from_str::<Object>("[]").is_err());
    }

    #[test]
    fn a_raw_object_keeps_text_and_order() {
        let mut object: RawObject = serde_json::from_str(r#"{"z": 1.50, "a" : {"b":1e2,"b":2}}"#).unwrap();
        assert_eq!(serde_json::to_string(&object).unwrap(), r#"{"z":1.50,"a":{"b":1e2,"b":2}}"#);
        object.set("z", RawValue::from_string("null".to_owned()).unwrap());
        object.set("n", RawValue::from_string("[]".to_owned()).unwrap());
        assert_eq!(serde_json::to_string(&object).unwrap(), r#"{"z":null,"a":{"b":1e2,"b":2},"n":[]}"#);
        assert_eq!(object.get("n").unwrap().get(), "[]");
        assert!(serde_json::from_str::<RawObject>(r#"{"a":1,"\u0061":2}"#).is_err());
        assert!(serde_json::from_str::<RawObject>("[]").is_err());
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(text in "[\\[\\]{}\",:0-9a-c.e-]{0,40}") {
            let strict = serde_json::from_str::<StrictValue>(&text);
            if let Ok(value) = strict {
                prop_assert_eq!(value.0, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
