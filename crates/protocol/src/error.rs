use farthing_money::MoneyError;
use serde::de::Error as _;

/// Why something from the wire could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Longer than is ever decoded.
    #[error("{what} has {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// Which part of the message.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More of something than is ever read.
    #[error("{what} has {count} entries; at most {limit} are read")]
    TooMany {
        /// Which part of the message.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Not base64.
    #[error("{what} is not base64")]
    Base64 {
        /// Which part of the message.
        what: &'static str,
    },
    /// Not the JSON that was expected there.
    #[error("{what} is not valid: {source}")]
    Json {
        /// Which part of the message.
        what: &'static str,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A version that this crate does not speak.
    #[error("x402 version {0} is not supported; 1 and 2 are")]
    Version(u64),
    /// A field holds a value that means nothing.
    #[error("`{field}` is not valid: {why}")]
    Field {
        /// The field's name on the wire.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A field holds an amount or network that cannot be used.
    #[error("`{field}` is not valid: {source}")]
    Money {
        /// The field's name on the wire.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: MoneyError,
    },
    /// A 402 that carries no offer in any protocol spoken here.
    #[error(
        "the answer asks for payment but carries no offer: neither a PAYMENT-REQUIRED header nor an x402 body"
    )]
    NoOffers,
}

impl ProtocolError {
    pub(crate) fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { what, source: without_text(source) }
    }

    pub(crate) fn money(field: &'static str) -> impl FnOnce(MoneyError) -> Self {
        move |source| Self::Money { field, source }
    }
}

/// Leaves out the text that serde quotes when it found text where it expected something else: it may be a payment's
/// signature, and it may be as long as the message.
fn without_text(error: serde_json::Error) -> serde_json::Error {
    let said = error.to_string();
    match (said.find("string \""), said.rfind("\", expected")) {
        (Some(start), Some(end)) if start < end => {
            let (before, after) = (&said[..start], &said[end + 1..]);
            serde_json::Error::custom(format_args!("{before}string{after}"))
        }
        _ => error,
    }
}

/// Text from outside in a form that is safe in a message: at most so many of its characters, and escapes for those that
/// a terminal would obey.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    let mut shortened: String = text.chars().take(most).flat_map(char::escape_debug).collect();
    if text.chars().nth(most).is_some() {
        shortened.push('…');
    }
    shortened
}

/// The same, as long as a name or a value in a message needs to be.
pub(crate) fn printable(text: &str) -> String {
    shortened(text, 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_wrong_type_is_not_repeated() {
        for json in [r#"{"a":"0x5ec4e7"}"#, r#"{"a":"0x5ec4e7\", expected"}"#] {
            let error = serde_json::from_str::<std::collections::BTreeMap<String, u64>>(json).unwrap_err();
            let error = ProtocolError::json("the payment")(error);
            let said = format!("{error} {error:?}");
            assert!(!said.contains("5ec4e7"), "{said}");
            assert!(said.contains("invalid type: string, expected u64 at line 1 column"), "{said}");
        }
    }

    #[test]
    fn what_is_printed_is_short() {
        assert_eq!(printable("a\n\u{1b}[31m"), r"a\n\u{1b}[31m");
        assert_eq!(printable(&"ü".repeat(1000)), format!("{}…", "ü".repeat(64)));
    }
}
