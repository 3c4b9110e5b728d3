use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::without_bom;
use crate::x402::{self, v1, v2};
use crate::{MAX_BODY_BYTES, MAX_OFFERS, Object, Offer, Protocol, ProtocolError, Requirements};

/// Everything a 402 answer asks for, read from its headers and its body.
#[derive(Debug, Clone)]
pub struct Challenge {
    /// The offers that could be read: v2's first, each version in the seller's order.
    pub offers: Vec<Offer>,
    /// Offers that could not be read, with the reason.
    pub unreadable: Vec<UnreadableOffer>,
    /// The seller's words on why it answered 402.
    pub error: Option<String>,
    /// v2's resource object as it came, echoed in the payment.
    pub resource: Option<Box<RawValue>>,
    /// v2's extensions as they came, echoed in the payment.
    pub extensions: Option<Box<RawValue>>,
}

/// An offer that Farthing cannot read, and therefore never pays.
#[derive(Debug, Clone)]
pub struct UnreadableOffer {
    /// The protocol it came in.
    pub protocol: Protocol,
    /// Why it cannot be read.
    pub why: String,
    /// Its JSON as it came.
    pub raw: Box<RawValue>,
}

impl Challenge {
    /// Reads a 402 from its `PAYMENT-REQUIRED` header (v2) and its body (v1). Either may be missing or be something
    /// else altogether; a body that is not x402 is no error as long as the header is there, and an empty header is none.
    ///
    /// # Errors
    /// [`ProtocolError`] when neither carries an offer; a header that is there but broken is reported, never skipped.
    pub fn read(header: Option<&[u8]>, body: &[u8]) -> Result<Self, ProtocolError> {
        let mut challenge = Self {
            offers: Vec::new(),
            unreadable: Vec::new(),
            error: None,
            resource: None,
            extensions: None,
        };
        let header = header.filter(|value| !value.trim_ascii().is_empty());
        if let Some(header) = header {
            challenge.add_v2(x402::decode_header("PAYMENT-REQUIRED", header)?)?;
        }
        match (Self::read_body(body), header) {
            (Ok(Some(required)), _) => challenge.add_v1(required)?,
            (Err(error), None) => return Err(error),
            (Ok(None) | Err(_), _) => {}
        }
        if challenge.offers.is_empty() && challenge.unreadable.is_empty() {
            return Err(ProtocolError::NoOffers);
        }
        Ok(challenge)
    }

    /// `None` for a body that is not x402's at all.
    fn read_body(body: &[u8]) -> Result<Option<v1::PaymentRequired>, ProtocolError> {
        #[derive(Deserialize)]
        struct Version {
            #[serde(rename = "x402Version")]
            version: u64,
        }
        if body.len() > MAX_BODY_BYTES {
            return Err(ProtocolError::TooLarge {
                what: "the 402 body",
                bytes: body.len(),
                limit: MAX_BODY_BYTES,
            });
        }
        let body = without_bom(body);
        match serde_json::from_slice::<Version>(body) {
            Ok(Version { version: 1 }) => {
                serde_json::from_slice(body).map(Some).map_err(ProtocolError::json("the 402 body"))
            }
            // v2 puts its offers into the header; a copy in the body is the seller's convenience.
            Ok(Version { version: 2 }) | Err(_) => Ok(None),
            Ok(Version { version }) => Err(ProtocolError::Version(version)),
        }
    }

    fn add_v2(&mut self, required: v2::PaymentRequired) -> Result<(), ProtocolError> {
        // Only described by it, never bound to it: a resource that cannot be read costs its description, not the offer.
        let resource = required.resource.as_deref().map(|raw| serde_json::from_str::<Object>(raw.get()));
        let resource = resource.and_then(Result::ok).unwrap_or_default();
        let text = |key| resource.str(key).map(ToOwned::to_owned);
        self.add_all(Protocol::X402V2, required.accepts, |raw| {
            Ok((v2::requirements(raw)?, text("url"), text("description")))
        })?;
        self.error = required.error;
        self.resource = required.resource;
        self.extensions = required.extensions;
        Ok(())
    }

    fn add_v1(&mut self, required: v1::PaymentRequired) -> Result<(), ProtocolError> {
        self.add_all(Protocol::X402V1, required.accepts, |raw| {
            let wire = v1::PaymentRequirements::read(raw)?;
            Ok((wire.requirements()?, wire.resource, wire.description))
        })?;
        self.error = self.error.take().or(required.error);
        Ok(())
    }

    fn add_all(
        &mut self,
        protocol: Protocol,
        accepts: Vec<Box<RawValue>>,
        read: impl Fn(&RawValue) -> Result<Described, ProtocolError>,
    ) -> Result<(), ProtocolError> {
        if accepts.len() > MAX_OFFERS {
            let (what, count, limit) = ("`accepts`", accepts.len(), MAX_OFFERS);
            return Err(ProtocolError::TooMany { what, count, limit });
        }
        for raw in accepts {
            match read(&raw) {
                Ok((requirements, resource_url, description)) => {
                    self.offers.push(Offer { protocol, requirements, resource_url, description, raw });
                }
                Err(error) => self.unreadable.push(UnreadableOffer { protocol, why: error.to_string(), raw }),
            }
        }
        Ok(())
    }
}

/// An offer's terms, its resource's URL, and what the seller says about it.
type Described = (Requirements, Option<String>, Option<String>);
