use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json::without_bom;
use crate::{MAX_HEADER_BYTES, ProtocolError};

/// v2, in the 402: what is asked for.
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// v2, in the request: the payment.
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// v2, in the answer: the settlement.
pub const PAYMENT_RESPONSE: &str = "payment-response";
/// v1, in the request: the payment.
pub const X_PAYMENT: &str = "x-payment";
/// v1, in the answer: the settlement.
pub const X_PAYMENT_RESPONSE: &str = "x-payment-response";
/// From the client: proof of an identity (the `sign-in-with-x` extension).
pub const SIGN_IN_WITH_X: &str = "sign-in-with-x";
/// From a facilitator to a server; never passed on to the buyer.
pub const EXTENSION_RESPONSES: &str = "extension-responses";
/// From a handler to the middleware in front of it; never passed on to the buyer.
pub const SETTLEMENT_OVERRIDES: &str = "settlement-overrides";

/// Every header of the protocol: what a proxy must not pass through from either side.
pub const HEADERS: [&str; 8] = [
    PAYMENT_REQUIRED,
    PAYMENT_SIGNATURE,
    PAYMENT_RESPONSE,
    X_PAYMENT,
    X_PAYMENT_RESPONSE,
    SIGN_IN_WITH_X,
    EXTENSION_RESPONSES,
    SETTLEMENT_OVERRIDES,
];

/// The reference, too, reads a value without padding, or with bits left over that are not zero. Nothing is keyed on
/// this text, so that one message may have several encodings.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(true)
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
/// Some deployed servers write the URL-safe alphabet.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A header's value: base64 of JSON.
///
/// # Errors
/// [`ProtocolError::Json`] when `message` does not serialise.
pub fn encode_header<T: Serialize>(message: &T) -> Result<String, ProtocolError> {
    let json = serde_json::to_vec(message).map_err(ProtocolError::json("a header"))?;
    Ok(STANDARD.encode(json))
}

/// Reads a header's value. Padding may be missing, white space may stand around it, and the URL-safe alphabet is
/// accepted (but not both alphabets in one value); JSON is not negotiable. Use [`crate::StrictValue`] for a message
/// without a type: a plain `serde_json::Value` takes the same key twice.
///
/// # Errors
/// [`ProtocolError::TooLarge`] above [`MAX_HEADER_BYTES`], [`ProtocolError::Base64`], [`ProtocolError::Json`].
pub fn decode_header<T: DeserializeOwned>(what: &'static str, value: &[u8]) -> Result<T, ProtocolError> {
    if value.len() > MAX_HEADER_BYTES {
        return Err(ProtocolError::TooLarge { what, bytes: value.len(), limit: MAX_HEADER_BYTES });
    }
    let value = value.trim_ascii();
    let url_safe = value.iter().any(|b| matches!(b, b'-' | b'_'));
    let engine = if url_safe { &URL_SAFE } else { &STANDARD };
    let json = engine.decode(value).map_err(|_| ProtocolError::Base64 { what })?;
    serde_json::from_slice(without_bom(&json)).map_err(ProtocolError::json(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn padding_and_alphabet_are_forgiven() {
        let value = json!({"a": "???>>>~~~"});
        let standard = encode_header(&value).unwrap();
        let sloppy = standard.trim_end_matches('=').replace('+', "-").replace('/', "_");
        for header in [standard.as_str(), sloppy.as_str(), &format!(" {standard} ")] {
            assert_eq!(decode_header::<Value>("test", header.as_bytes()).unwrap(), value);
        }
    }

    #[test]
    fn size_is_bounded() {
        let header = vec![b'A'; MAX_HEADER_BYTES + 1];
        assert!(matches!(decode_header::<Value>("test", &header), Err(ProtocolError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_header::<crate::x402::v2::PaymentRequired>("test", &bytes);
        }

        #[test]
        fn text_round_trips(text in "\\PC*") {
            let header = encode_header(&text).unwrap();
            prop_assert_eq!(decode_header::<String>("test", header.as_bytes()).unwrap(), text);
        }
    }
}
