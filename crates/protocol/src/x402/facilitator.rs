use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{Payment, Reason, v1, v2};
use crate::json::without_bom;
use crate::{MAX_BODY_BYTES, Object, ProtocolError, Requirements};

/// The body of `POST /verify` and `POST /settle`, read: a payment and the terms it must meet.
#[derive(Debug, Clone)]
pub struct FacilitatorRequest {
    /// The payment.
    pub payment: Payment,
    /// The seller's terms.
    pub requirements: Requirements,
    /// The terms as they came.
    pub raw_requirements: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(rename = "x402Version")]
    x402_version: u64,
    payment_payload: &'a Payment,
    payment_requirements: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    // `x402Version` is not read: deployed clients leave it out or send the other version's, and
    // `paymentPayload.x402Version` decides.
    payment_payload: Box<RawValue>,
    payment_requirements: Box<RawValue>,
}

impl FacilitatorRequest {
    /// Reads the body, dispatching on `paymentPayload.x402Version`.
    ///
    /// # Errors
    /// [`ProtocolError`] naming the part.
    pub fn read(body: &[u8]) -> Result<Self, ProtocolError> {
        if body.len() > MAX_BODY_BYTES {
            return Err(ProtocolError::TooLarge {
                what: "the body",
                bytes: body.len(),
                limit: MAX_BODY_BYTES,
            });
        }
        let body: Body =
            serde_json::from_slice(without_bom(body)).map_err(ProtocolError::json("the body"))?;
        let payment = Payment::read(&body.payment_payload)?;
        let requirements = match &payment {
            Payment::V1(_) => v1::PaymentRequirements::read(&body.payment_requirements)?.requirements()?,
            Payment::V2(_) => v2::requirements(&body.payment_requirements)?,
        };
        Ok(Self { payment, requirements, raw_requirements: body.payment_requirements })
    }

    /// The body for a facilitator. The requirements go in the payment's version.
    ///
    /// # Errors
    /// [`ProtocolError::Json`]
    pub fn to_body(payment: &Payment, raw_requirements: &RawValue) -> Result<String, ProtocolError> {
        let body = Written {
            x402_version: payment.protocol().x402_version().into(),
            payment_payload: payment,
            payment_requirements: raw_requirements,
        };
        serde_json::to_string(&body).map_err(ProtocolError::json("the body"))
    }
}

/// A facilitator's answer to `/verify`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// Whether the payment would settle now.
    pub is_valid: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<Reason>,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    /// The payer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Extensions by key.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub extensions: Object,
    /// What the scheme adds.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub extra: Object,
}

/// A facilitator's answer to `/settle`; also the `PAYMENT-RESPONSE` header.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse {
    /// Whether the money moved.
    pub success: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<Reason>,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The payer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// The transaction's hash; empty when none was sent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub transaction: String,
    /// The network: CAIP-2 in version 2, a name in version 1.
    #[serde(default, deserialize_with = "null_is_default")]
    pub network: String,
    /// What was charged, in base units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Extensions by key.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub extensions: Object,
    /// What the scheme adds.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub extra: Object,
}

impl SettleResponse {
    /// The transaction of a settlement that was sent and not seen confirmed yet: neither paid nor failed. The same
    /// request asks again. `None` for an outcome that is final.
    #[must_use]
    pub fn pending_transaction(&self) -> Option<&str> {
        let pending = !self.success && self.error_reason == Some(Reason::SettlementPending);
        (pending && !self.transaction.is_empty()).then_some(&self.transaction)
    }
}

/// A facilitator's answer to `/supported`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, Default)]
pub struct SupportedResponse {
    /// What it settles.
    pub kinds: Vec<SupportedKind>,
    /// The extensions it knows.
    #[serde(default, deserialize_with = "null_is_default")]
    pub extensions: Vec<String>,
    /// Its own addresses by CAIP-2 pattern: `eip155:*`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub signers: BTreeMap<String, Vec<String>>,
}

/// One thing that a facilitator settles.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SupportedKind {
    /// 1 or 2.
    #[serde(rename = "x402Version")]
    pub x402_version: u8,
    /// `exact`.
    pub scheme: String,
    /// CAIP-2 in version 2, a name in version 1.
    pub network: String,
    /// What the scheme adds to offers.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub extra: Object,
}

/// Reads `x402Version` and insists on `expected`.
pub(super) fn version<'de, D: Deserializer<'de>>(deserializer: D, expected: u8) -> Result<u8, D::Error> {
    let version = u64::deserialize(deserializer)?;
    if version == u64::from(expected) {
        return Ok(expected);
    }
    Err(serde::de::Error::custom(format_args!("x402Version is {version}, expected {expected}")))
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Option::deserialize(d).map(Option::unwrap_or_default)
}
