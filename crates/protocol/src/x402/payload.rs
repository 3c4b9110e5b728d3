use std::fmt;

use farthing_money::Network;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    PAYMENT_SIGNATURE, PaymentId, PaymentIdentifier, X_PAYMENT, decode_header, encode_header, v1, v2,
};
use crate::{Challenge, Object, Offer, Protocol, ProtocolError, Requirements, StrictValue};

/// A payment as it travels: the answer to one offer.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Payment {
    /// Version 1.
    V1(v1::PaymentPayload),
    /// Version 2.
    V2(v2::PaymentPayload),
}

impl Payment {
    /// Answers `offer`, echoing what the seller wrote. `payload` is what the scheme signed.
    ///
    /// # Errors
    /// [`ProtocolError::Json`] when the raw offer lost its network.
    pub fn answer(
        challenge: &Challenge,
        offer: &Offer,
        payload: Box<RawValue>,
    ) -> Result<Self, ProtocolError> {
        Ok(match offer.protocol {
            Protocol::X402V2 => Self::V2(v2::PaymentPayload {
                x402_version: 2,
                payload,
                extensions: challenge.extensions.clone(),
                resource: challenge.resource.clone(),
                accepted: offer.raw.clone(),
            }),
            Protocol::X402V1 => {
                let wire = v1::PaymentRequirements::read(&offer.raw)?;
                Self::V1(v1::PaymentPayload {
                    x402_version: 1,
                    scheme: wire.scheme,
                    network: wire.network,
                    payload,
                })
            }
        })
    }

    /// The payment with the client's id in it, where the seller asked for one (`payment-identifier`). A declaration that
    /// cannot be read is echoed as it is.
    #[must_use]
    pub fn identified(mut self, id: &PaymentId) -> Self {
        if let Self::V2(payment) = &mut self
            && let Some(extensions) = payment.extensions.as_deref()
            && let Ok(filled) = PaymentIdentifier::fill(extensions, id)
        {
            payment.extensions = Some(filled);
        }
        self
    }

    /// Reads the `PAYMENT-SIGNATURE` header (v2) or the `X-PAYMENT` header (v1; some clients send v2 in it too).
    ///
    /// # Errors
    /// [`ProtocolError`] naming the part.
    pub fn from_header(name: &str, value: &[u8]) -> Result<Self, ProtocolError> {
        let what = if name.eq_ignore_ascii_case(X_PAYMENT) { "X-PAYMENT" } else { "PAYMENT-SIGNATURE" };
        Self::read(&decode_header::<Box<RawValue>>(what, value)?)
    }

    /// Reads a payment's JSON, dispatching on its `x402Version`.
    ///
    /// # Errors
    /// [`ProtocolError`] naming the part.
    pub fn read(raw: &RawValue) -> Result<Self, ProtocolError> {
        #[derive(Deserialize)]
        struct Version {
            #[serde(rename = "x402Version")]
            version: u64,
        }
        let json = ProtocolError::json("the payment");
        match serde_json::from_str::<Version>(raw.get()).map_err(json)?.version {
            1 => serde_json::from_str(raw.get()).map(Self::V1).map_err(ProtocolError::json("the payment")),
            2 => serde_json::from_str(raw.get()).map(Self::V2).map_err(ProtocolError::json("the payment")),
            other => Err(ProtocolError::Version(other)),
        }
    }

    /// The request header that carries it: name and value.
    ///
    /// # Errors
    /// [`ProtocolError::Json`]
    pub fn to_header(&self) -> Result<(&'static str, String), ProtocolError> {
        let name = match self {
            Self::V1(_) => X_PAYMENT,
            Self::V2(_) => PAYMENT_SIGNATURE,
        };
        Ok((name, encode_header(self)?))
    }

    /// Its JSON.
    ///
    /// # Errors
    /// [`ProtocolError::Json`]
    pub fn to_raw(&self) -> Result<Box<RawValue>, ProtocolError> {
        serde_json::value::to_raw_value(self).map_err(ProtocolError::json("the payment"))
    }

    /// The protocol and version.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::V1(_) => Protocol::X402V1,
            Self::V2(_) => Protocol::X402V2,
        }
    }

    /// What the scheme signed, as it came.
    #[must_use]
    pub fn payload(&self) -> &RawValue {
        match self {
            Self::V1(payment) => &payment.payload,
            Self::V2(payment) => &payment.payload,
        }
    }

    /// The extensions as they came: the seller's, echoed and filled in. Version 1 has none.
    #[must_use]
    pub fn extensions(&self) -> Option<&RawValue> {
        match self {
            Self::V1(_) => None,
            Self::V2(payment) => payment.extensions.as_deref(),
        }
    }

    /// Whether this payment answers an offer of these terms. `offer` is the offer's JSON in version 2's form.
    ///
    /// v2 echoes the whole offer, which is compared as the reference does; v1 names only scheme and network.
    ///
    /// # Errors
    /// [`ProtocolError::Json`] when the echo is not JSON without duplicate keys.
    pub fn answers(&self, terms: &Requirements, offer: &Object) -> Result<bool, ProtocolError> {
        match self {
            Self::V1(payment) => Ok(payment.scheme == terms.scheme
                && payment.network.parse::<Network>().is_ok_and(|n| n == terms.network)),
            Self::V2(payment) => {
                let accepted: Object = serde_json::from_str(payment.accepted.get())
                    .map_err(ProtocolError::json("`accepted`"))?;
                Ok(super::matches(offer, &accepted))
            }
        }
    }

    /// The payment with every key in one order and no space between: what a record is bound to.
    ///
    /// # Errors
    /// [`ProtocolError::Json`] on duplicate keys.
    pub fn canonical(&self) -> Result<String, ProtocolError> {
        let mut value: StrictValue =
            serde_json::from_str(self.to_raw()?.get()).map_err(ProtocolError::json("the payment"))?;
        // Already sorted, unless a crate beside this one turns on serde_json's `preserve_order`.
        value.0.sort_all_objects();
        serde_json::to_string(&value).map_err(ProtocolError::json("the payment"))
    }
}

/// `exact` on EVM over EIP-3009: what is signed and the signature.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct ExactEvmPayload {
    /// What is signed.
    pub authorization: Authorization,
    /// Hex, `0x` first: 65 bytes for a plain account, longer for a smart wallet.
    pub signature: String,
}

impl fmt::Debug for ExactEvmPayload {
    /// Leaves out the signature: whoever has it can settle the payment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExactEvmPayload").field("authorization", &self.authorization).finish_non_exhaustive()
    }
}

/// EIP-3009's authorization, in the wire's text forms.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// The payer.
    pub from: String,
    /// The payee.
    pub to: String,
    /// Base units.
    pub value: String,
    /// Unix seconds; the payment is valid after it.
    pub valid_after: String,
    /// Unix seconds; the payment is valid before it.
    pub valid_before: String,
    /// 32 random bytes in hex, `0x` first.
    pub nonce: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_ignores_order_and_space() {
        let read = |json: &str| Payment::read(&RawValue::from_string(json.to_owned()).unwrap()).unwrap();
        let a = read(r#"{"x402Version":1,"scheme":"exact","network":"base","payload":{"b":1,"a":"x"}}"#);
        let b = read(r#"{"network":"base", "payload":{"a":"x", "b":1},"scheme":"exact","x402Version":1}"#);
        assert_eq!(a.canonical().unwrap(), b.canonical().unwrap());
    }

    /// serde_json's quick way of reading numbers misses the nearest double now and then (found by fuzzing).
    #[test]
    fn canonical_form_is_its_own_for_every_number() {
        let read = |json: String| Payment::read(&RawValue::from_string(json).unwrap()).unwrap();
        for number in
            ["10003358988888888888888888888888888888888888888888888", "1.0003358988888888e+52", "0.1e-7"]
        {
            let json = format!(
                r#"{{"x402Version":1,"scheme":"exact","network":"base","payload":{{"a":{number}}}}}"#
            );
            let canonical = read(json).canonical().unwrap();
            assert_eq!(read(canonical.clone()).canonical().unwrap(), canonical, "{number}");
        }
    }

    #[test]
    fn debug_output_shows_no_signature() {
        let payload = r#"{"authorization":{"from":"0x1","to":"0x2","value":"1","validAfter":"0","validBefore":"1",
            "nonce":"0x3"},"signature":"0x5ec4e7"}"#;
        let v1 = format!(r#"{{"x402Version":1,"scheme":"exact","network":"base","payload":{payload}}}"#);
        let v2 = format!(r#"{{"x402Version":2,"accepted":{{}},"payload":{payload},"extensions":{payload}}}"#);
        for json in [v1, v2] {
            let payment = Payment::read(&RawValue::from_string(json).unwrap()).unwrap();
            let signed: ExactEvmPayload = serde_json::from_str(payment.payload().get()).unwrap();
            let shown = format!("{payment:?} {signed:?}");
            assert!(shown.contains("x402_version") && shown.contains("0x3"), "{shown}");
            assert!(!shown.contains("5ec4e7"), "{shown}");
        }
    }

    #[test]
    fn unknown_versions_are_named() {
        let raw = RawValue::from_string(r#"{"x402Version":3}"#.to_owned()).unwrap();
        assert!(matches!(Payment::read(&raw), Err(ProtocolError::Version(3))));
    }

    #[test]
    fn duplicate_fields_are_refused() {
        let raw = r#"{"x402Version":1,"scheme":"exact","scheme":"exact","network":"base","payload":{}}"#;
        assert!(Payment::read(&RawValue::from_string(raw.to_owned()).unwrap()).is_err());
    }
}
