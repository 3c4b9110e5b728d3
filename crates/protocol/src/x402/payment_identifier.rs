use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::error::printable;
use crate::json::RawObject;
use crate::{Object, ProtocolError};

/// The extension's key.
const KEY: &str = "payment-identifier";

/// The `payment-identifier` extension: a client names its payment, so that a server answers a repeated request from its
/// record instead of serving it again.
///
/// A server advertises it in the 402 ([`Self::declare`]), the client fills its id into the echo ([`Self::fill`]), and
/// the server reads it from the payment ([`Self::read`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentIdentifier {
    /// Whether the server insists on an id.
    pub required: bool,
    /// The client's id; none in the server's declaration.
    pub id: Option<PaymentId>,
}

/// A payment's id: 16 to 128 characters of `[A-Za-z0-9_-]`. It identifies and authorises nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PaymentId(String);

#[derive(Deserialize, Serialize)]
struct Info {
    #[serde(default)]
    required: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl PaymentIdentifier {
    /// Reads it from the `extensions` of a 402 or of a payment; `None` where they do not have it.
    ///
    /// # Errors
    /// [`ProtocolError::Json`] for another form, [`ProtocolError::Field`] for an id outside its alphabet or length.
    pub fn read(extensions: Option<&RawValue>) -> Result<Option<Self>, ProtocolError> {
        let Some(extensions) = extensions.filter(|raw| raw.get() != "null") else { return Ok(None) };
        let Some(extension) = read::<RawObject>(extensions)?.get(KEY).map(ToOwned::to_owned) else {
            return Ok(None);
        };
        let extension = read::<RawObject>(&extension)?;
        let info = extension.get("info").ok_or_else(|| ProtocolError::Field {
            field: "extensions.payment-identifier",
            why: "`info` is missing".to_owned(),
        })?;
        let info = read::<Info>(info)?;
        let id = info.id.map(PaymentId::try_from).transpose()?;
        Ok(Some(Self { required: info.required.unwrap_or_default(), id }))
    }

    /// Adds a server's declaration to the `extensions` that it advertises. The others stay as they are.
    ///
    /// # Errors
    /// [`ProtocolError::Json`] when `extensions` are no object.
    pub fn declare(extensions: Option<&RawValue>, required: bool) -> Result<Box<RawValue>, ProtocolError> {
        let present = extensions.filter(|raw| raw.get() != "null");
        let mut extensions = present.map(read::<RawObject>).transpose()?.unwrap_or_default();
        let schema = serde_json::json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "required": { "type": "boolean" },
                "id": {
                    "type": "string",
                    "minLength": PaymentId::MIN_LENGTH,
                    "maxLength": PaymentId::MAX_LENGTH,
                    "pattern": "^[a-zA-Z0-9_-]+$",
                },
            },
            "required": ["required"],
        });
        let info = Info { required: Some(required), id: None };
        let mut declaration = RawObject::default();
        declaration.set("info", write(&info)?);
        declaration.set("schema", write(&schema)?);
        extensions.set(KEY, write(&declaration)?);
        write(&extensions)
    }

    /// Fills a client's id into the `extensions` that it echoes. The others stay as they are; without a declaration of
    /// the server nothing is added.
    ///
    /// # Errors
    /// [`ProtocolError::Json`] when the declaration has another form.
    pub fn fill(extensions: &RawValue, id: &PaymentId) -> Result<Box<RawValue>, ProtocolError> {
        if Self::read(Some(extensions))?.is_none() {
            return Ok(extensions.to_owned());
        }
        let mut extensions = read::<RawObject>(extensions)?;
        let mut extension = extensions.get(KEY).map(read::<RawObject>).transpose()?.unwrap_or_default();
        let mut info = extension.get("info").map(read::<Object>).transpose()?.unwrap_or_default();
        info.0.insert("id".to_owned(), id.as_str().into());
        extension.set("info", write(&info)?);
        extensions.set(KEY, write(&extension)?);
        write(&extensions)
    }
}

impl PaymentId {
    /// The fewest characters.
    pub const MIN_LENGTH: usize = 16;
    /// The most characters.
    pub const MAX_LENGTH: usize = 128;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PaymentId {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if (Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text));
        }
        let why = format!("`{}`: expected 16 to 128 characters of A-Z, a-z, 0-9, _ and -", printable(&text));
        Err(ProtocolError::Field { field: "extensions.payment-identifier.info.id", why })
    }
}

impl From<PaymentId> for String {
    fn from(id: PaymentId) -> Self {
        id.0
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn read<'de, T: Deserialize<'de>>(raw: &'de RawValue) -> Result<T, ProtocolError> {
    serde_json::from_str(raw.get()).map_err(ProtocolError::json("the extension payment-identifier"))
}

fn write<T: Serialize>(value: &T) -> Result<Box<RawValue>, ProtocolError> {
    to_raw_value(value).map_err(ProtocolError::json("the extension payment-identifier"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn id(text: &str) -> Result<PaymentId, ProtocolError> {
        text.to_owned().try_into()
    }

    #[test]
    fn a_declaration_is_filled_and_read_back() {
        let others = raw(r#"{"z":{"n":1.50},"a":1}"#);
        let declared = PaymentIdentifier::declare(Some(&others), true).unwrap();
        let expected = PaymentIdentifier { required: true, id: None };
        assert_eq!(PaymentIdentifier::read(Some(&declared)).unwrap(), Some(expected));

        let id = id("pay_7d5d747be160e280").unwrap();
        let filled = PaymentIdentifier::fill(&declared, &id).unwrap();
        let read = PaymentIdentifier::read(Some(&filled)).unwrap().unwrap();
        assert_eq!(read, PaymentIdentifier { required: true, id: Some(id) });
        assert!(
            filled.get().starts_with(r#"{"z":{"n":1.50},"a":1,"payment-identifier":{"info":{"id":"pay_"#)
        );

        let (advertised, echoed) = (declared.get(), filled.get());
        let object = |json: &str| serde_json::from_str::<Object>(json).unwrap();
        assert_eq!(crate::x402::altered_extension(&object(advertised), &object(echoed)), None);
    }

    #[test]
    fn nothing_is_added_that_the_server_did_not_declare() {
        for json in [r#"{"other": {}}"#, "{}", "null"] {
            let id = id("0123456789abcdef").unwrap();
            assert_eq!(PaymentIdentifier::fill(&raw(json), &id).unwrap().get(), json);
            assert_eq!(PaymentIdentifier::read(Some(&raw(json))).unwrap(), None);
        }
        assert_eq!(PaymentIdentifier::read(None).unwrap(), None);
    }

    #[test]
    fn an_id_has_an_alphabet_and_a_length() {
        for good in ["0123456789abcde_", "ABCDEFGHIJKLMNO-", &"a".repeat(128)] {
            assert_eq!(id(good).unwrap().as_str(), good);
        }
        for bad in ["", "0123456789abcde", &"a".repeat(129), "0123456789abcde/", "0123456789abcdeü"] {
            assert!(id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for extension in [
            "null",
            "[]",
            "{}",
            r#"{"info":null}"#,
            r#"{"info":{"required":"yes"}}"#,
            r#"{"info":{"id":7}}"#,
            r#"{"info":{"id":"short"}}"#,
            r#"{"info":{"id":"0123456789abcdef","id":"0123456789abcdef"}}"#,
            r#"{"info":{},"info":{}}"#,
        ] {
            let extensions = raw(&format!(r#"{{"payment-identifier":{extension}}}"#));
            assert!(PaymentIdentifier::read(Some(&extensions)).is_err(), "{extension}");
        }
        let sloppy = raw(r#"{"payment-identifier":{"info":{"required":null,"id":null}}}"#);
        let expected = PaymentIdentifier { required: false, id: None };
        assert_eq!(
            PaymentIdentifier::read(Some(&sloppy)).unwrap(),
            Some(expected),
            "null optionals are read"
        );
    }
}
