use std::fmt;

use farthing_money::{BaseUnits, Network};
use serde_json::value::RawValue;

use crate::error::printable;
use crate::{Object, ProtocolError, x402};

/// Which protocol, in which version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// x402 version 2.
    X402V2,
    /// x402 version 1.
    X402V1,
}

impl Protocol {
    /// The name in commands, records and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X402V2 => "x402-v2",
            Self::X402V1 => "x402-v1",
        }
    }

    /// The protocol with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::X402V2, Self::X402V1].into_iter().find(|protocol| protocol.as_str() == name)
    }

    /// The `x402Version` on the wire.
    #[must_use]
    pub fn x402_version(self) -> u8 {
        match self {
            Self::X402V2 => 2,
            Self::X402V1 => 1,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The terms of one payment, the same for every version of the protocol: what verification, settlement and policy
/// look at. On the wire these are x402's `PaymentRequirements`.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirements {
    /// How it is paid: `exact`.
    pub scheme: String,
    /// Where it is paid.
    pub network: Network,
    /// What it costs, in base units of `asset`.
    pub amount: BaseUnits,
    /// The token's address, as the seller wrote it.
    pub asset: String,
    /// Whom it pays, as the seller wrote it.
    pub pay_to: String,
    /// How long the signed payment stays valid, in seconds.
    pub max_timeout_seconds: u64,
    /// What the scheme needs besides: for `exact` on EVM the token's EIP-712 `name` and `version`.
    pub extra: Object,
}

impl Requirements {
    /// Refuses terms read from outside that nobody could meet.
    pub(crate) fn checked(self) -> Result<Self, ProtocolError> {
        let empty = [("scheme", &self.scheme), ("asset", &self.asset), ("payTo", &self.pay_to)]
            .into_iter()
            .find(|(_, text)| text.is_empty());
        if let Some((field, _)) = empty {
            return Err(ProtocolError::Field { field, why: "it is empty".to_owned() });
        }
        if self.max_timeout_seconds == 0 {
            let why = "a payment that is valid for 0 seconds cannot settle".to_owned();
            return Err(ProtocolError::Field { field: "maxTimeoutSeconds", why });
        }
        Ok(self)
    }
}

/// One way a seller takes payment for one request.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The protocol it came in, and in which it is answered.
    pub protocol: Protocol,
    /// The terms.
    pub requirements: Requirements,
    /// The URL that the seller says it charges for.
    pub resource_url: Option<String>,
    /// What the seller says it sells.
    pub description: Option<String>,
    /// The offer's JSON exactly as it came, to be echoed.
    pub raw: Box<RawValue>,
}

impl Offer {
    /// How the seller wants the call and the settlement ordered; unknown flows are not paid.
    ///
    /// # Errors
    /// [`ProtocolError::Field`] for a flow that this crate does not know.
    pub fn flow(&self) -> Result<x402::Flow, ProtocolError> {
        x402::Flow::of(&self.requirements.extra)
    }
}

/// What makes a payment that payment, whoever sends it in whatever form: the chain, the token, the signer and the
/// nonce that the token accepts once. Claims, settlements and look-ups are keyed on it.
///
/// It is built from decoded bytes, so that letter case, zero padding or other fields of the JSON cannot make two
/// keys of one payment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct PaymentKey(String);

impl PaymentKey {
    /// The key of the payment that `payload` signs for these terms.
    ///
    /// # Errors
    /// [`ProtocolError::Json`] and [`ProtocolError::Field`] when it is no payload of this scheme and network.
    pub fn of(terms: &Requirements, payload: &RawValue) -> Result<Self, ProtocolError> {
        if terms.scheme != "exact" || terms.network.namespace() != "eip155" {
            return Err(ProtocolError::Field {
                field: "scheme",
                why: format!("`{}` on {} is not supported", printable(&terms.scheme), terms.network),
            });
        }
        let payload: x402::ExactEvmPayload =
            serde_json::from_str(payload.get()).map_err(ProtocolError::json("`payload`"))?;
        let from = hex_bytes::<20>("authorization.from", &payload.authorization.from)?;
        let nonce = hex_bytes::<32>("authorization.nonce", &payload.authorization.nonce)?;
        let asset = hex_bytes::<20>("asset", &terms.asset)?;
        Ok(Self::eip3009(&terms.network, asset, from, nonce))
    }

    /// The key of an EIP-3009 authorization.
    #[must_use]
    pub fn eip3009(network: &Network, asset: [u8; 20], from: [u8; 20], nonce: [u8; 32]) -> Self {
        Self(format!(
            "{network}/eip3009/0x{}/0x{}/0x{}",
            hex::encode(asset),
            hex::encode(from),
            hex::encode(nonce)
        ))
    }

    /// The key of a payment that has no nonce which could be read: SHA-256 of what makes it that payment.
    #[must_use]
    pub fn digest(network: &Network, kind: &'static str, digest: [u8; 32]) -> Self {
        Self(format!("{network}/{kind}/0x{}", hex::encode(digest)))
    }

    /// The parts of [`Self::eip3009`]: asset, payer, nonce.
    #[must_use]
    pub fn eip3009_parts(&self) -> Option<([u8; 20], [u8; 20], [u8; 32])> {
        let mut parts = self.0.split('/').skip(1);
        let scheme = parts.next()?;
        let asset = hex_bytes("asset", parts.next()?).ok()?;
        let from = hex_bytes("from", parts.next()?).ok()?;
        let nonce = hex_bytes("nonce", parts.next()?).ok()?;
        (scheme == "eip3009" && parts.next().is_none()).then_some((asset, from, nonce))
    }

    /// The key's text, as it stands in records.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A key read back from a record.
    #[must_use]
    pub fn from_record(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn hex_bytes<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], ProtocolError> {
    let mut bytes = [0; N];
    text.strip_prefix("0x")
        .and_then(|digits| hex::decode_to_slice(digits, &mut bytes).ok())
        .map(|()| bytes)
        .ok_or_else(|| ProtocolError::Field { field, why: format!("expected 0x and {N} bytes in hex") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Requirements {
        Requirements {
            scheme: "exact".into(),
            network: Network::BASE,
            amount: BaseUnits::new(1),
            asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into(),
            pay_to: String::new(),
            max_timeout_seconds: 60,
            extra: Object::default(),
        }
    }

    fn payload(from: &str, nonce: &str) -> Box<RawValue> {
        let json = serde_json::json!({"signature": "0x", "authorization": {
            "from": from, "to": "", "value": "1", "validAfter": "0", "validBefore": "1", "nonce": nonce}});
        serde_json::value::to_raw_value(&json).unwrap()
    }

    #[test]
    fn one_payment_has_one_key() {
        let nonce = format!("0x{}", "Ab".repeat(32));
        let key = |from: &str, nonce: &str| PaymentKey::of(&terms(), &payload(from, nonce));
        let lower = key("0x209693bc6afc0c5328ba36faf03c514ef312287c", &nonce.to_lowercase()).unwrap();
        assert_eq!(lower, key("0x209693Bc6afc0C5328bA36FaF03C514EF312287C", &nonce).unwrap());
        // Padding cannot make a second key: it is not 32 bytes any more.
        assert!(
            key("0x209693bc6afc0c5328ba36faf03c514ef312287c", &format!("0x00{}", "ab".repeat(32))).is_err()
        );
        assert_eq!(lower.eip3009_parts().unwrap().2, [0xab; 32]);
    }
}
