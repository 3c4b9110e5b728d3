//! Money sent out without a seller: the same decision, reservation, signature and record as for a purchase.

use farthing_ledger::Purchase;
use farthing_money::{Asset, BaseUnits};
use farthing_protocol::x402::{FacilitatorRequest, Payment, v2};
use farthing_protocol::{Challenge, Offer, Protocol, ProtocolError, Requirements};
use http::Method;
use serde_json::json;
use serde_json::value::RawValue;

use crate::{Authorization, Request, WalletError};

/// How long a transfer's signature can settle, in seconds. Until then it stays reserved if nobody brings it onto a chain.
const VALID_SECONDS: u64 = 600;

/// A transfer to an address, in the form in which a wallet decides, reserves and signs: an offer of which the payee is
/// the receiver, for a request that is never sent.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// What policies look at: the method [`Transfer::METHOD`], and an address on [`Transfer::HOST`].
    pub request: Request,
    /// The one offer.
    pub challenge: Challenge,
}

impl Transfer {
    /// The method under which transfers are decided and recorded.
    pub const METHOD: &str = "SEND";
    /// The scheme that its offer is of.
    pub const SCHEME: &str = "exact";
    /// The host under which they are: nobody's, by RFC 2606. A policy that lists hosts allows or forbids transfers by it.
    pub const HOST: &str = "send.invalid";

    /// A transfer of `amount` to `to`, an address as the network writes it.
    ///
    /// # Errors
    /// [`WalletError::Protocol`] where the address cannot stand in a record, or the asset has no signing domain.
    pub fn new(asset: &Asset, to: &str, amount: BaseUnits) -> Result<Self, WalletError> {
        let raw = offer(asset, to, amount)?;
        let requirements = v2::requirements(&raw)?;
        Ok(Self { request: request(to)?, challenge: challenge(requirements, raw) })
    }

    /// The request of a transfer that was recorded, for [`crate::Wallet::resume`].
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn request_again(purchase: &Purchase) -> Result<Request, WalletError> {
        request(&purchase.terms.pay_to)
    }

    /// Whether a purchase is a transfer: it has no seller, and no answer comes for it.
    #[must_use]
    pub fn is_one(purchase: &Purchase) -> bool {
        let nobodys = format!("https://{}/", Self::HOST);
        purchase.terms.method == Self::METHOD && purchase.terms.url.starts_with(&nobodys)
    }

    /// What whoever brings it onto the chain is asked.
    ///
    /// # Errors
    /// [`ProtocolError`] where the record cannot be read.
    pub fn to_settle(authorization: &Authorization) -> Result<FacilitatorRequest, ProtocolError> {
        let Authorization { header_name, header_value, purchase, .. } = authorization;
        let payment = Payment::from_header(header_name, header_value.as_bytes())?;
        let raw = RawValue::from_string(purchase.terms.offer.clone()).map_err(unreadable)?;
        Ok(FacilitatorRequest { payment, requirements: v2::requirements(&raw)?, raw_requirements: raw })
    }
}

fn request(to: &str) -> Result<Request, WalletError> {
    let unusable = |_| field("payTo", "it is no address");
    let method =
        Method::from_bytes(Transfer::METHOD.as_bytes()).map_err(|_| field("method", "it is none"))?;
    Request::new(method, &format!("https://{}/{to}", Transfer::HOST)).map_err(unusable)
}

fn offer(asset: &Asset, to: &str, amount: BaseUnits) -> Result<Box<RawValue>, WalletError> {
    let domain = asset.eip712.as_ref().ok_or_else(|| field("asset", "it has no signing domain"))?;
    let offer = json!({
        "scheme": Transfer::SCHEME, "network": asset.network, "amount": amount, "asset": asset.address, "payTo": to,
        "maxTimeoutSeconds": VALID_SECONDS, "extra": {"name": domain.name, "version": domain.version},
    });
    Ok(serde_json::value::to_raw_value(&offer).map_err(unreadable)?)
}

fn challenge(requirements: Requirements, raw: Box<RawValue>) -> Challenge {
    let (resource_url, description) = (None, None);
    let offer = Offer { protocol: Protocol::X402V2, requirements, resource_url, description, raw };
    Challenge { offers: vec![offer], unreadable: Vec::new(), error: None, resource: None, extensions: None }
}

fn unreadable(error: serde_json::Error) -> ProtocolError {
    ProtocolError::Field { field: "the offer", why: error.to_string() }
}

fn field(field: &'static str, why: &str) -> WalletError {
    ProtocolError::Field { field, why: why.to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_money::{Network, Registry};

    const TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

    #[test]
    fn it_is_an_offer_of_exactly_what_is_sent() {
        let registry = Registry::builtin();
        let usdc = registry.usdc(&Network::BASE).unwrap();
        let transfer = Transfer::new(usdc, TO, BaseUnits::new(1_250_000)).unwrap();
        let [offer] = transfer.challenge.offers.as_slice() else { panic!("one offer") };
        let terms = &offer.requirements;
        assert_eq!((terms.pay_to.as_str(), terms.amount.get()), (TO, 1_250_000));
        assert_eq!((&terms.network, &terms.asset), (&Network::BASE, &usdc.address));
        assert_eq!(transfer.request.host(), Transfer::HOST);
        assert_eq!(transfer.request.recorded_url(), format!("https://send.invalid/{TO}"));
    }

    #[test]
    fn what_cannot_be_signed_is_no_transfer() {
        let registry = Registry::builtin();
        let usdc = registry.usdc(&Network::BASE).unwrap();
        let unsigned = Asset { eip712: None, ..(**usdc).clone() };
        assert!(Transfer::new(&unsigned, TO, BaseUnits::new(1)).is_err());
    }
}
