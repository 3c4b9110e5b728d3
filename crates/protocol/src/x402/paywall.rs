use serde_json::value::RawValue;

use super::{encode_header, v1, v2};
use crate::{Object, ProtocolError, Requirements};

/// Everything a server needs to ask for one payment, made once per route and not per request.
#[derive(Debug, Clone)]
pub struct Paywall {
    required: v2::PaymentRequired,
    v2_header: String,
    v1_accepts: String,
    offers: Vec<ServerOffer>,
}

/// One offer of a server, with the forms that it is compared and sent in.
#[derive(Debug, Clone)]
pub struct ServerOffer {
    /// The terms.
    pub requirements: Requirements,
    /// The offer in version 2's form, to compare an echo with.
    pub echo: Object,
    /// The offer in version 2's form, for a facilitator.
    pub raw_v2: Box<RawValue>,
    /// The offer in version 1's form, for a facilitator; none where version 1 has no name for the network.
    pub raw_v1: Option<Box<RawValue>>,
}

impl Paywall {
    /// Prepares the 402 for a resource.
    ///
    /// # Errors
    /// [`ProtocolError::Field`] without any offer: an empty price list must never mean free.
    pub fn new(resource: &v2::ResourceInfo, offers: &[Requirements]) -> Result<Self, ProtocolError> {
        if offers.is_empty() {
            return Err(ProtocolError::Field {
                field: "accepts",
                why: "a paywall needs at least one offer".into(),
            });
        }
        let json = ProtocolError::json;
        let offers =
            offers.iter().map(|terms| ServerOffer::new(resource, terms)).collect::<Result<Vec<_>, _>>()?;
        let resource = described(resource);
        let required = v2::PaymentRequired {
            x402_version: 2,
            error: Some("Payment required".to_owned()),
            resource: Some(serde_json::value::to_raw_value(&resource).map_err(json("the resource"))?),
            accepts: offers.iter().map(|offer| offer.raw_v2.clone()).collect(),
            extensions: None,
        };
        let v1: Vec<&RawValue> = offers.iter().filter_map(|offer| offer.raw_v1.as_deref()).collect();
        Ok(Self {
            v2_header: encode_header(&required)?,
            v1_accepts: serde_json::to_string(&v1).map_err(json("the offers"))?,
            required,
            offers,
        })
    }

    /// The same 402 with these extensions advertised in version 2 (version 1 has none).
    ///
    /// # Errors
    /// [`ProtocolError::Json`]
    pub fn with_extensions(mut self, extensions: Box<RawValue>) -> Result<Self, ProtocolError> {
        self.required.extensions = Some(extensions);
        self.v2_header = encode_header(&self.required)?;
        Ok(self)
    }

    /// The `PAYMENT-REQUIRED` header.
    #[must_use]
    pub fn v2_header(&self) -> &str {
        &self.v2_header
    }

    /// The `PAYMENT-REQUIRED` header with the reason why an attached payment was not accepted. A reason is cut at 256
    /// bytes, so that the header stays one that every server and proxy lets through.
    ///
    /// # Errors
    /// [`ProtocolError::Json`]
    pub fn v2_refusal(&self, error: &str) -> Result<String, ProtocolError> {
        let error = Some(error[..error.floor_char_boundary(256)].to_owned());
        encode_header(&v2::PaymentRequired { error, ..self.required.clone() })
    }

    /// The extensions that are advertised, to compare an echo with.
    #[must_use]
    pub fn extensions(&self) -> Option<&RawValue> {
        self.required.extensions.as_deref()
    }

    /// The 402's body in version 1's form, with the reason why an attached payment was not accepted.
    #[must_use]
    pub fn v1_body(&self, error: Option<&str>) -> String {
        let error = serde_json::Value::from(error.unwrap_or("Payment required"));
        format!(r#"{{"x402Version":1,"error":{error},"accepts":{}}}"#, self.v1_accepts)
    }

    /// The offers, in the order of preference.
    #[must_use]
    pub fn offers(&self) -> &[ServerOffer] {
        &self.offers
    }
}

/// As the reference writes it: `description` and `mimeType` always stand there, since some clients read them unasked.
fn described(resource: &v2::ResourceInfo) -> v2::ResourceInfo {
    let mut resource = resource.clone();
    resource.description.get_or_insert_default();
    resource.mime_type.get_or_insert_default();
    resource
}

impl ServerOffer {
    fn new(resource: &v2::ResourceInfo, terms: &Requirements) -> Result<Self, ProtocolError> {
        let json = ProtocolError::json;
        let raw_v2 = serde_json::value::to_raw_value(&v2::PaymentRequirements::from(terms))
            .map_err(json("an offer"))?;
        let raw_v1 = v1::PaymentRequirements::new(terms, resource)
            .map(|wire| serde_json::value::to_raw_value(&wire).map_err(json("an offer")))
            .transpose()?;
        let echo = serde_json::from_str(raw_v2.get()).map_err(json("an offer"))?;
        Ok(Self { requirements: terms.clone(), echo, raw_v2, raw_v1 })
    }
}
