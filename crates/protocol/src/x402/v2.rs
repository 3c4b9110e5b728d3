//! Version 2's types.

use std::fmt;

use farthing_money::{BaseUnits, Network};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Object, ProtocolError, Requirements};

/// The 402's `PAYMENT-REQUIRED` header, as a client reads it: offers stay raw, to be echoed byte for byte.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// Always 2.
    #[serde(rename = "x402Version", deserialize_with = "two")]
    pub x402_version: u8,
    /// Why the answer is a 402.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is being sold: a [`ResourceInfo`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Box<RawValue>>,
    /// The offers, each a [`PaymentRequirements`].
    pub accepts: Vec<Box<RawValue>>,
    /// Extensions by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Box<RawValue>>,
}

/// What is being sold.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInfo {
    /// The resource's URL.
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The answer's media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// The service's name, at most 32 ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// At most 5 tags of at most 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// An icon, at most 2,048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
}

impl ResourceInfo {
    /// A resource with nothing but its URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            description: None,
            mime_type: None,
            service_name: None,
            tags: None,
            icon_url: None,
        }
    }
}

/// One offer on the wire.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// `exact`, `upto`, `batch-settlement`.
    pub scheme: String,
    /// A CAIP-2 identifier.
    pub network: String,
    /// Base units, a string of digits.
    pub amount: String,
    /// The token's address.
    pub asset: String,
    /// The payee's address.
    pub pay_to: String,
    /// Seconds.
    pub max_timeout_seconds: u64,
    /// What the scheme needs besides.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub extra: Object,
}

impl PaymentRequirements {
    /// The terms, independent of the version.
    ///
    /// # Errors
    /// [`ProtocolError::Money`] for an amount or a network that means nothing, [`ProtocolError::Field`] for an empty
    /// scheme, asset or payee and for a timeout of zero.
    pub fn requirements(self) -> Result<Requirements, ProtocolError> {
        let network = match Network::from_v1_name(&self.network) {
            // The specification allows CAIP-2 only here; a v1 name is another chain's word for something else.
            Some(_) => Err(farthing_money::MoneyError::BadNetwork(self.network.clone())),
            None => self.network.parse::<Network>(),
        };
        Requirements {
            network: network.map_err(ProtocolError::money("network"))?,
            amount: BaseUnits::from_digits(&self.amount).map_err(ProtocolError::money("amount"))?,
            scheme: self.scheme,
            asset: self.asset,
            pay_to: self.pay_to,
            max_timeout_seconds: self.max_timeout_seconds,
            extra: self.extra,
        }
        .checked()
    }
}

impl From<&Requirements> for PaymentRequirements {
    fn from(terms: &Requirements) -> Self {
        Self {
            scheme: terms.scheme.clone(),
            network: terms.network.to_string(),
            amount: terms.amount.to_string(),
            asset: terms.asset.clone(),
            pay_to: terms.pay_to.clone(),
            max_timeout_seconds: terms.max_timeout_seconds,
            extra: terms.extra.clone(),
        }
    }
}

/// Reads one raw offer.
///
/// # Errors
/// [`ProtocolError`] naming the field.
pub fn requirements(raw: &RawValue) -> Result<Requirements, ProtocolError> {
    serde_json::from_str::<PaymentRequirements>(raw.get())
        .map_err(ProtocolError::json("an offer"))?
        .requirements()
}

/// The `PAYMENT-SIGNATURE` header, its keys in the reference's order.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// Always 2.
    #[serde(rename = "x402Version", deserialize_with = "two")]
    pub x402_version: u8,
    /// What the scheme signs.
    pub payload: Box<RawValue>,
    /// The extensions, echoed and filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Box<RawValue>>,
    /// The resource, echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Box<RawValue>>,
    /// The offer that is answered, echoed.
    pub accepted: Box<RawValue>,
}

impl fmt::Debug for PaymentPayload {
    /// Leaves out `payload` and `extensions`: they hold signatures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentPayload")
            .field("x402_version", &self.x402_version)
            .field("resource", &self.resource)
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}

fn two<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    super::facilitator::version(deserializer, 2)
}
