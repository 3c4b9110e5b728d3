//! `x-payment-info`: what an operation is said to cost.

use std::fmt;

use farthing_money::{Decimal, Registry, Usd};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::node::{Findings, Node};
use super::offer::{AdvertisedOffer, price_of, read_offers};
use super::{Code, node};
use crate::error::printable;

/// The most offers or protocols that are read of one operation.
pub(super) const MAX_ENTRIES: usize = 50;
/// The most characters that are kept of a name.
pub(super) const NAME: usize = 100;
/// Why there may be no price.
const NO_PRICE: [Code; 3] = [Code::MissingPrice, Code::MalformedPrice, Code::ReversedRange];

/// Whether the price is known before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PriceMode {
    /// Every call costs the same.
    Fixed,
    /// It depends on the call.
    Dynamic,
}

/// A price as a document advertises it, exact. The live 402 has the last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvertisedPrice {
    /// Fixed or not.
    pub mode: PriceMode,
    /// The least that a call costs.
    pub min: Option<Decimal>,
    /// The most that a call costs; the same as `min` where it is fixed.
    pub max: Option<Decimal>,
    /// ISO 4217, upper case: `USD`.
    pub currency: String,
}

impl AdvertisedPrice {
    /// Minimum and maximum in dollars; `None` for another currency.
    #[must_use]
    pub fn dollars(&self) -> Option<(Option<Usd>, Option<Usd>)> {
        let dollars = |amount: Option<Decimal>| amount.and_then(|amount| Usd::from_decimal(amount).ok());
        (self.currency == "USD").then(|| (dollars(self.min), dollars(self.max)))
    }

    /// Whether a live price is one that this promised. What is in another currency is not contradicted.
    #[must_use]
    pub fn promised(&self, live: Usd) -> bool {
        self.dollars()
            .is_none_or(|(min, max)| min.is_none_or(|min| min <= live) && max.is_none_or(|max| live <= max))
    }

    /// So many dollars, whatever is called for.
    pub(super) fn fixed(dollars: Usd) -> Self {
        Self::from_dollars(PriceMode::Fixed, Some(dollars), Some(dollars))
    }

    pub(super) fn from_dollars(mode: PriceMode, min: Option<Usd>, max: Option<Usd>) -> Self {
        let decimal = |usd: Option<Usd>| usd.and_then(|usd| Decimal::new(usd.get(), Usd::DECIMALS).ok());
        Self { mode, min: decimal(min), max: decimal(max), currency: "USD".to_owned() }
    }
}

impl fmt::Display for AdvertisedPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |amount: Decimal| match Usd::from_decimal(amount) {
            Ok(dollars) if self.currency == "USD" => dollars.to_string(),
            _ => format!("{amount} {}", printable(&self.currency)),
        };
        match (self.min.map(shown), self.max.map(shown)) {
            (Some(min), Some(max)) if min == max => f.write_str(&min),
            (Some(min), Some(max)) => write!(f, "{min} to {max}"),
            (Some(min), None) => write!(f, "from {min}"),
            (None, Some(max)) => write!(f, "up to {max}"),
            (None, None) => f.write_str("varies"),
        }
    }
}

impl Serialize for AdvertisedPrice {
    /// Amounts as text, and the whole for people.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |amount: Option<Decimal>| amount.map(|amount| amount.to_string());
        json!({"mode": self.mode, "min": text(self.min), "max": text(self.max), "currency": self.currency,
            "text": self.to_string()})
        .serialize(serializer)
    }
}

/// A payment protocol that an operation is said to speak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdvertisedProtocol {
    /// `x402`, `mpp`, or what else it is called.
    pub name: String,
    /// MPP's payment method: `tempo`.
    pub method: Option<String>,
    /// MPP's intent: `charge`, `session`.
    pub intent: Option<String>,
}

impl AdvertisedProtocol {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), method: None, intent: None }
    }
}

/// All that `x-payment-info` says.
#[derive(Debug, Default)]
pub(super) struct PaymentInfo {
    pub(super) price: Option<AdvertisedPrice>,
    pub(super) offers: Vec<AdvertisedOffer>,
    pub(super) protocols: Vec<AdvertisedProtocol>,
}

impl PaymentInfo {
    pub(super) fn read(info: &Node<'_>, registry: &Registry, findings: &mut Findings) -> Self {
        if !info.is_object(findings) {
            return Self::default();
        }
        let before = findings.count(&NO_PRICE);
        let offers = read_offers(info, registry, findings);
        let offered = price_of(&offers);
        let said = read_price(info, &offers, findings);
        if let (Some(said), Some(offered)) = (&said, &offered)
            && said.currency == offered.currency
            && (said.min, said.max) != (offered.min, offered.max)
        {
            let message = format!("`price` says {said}, `offers` says {offered}");
            findings.add(Code::PricesDisagree, &info.at, message);
        }
        let protocols = read_protocols(info, &offers, findings);
        let price = said.or(offered);
        // Why there is none may have been told already.
        if price.is_some() || findings.count(&NO_PRICE) == before {
            check_price(info, price.as_ref(), &offers, findings);
        }
        Self { price, offers, protocols }
    }
}

fn check_price(
    info: &Node<'_>,
    price: Option<&AdvertisedPrice>,
    offers: &[AdvertisedOffer],
    findings: &mut Findings,
) {
    match price {
        Some(price) if price.max.is_none() => {
            findings.add(Code::PriceWithoutMax, &info.at, format!("the price is {price}"));
        }
        Some(price) if price.currency != "USD" => {
            findings.add(Code::UnknownCurrency, &info.at, format!("the price is {price}"));
        }
        Some(_) => {}
        None if offers.is_empty() => findings.add(Code::MissingPrice, &info.at, "there is no price"),
        None => findings.add(Code::UnknownCurrency, &info.at, "no offer is in a known currency"),
    }
}

/// `price` as an object; else the legacy forms.
fn read_price(
    info: &Node<'_>,
    offers: &[AdvertisedOffer],
    findings: &mut Findings,
) -> Option<AdvertisedPrice> {
    match info.get("price") {
        Some(price) if price.value.is_object() => structured(&price, findings),
        // The short form of a single offer.
        None if !offers.is_empty() => None,
        _ => legacy(info, findings),
    }
}

fn structured(price: &Node<'_>, findings: &mut Findings) -> Option<AdvertisedPrice> {
    let mode = price.text("mode", NAME, findings);
    let currency = currency(price, findings);
    match mode.as_deref() {
        Some("fixed") => fixed(price, "amount", currency, findings),
        Some("dynamic") => range(price, ["min", "max"], currency, findings),
        other => {
            let message = other.map_or_else(
                || "there is no `mode`".to_owned(),
                |mode| format!("`{}` is no mode", printable(mode)),
            );
            findings.add(Code::UnknownPricingMode, &price.at_key("mode"), message);
            if price.get("amount").is_some() {
                return fixed(price, "amount", currency, findings);
            }
            let bounded = ["min", "max"].iter().any(|key| price.get(key).is_some());
            bounded.then(|| range(price, ["min", "max"], currency, findings)).flatten()
        }
    }
}

/// `pricingMode` fixed, range or quote, with `price`, `minPrice` and `maxPrice`.
fn legacy(info: &Node<'_>, findings: &mut Findings) -> Option<AdvertisedPrice> {
    let mode = info.text("pricingMode", NAME, findings);
    let bounded = ["minPrice", "maxPrice"].iter().any(|key| info.get(key).is_some());
    if mode.is_none() && !bounded && info.get("price").is_none() {
        return None;
    }
    findings.add(Code::LegacyPaymentInfo, &info.at, "the price is written flat");
    let currency = currency(info, findings);
    match mode.as_deref() {
        Some("fixed") => fixed(info, "price", currency, findings),
        Some("range" | "quote") => range(info, ["minPrice", "maxPrice"], currency, findings),
        other => {
            if let Some(other) = other {
                let message = format!("`{}` is no mode", printable(other));
                findings.add(Code::UnknownPricingMode, &info.at_key("pricingMode"), message);
            }
            match info.get("price") {
                Some(_) => fixed(info, "price", currency, findings),
                None if bounded => range(info, ["minPrice", "maxPrice"], currency, findings),
                None => None,
            }
        }
    }
}

/// Dollars unless it says otherwise. Tokens named after the dollar count as dollars.
fn currency(price: &Node<'_>, findings: &mut Findings) -> String {
    let name = price.text("currency", NAME, findings).map(|name| name.to_ascii_uppercase());
    match name.as_deref() {
        None | Some("USD" | "USDC") => "USD".to_owned(),
        Some(name) => name.to_owned(),
    }
}

fn fixed(price: &Node<'_>, key: &str, currency: String, findings: &mut Findings) -> Option<AdvertisedPrice> {
    let amount = amount(price, key, findings);
    if price.get(key).is_none() {
        findings.add(Code::MissingPrice, &price.at_key(key), format!("a fixed price has no `{key}`"));
    }
    amount.map(|amount| AdvertisedPrice {
        mode: PriceMode::Fixed,
        min: Some(amount),
        max: Some(amount),
        currency,
    })
}

fn range(
    price: &Node<'_>,
    keys: [&str; 2],
    currency: String,
    findings: &mut Findings,
) -> Option<AdvertisedPrice> {
    let [min, max] = keys.map(|key| amount(price, key, findings));
    // A bound that is there and cannot be read must not become no bound.
    let unread = keys.iter().zip([&min, &max]).any(|(key, read)| read.is_none() && price.get(key).is_some());
    if unread {
        return None;
    }
    let scaled =
        |amount: Option<Decimal>| amount.and_then(|amount| amount.scaled(Usd::DECIMALS).ok().flatten());
    if let (Some(least), Some(most)) = (scaled(min), scaled(max))
        && least > most
    {
        findings.add(Code::ReversedRange, &price.at, "the minimum is above the maximum");
        return None;
    }
    Some(AdvertisedPrice { mode: PriceMode::Dynamic, min, max, currency })
}

/// A decimal number in quotes; a dollar sign in front does no harm.
fn amount(price: &Node<'_>, key: &str, findings: &mut Findings) -> Option<Decimal> {
    let node = price.get(key)?;
    let read = match node.value.as_str() {
        Some(text) => {
            let text = text.trim();
            let read = text.strip_prefix('$').unwrap_or(text).parse::<Decimal>();
            read.and_then(|amount| amount.scaled(Usd::DECIMALS).map(|_| amount))
                .map_err(|why| why.to_string())
        }
        None => Err(format!("it is {}; amounts are written in quotes", node::kind(node.value))),
    };
    match read {
        Ok(amount) => Some(amount),
        Err(why) => {
            findings.add(Code::MalformedPrice, &node.at, why);
            None
        }
    }
}

fn read_protocols(
    info: &Node<'_>,
    offers: &[AdvertisedOffer],
    findings: &mut Findings,
) -> Vec<AdvertisedProtocol> {
    let listed = info.items("protocols", findings);
    let mut protocols: Vec<_> =
        listed.iter().take(MAX_ENTRIES).filter_map(|entry| read_protocol(entry, findings)).collect();
    // mpp-specs has no `protocols`: an offer's method says it.
    for offer in offers.iter().filter(|_| listed.is_empty()) {
        let (name, method) =
            if offer.method == "x402" { ("x402", None) } else { ("mpp", Some(&offer.method)) };
        let intent = method.map(|_| offer.intent.clone());
        let protocol = AdvertisedProtocol { name: name.to_owned(), method: method.cloned(), intent };
        if !protocols.contains(&protocol) {
            protocols.push(protocol);
        }
    }
    if protocols.is_empty() {
        findings.add(Code::MissingProtocols, &info.at, "there is no protocol");
    }
    protocols
}

/// `{"x402": {…}}`, `{"mpp": {…}}`, or the legacy bare name.
fn read_protocol(entry: &Node<'_>, findings: &mut Findings) -> Option<AdvertisedProtocol> {
    if let Some(name) = entry.value.as_str() {
        findings.add(Code::LegacyPaymentInfo, &entry.at, "a protocol is written as a bare name");
        return Some(AdvertisedProtocol::named(&node::cut(name, NAME)));
    }
    let mut entries = entry.entries();
    let Some((name, details)) = entries.next() else {
        findings.add(Code::MalformedProtocol, &entry.at, "it is no object with a protocol's name");
        return None;
    };
    let mut protocol = AdvertisedProtocol::named(&node::cut(name, NAME));
    let well_formed = match name {
        "mpp" => {
            let mut part = |key| details.text(key, NAME, findings).filter(|text| !text.is_empty());
            (protocol.method, protocol.intent) = (part("method"), part("intent"));
            protocol.method.is_some() && protocol.intent.is_some() && part("currency").is_some()
        }
        "x402" => details.value.is_object(),
        _ => {
            findings.add(Code::UnknownProtocol, &entry.at, format!("`{}` is not known", printable(name)));
            true
        }
    };
    if !well_formed {
        findings.add(
            Code::MalformedProtocol,
            &entry.at,
            format!("`{name}` is not described as it should be"),
        );
    }
    Some(protocol)
}
