//! `offers` of `x-payment-info`: the ways of paying, each with its amount.

use farthing_money::{Asset, BaseUnits, Decimal, Network, Registry, Usd};
use serde::Serialize;

use super::Code;
use super::node::{self, Findings, Node};
use super::price::{AdvertisedPrice, MAX_ENTRIES, NAME, PriceMode};

/// The most characters that are kept of a description.
const DESCRIPTION: usize = 500;

/// One way of paying, as `offers` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdvertisedOffer {
    /// `charge`, or `session`, where `amount` is the price of a unit.
    pub intent: String,
    /// `x402`, `tempo`, `stripe`.
    pub method: String,
    /// The chain, where it is named.
    pub network: Option<Network>,
    /// What it costs in the currency's smallest unit; `None` where that depends on the call.
    pub amount: Option<BaseUnits>,
    /// A token's address, or ISO 4217.
    pub currency: Option<String>,
    /// What it is worth in dollars, where that is known.
    pub value: Option<Usd>,
    /// For people.
    pub description: Option<String>,
}

/// `offers`, or the fields of a single offer in the place of the list.
pub(super) fn read_offers(
    info: &Node<'_>,
    registry: &Registry,
    findings: &mut Findings,
) -> Vec<AdvertisedOffer> {
    if info.get("offers").is_none() && info.get("intent").is_some() && info.get("price").is_none() {
        return read_offer(info, registry, findings).into_iter().collect();
    }
    let offers = info.items("offers", findings);
    offers.iter().take(MAX_ENTRIES).filter_map(|offer| read_offer(offer, registry, findings)).collect()
}

fn read_offer(offer: &Node<'_>, registry: &Registry, findings: &mut Findings) -> Option<AdvertisedOffer> {
    offer.object(findings)?;
    let mut name = |key: &'static str| {
        let name = offer.text(key, NAME, findings);
        if name.is_none() {
            findings.add(Code::MissingField, &offer.at_key(key), format!("an offer has no `{key}`"));
        }
        name
    };
    let (intent, method) = (name("intent")?, name("method")?);
    let amount = match units(offer, findings) {
        Ok(amount) => amount,
        Err(()) => return None,
    };
    let currency = offer.text("currency", NAME, findings);
    let network = offer.text("network", NAME, findings).and_then(|network| network.parse().ok());
    let value = value(amount, currency.as_deref(), network.as_ref(), registry);
    let description = offer.text("description", DESCRIPTION, findings);
    Some(AdvertisedOffer { intent, method, network, amount, currency, value, description })
}

/// An integer in quotes, or nothing where the price depends on the call.
fn units(offer: &Node<'_>, findings: &mut Findings) -> Result<Option<BaseUnits>, ()> {
    let Some(node) = offer.get("amount") else { return Ok(None) };
    let read = match node.value.as_str() {
        Some(text) if text.len() > 1 && text.starts_with('0') => Err("it begins with a zero".to_owned()),
        Some(text) => BaseUnits::from_digits(text).map_err(|why| why.to_string()),
        None => Err(format!("it is {}; amounts are written in quotes", node::kind(node.value))),
    };
    read.map(Some).map_err(|why| findings.add(Code::MalformedPrice, &node.at, why))
}

/// What an amount is worth: cents of the dollar, or units of a known token.
fn value(
    amount: Option<BaseUnits>,
    currency: Option<&str>,
    network: Option<&Network>,
    registry: &Registry,
) -> Option<Usd> {
    let (amount, currency) = (amount?, currency?);
    if currency.eq_ignore_ascii_case("usd") {
        return Decimal::new(amount.get(), 2).ok().and_then(|dollars| Usd::from_decimal(dollars).ok());
    }
    let on = |asset: &Asset| network.is_none_or(|network| *network == asset.network);
    let mut known = registry
        .iter()
        .filter(|asset| on(asset) && asset.network.same_address(&asset.address, currency))
        .map(|asset| asset.value(amount).ok());
    let first = known.next()?;
    // The same address on two chains, counted differently: nobody knows which is meant.
    known.all(|other| other == first).then_some(first).flatten()
}

/// The price that the offers make together: that of those whose worth is known.
pub(super) fn price_of(offers: &[AdvertisedOffer]) -> Option<AdvertisedPrice> {
    let values = || offers.iter().filter_map(|offer| offer.value);
    let open = offers.iter().any(|offer| offer.amount.is_none() || offer.intent == "session");
    let (min, max) = (values().min(), values().max());
    match (min, open) {
        (None, false) => None,
        (_, true) => Some(AdvertisedPrice::from_dollars(PriceMode::Dynamic, min, None)),
        (Some(_), false) if min == max => Some(AdvertisedPrice::from_dollars(PriceMode::Fixed, min, max)),
        (Some(_), false) => Some(AdvertisedPrice::from_dollars(PriceMode::Dynamic, min, max)),
    }
}
