//! Version 1's types.

use std::fmt;

use farthing_money::{BaseUnits, Network};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Object, ProtocolError, Requirements, StrictValue};

/// The 402's body.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// Always 1.
    #[serde(rename = "x402Version", deserialize_with = "one")]
    pub x402_version: u8,
    /// Why the answer is a 402.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The offers, each a [`PaymentRequirements`].
    pub accepts: Vec<Box<RawValue>>,
}

/// One offer on the wire.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// `exact`.
    pub scheme: String,
    /// A name: `base`, `base-sepolia`. CAIP-2 is read too.
    pub network: String,
    /// Base units, a string of digits.
    pub max_amount_required: String,
    /// The resource's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The answer's media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// The answer's schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<StrictValue>,
    /// The payee's address.
    pub pay_to: String,
    /// Seconds.
    pub max_timeout_seconds: u64,
    /// The token's address.
    pub asset: String,
    /// What the scheme needs besides.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub extra: Object,
}

impl PaymentRequirements {
    /// Reads one raw offer.
    ///
    /// # Errors
    /// [`ProtocolError::Json`] naming the field.
    pub fn read(raw: &RawValue) -> Result<Self, ProtocolError> {
        serde_json::from_str(raw.get()).map_err(ProtocolError::json("an offer"))
    }

    /// The terms, independent of the version.
    ///
    /// # Errors
    /// [`ProtocolError::Money`] for an amount or a network that means nothing, [`ProtocolError::Field`] for an empty
    /// scheme, asset or payee and for a timeout of zero.
    pub fn requirements(&self) -> Result<Requirements, ProtocolError> {
        let amount = &self.max_amount_required;
        Requirements {
            network: self.network.parse::<Network>().map_err(ProtocolError::money("network"))?,
            amount: BaseUnits::from_digits(amount).map_err(ProtocolError::money("maxAmountRequired"))?,
            scheme: self.scheme.clone(),
            asset: self.asset.clone(),
            pay_to: self.pay_to.clone(),
            max_timeout_seconds: self.max_timeout_seconds,
            extra: self.extra.clone(),
        }
        .checked()
    }

    /// The terms as version 1 writes them, for the resource they pay for; `None` where the network has no v1 name.
    #[must_use]
    pub fn new(terms: &Requirements, resource: &super::ResourceInfo) -> Option<Self> {
        Some(Self {
            scheme: terms.scheme.clone(),
            network: terms.network.v1_name()?.to_owned(),
            max_amount_required: terms.amount.to_string(),
            resource: Some(resource.url.clone()),
            description: Some(resource.description.clone().unwrap_or_default()),
            mime_type: Some(resource.mime_type.clone().unwrap_or_default()),
            output_schema: None,
            pay_to: terms.pay_to.clone(),
            max_timeout_seconds: terms.max_timeout_seconds,
            asset: terms.asset.clone(),
            extra: terms.extra.clone(),
        })
    }
}

/// The `X-PAYMENT` header.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// Always 1.
    #[serde(rename = "x402Version", deserialize_with = "one")]
    pub x402_version: u8,
    /// `exact`.
    pub scheme: String,
    /// A name: `base`.
    pub network: String,
    /// What the scheme signs.
    pub payload: Box<RawValue>,
}

impl fmt::Debug for PaymentPayload {
    /// Leaves out `payload`: it holds a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentPayload")
            .field("x402_version", &self.x402_version)
            .field("scheme", &self.scheme)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

fn one<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    super::facilitator::version(deserializer, 1)
}
