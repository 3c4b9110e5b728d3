//! JSON that is read once, and written as it was understood.
//!
//! What is forwarded after a decision is [`Json::write`] of what the decision saw: so no second parser can see something
//! else. An object in which a key stands twice is refused at every depth, because two parsers may disagree about which
//! one counts. Numbers stay as they were written: a float would lose digits between the decision and the server.

mod number;
mod parse;

use std::fmt;

pub use number::{Exact, Number};
pub use parse::JsonError;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was written.
    Number(Number),
    /// A text, with its escapes read.
    String(String),
    /// A list.
    Array(Vec<Self>),
    /// An object.
    Object(Object),
}

/// A JSON object: its keys in their order, none twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object(Vec<(String, Json)>);

impl Object {
    /// The value under exactly this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The keys and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a value under a key: in the place of the one that is there, else at the end.
    pub fn set(&mut self, key: &str, value: Json) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Takes a key and its value out.
    pub fn remove(&mut self, key: &str) -> Option<Json> {
        let index = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(index).1)
    }

    /// It with its keys sorted, and those of every object in it, as [`Json::canonical`].
    #[must_use]
    pub fn canonical(&self) -> Json {
        let mut sorted: Vec<_> = self.0.iter().map(|(key, value)| (key.clone(), value.canonical())).collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        Json::Object(Self(sorted))
    }

    /// Whether every number in it can be held exactly, as [`Json::is_exact`].
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.0.iter().all(|(_, value)| value.is_exact())
    }

    /// The value under a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Json> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

impl Json {
    /// Reads one value, and nothing after it but white space.
    ///
    /// # Errors
    /// [`JsonError`], with the byte at which it is no JSON, nested too deeply (128), or has a key twice.
    pub fn parse(text: &[u8]) -> Result<Self, JsonError> {
        parse::parse(text)
    }

    /// Writes the value without spaces, on one line.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(number) => out.extend_from_slice(number.as_str().as_bytes()),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => write_list(b"[]", items, out, |item, out| item.write(out)),
            Self::Object(object) => write_list(b"{}", &object.0, out, |(key, value), out| {
                write_string(key, out);
                out.push(b':');
                value.write(out);
            }),
        }
    }

    /// The value as one line of text.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write(&mut out);
        out
    }

    /// The value with every object's keys sorted, for digests: two spellings of one value have one canonical form.
    #[must_use]
    pub fn canonical(&self) -> Self {
        match self {
            Self::Array(items) => Self::Array(items.iter().map(Self::canonical).collect()),
            Self::Object(object) => object.canonical(),
            Self::Number(number) => Self::Number(number.canonical()),
            value => value.clone(),
        }
    }

    /// Whether every number in it can be held exactly. Where one cannot, two spellings of a value look like two values.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        match self {
            Self::Number(number) => number.exact().is_some(),
            Self::Array(items) => items.iter().all(Self::is_exact),
            Self::Object(object) => object.is_exact(),
            Self::Null | Self::Bool(_) | Self::String(_) => true,
        }
    }

    /// The object, if it is one.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The list, if it is one.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The value under a key, if this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_vec()))
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Json {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Self {
        Self::Number(Number::from(number))
    }
}

impl FromIterator<(String, Json)> for Object {
    /// Of keys that stand twice, the last one counts.
    fn from_iter<I: IntoIterator<Item = (String, Json)>>(entries: I) -> Self {
        let mut object = Self::default();
        for (key, value) in entries {
            object.set(&key, value);
        }
        object
    }
}

fn write_list<T>(brackets: &[u8; 2], items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(brackets[0]);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(brackets[1]);
}

/// Control characters, quotes and backslashes are escaped, and the two line separators that JavaScript once took for
/// ends of lines; everything else stands as UTF-8.
fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    let bytes = text.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..index]);
        plain = index + 1;
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(text: &str) -> String {
        Json::parse(text.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn what_is_read_is_written_without_loss() {
        for (text, written) in [
            (" { \"a\" : [ 1 , 2.50 , -0 , 1e400 ] } ", "{\"a\":[1,2.50,-0,1e400]}"),
            ("18446744073709551616", "18446744073709551616"),
            ("0.1000000000000000055", "0.1000000000000000055"),
            ("\"\\u00e9\\ud83d\\ude00\\n\\/\"", "\"é😀\\n/\""),
            ("\"\\u0000\\u001f\"", "\"\\u0000\\u001f\""),
            ("[]", "[]"),
            ("{}", "{}"),
            ("[null,true,false]", "[null,true,false]"),
        ] {
            assert_eq!(round(text), written, "{text}");
        }
    }

    #[test]
    fn two_spellings_have_one_canonical_form() {
        let a = Json::parse(br#"{"b": 1.50, "a": [{"y": 1e1, "x": 2}]}"#).unwrap();
        let b = Json::parse(br#"{"a":[{"x":2.0,"y":10}],"b":1.5}"#).unwrap();
        assert_eq!(a.canonical(), b.canonical());
        assert_ne!(a, b);
    }

    #[test]
    fn objects_keep_their_order() {
        let mut json = Json::parse(br#"{"z":1,"a":2}"#).unwrap();
        let Json::Object(object) = &mut json else { panic!() };
        object.set("z", Json::Bool(true));
        object.set("n", Json::Null);
        assert_eq!(object.remove("a"), Some(Json::from(2)));
        assert_eq!(json.to_string(), r#"{"z":true,"n":null}"#);
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i64>().prop_map(Json::from),
            "\\PC{0,12}".prop_map(Json::String),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
                prop::collection::vec(("\\PC{0,6}", inner), 0..6)
                    .prop_map(|entries| Json::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn written_values_read_as_themselves(json in any_json()) {
            prop_assert_eq!(Json::parse(&json.to_vec()).unwrap(), json.clone());
            let other: serde_json::Value = serde_json::from_slice(&json.to_vec()).unwrap();
            let again = Json::parse(other.to_string().as_bytes()).unwrap();
            prop_assert_eq!(again.canonical(), json.canonical());
        }

        #[test]
        fn reads_what_serde_reads(bytes in prop::collection::vec(prop_oneof![
            3 => proptest::sample::select(b"{}[]\",:0123456789.eE+-truefalsn\\u \n".to_vec()), 1 => any::<u8>()
        ], 0..40)) {
            let theirs: Result<serde_json::Value, _> = serde_json::from_slice(&bytes);
            match Json::parse(&bytes) {
                Ok(_) => {
                    // A number that no float can hold is read here, and kept.
                    prop_assert!(theirs.as_ref().err().is_none_or(|e| e.to_string().contains("number out of range")), "{theirs:?}");
                }
                Err(error) => prop_assert!(theirs.is_err() || error.to_string().contains("twice"), "{error}"),
            }
        }
    }
}
