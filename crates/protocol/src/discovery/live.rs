//! What is advertised, against the live answer.

use farthing_money::{BaseUnits, Network, Registry, Usd};
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::{AdvertisedOffer, AdvertisedPrice, AdvertisedProtocol, AuthMode, Bazaar, Code, Finding, normal};
use crate::error::printable;
use crate::{Challenge, Object, Offer, Protocol, ProtocolError};

/// What was asked for, and what its origin's documents say of it.
#[derive(Debug)]
pub struct Advertised<'a> {
    /// The method.
    pub method: &'a str,
    /// The address.
    pub url: &'a Url,
    /// Whether a document describes it.
    pub documented: bool,
    /// Whether arguments were made up, or are of the caller's choice, so that a 404 says nothing of the route.
    pub made_up: bool,
    /// What a call is said to need.
    pub auth: Option<AuthMode>,
    /// What it is said to cost.
    pub price: Option<&'a AdvertisedPrice>,
    /// How it is said to be paid.
    pub protocols: &'a [AdvertisedProtocol],
    /// The ways of paying, where they are listed.
    pub offers: &'a [AdvertisedOffer],
}

/// One offer of a live 402.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveOffer {
    /// `x402-v2`, `x402-v1`.
    pub protocol: &'static str,
    /// `exact`.
    pub scheme: String,
    /// The chain.
    pub network: Network,
    /// The token.
    pub asset: String,
    /// Base units of it.
    pub amount: BaseUnits,
    /// What the amount is worth, if the token is known.
    pub value: Option<Usd>,
    /// Who is paid.
    pub pay_to: String,
}

impl LiveOffer {
    /// The offer, with what the registry knows of its token.
    #[must_use]
    pub fn of(offer: &Offer, registry: &Registry) -> Self {
        let terms = &offer.requirements;
        let asset = registry.get(&terms.network, &terms.asset).ok();
        Self {
            protocol: offer.protocol.as_str(),
            scheme: terms.scheme.clone(),
            network: terms.network.clone(),
            asset: terms.asset.clone(),
            amount: terms.amount,
            value: asset.and_then(|asset| asset.value(terms.amount).ok()),
            pay_to: terms.pay_to.clone(),
        }
    }
}

/// Everything that is wrong with a live answer by itself, and beside what is advertised. `challenge` is what a 402 asks
/// for; `mpp` whether it asks for MPP as well, where that is known.
#[must_use]
pub fn compare(
    advertised: &Advertised<'_>,
    status: u16,
    challenge: Option<Result<&Challenge, &ProtocolError>>,
    mpp: Option<bool>,
    registry: &Registry,
) -> Vec<Finding> {
    let place = format!("{} {}", advertised.method, advertised.url);
    let mut judge = Judge { advertised, place, registry, found: Vec::new() };
    match (status, challenge) {
        (402, Some(challenge)) => judge.payment_required(challenge, mpp),
        _ => judge.no_payment_required(status),
    }
    judge.found
}

struct Judge<'a> {
    advertised: &'a Advertised<'a>,
    place: String,
    registry: &'a Registry,
    found: Vec<Finding>,
}

impl Judge<'_> {
    /// Versions 1 and 2 of one offer have the same faults; they are named once.
    fn find(&mut self, code: Code, message: impl Into<String>) {
        let finding = Finding::new(code, &self.place, message);
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    fn no_payment_required(&mut self, status: u16) {
        if !self.advertised.auth.is_some_and(AuthMode::is_paid) {
            return;
        }
        let message = format!("it answered {status}");
        match status {
            200..=299 => self.find(Code::PricedButFree, message),
            404 | 410 if !self.advertised.made_up => self.find(Code::PricedButMissing, message),
            500..=599 => self.find(Code::ServerError, message),
            _ => self.find(Code::NotProbed, format!("{message}, and named no price")),
        }
    }

    fn payment_required(&mut self, challenge: Result<&Challenge, &ProtocolError>, mpp: Option<bool>) {
        match self.advertised.auth {
            _ if !self.advertised.documented => self.find(Code::Undocumented, "no document describes it"),
            Some(auth) if !auth.is_paid() => {
                self.find(Code::FreeButPriced, format!("the document says `{}`", auth.as_str()));
            }
            None => self.find(Code::FreeButPriced, "the document says nothing of payment"),
            Some(_) => {}
        }
        match challenge {
            Ok(challenge) => self.challenge(challenge),
            // MPP alone, without x402, is a 402 like any other.
            Err(_) if mpp == Some(true) => {}
            Err(error) => self.find(Code::Unreadable402, error.to_string()),
        }
        self.protocols(challenge.is_ok(), mpp);
    }

    fn challenge(&mut self, challenge: &Challenge) {
        for offer in &challenge.unreadable {
            self.find(Code::UnreadableOffer, offer.why.clone());
        }
        for offer in &challenge.offers {
            self.asset(offer);
            self.price(offer);
        }
        self.offered(challenge);
        self.resource(challenge);
        if Bazaar::of(challenge).is_none() {
            self.find(Code::MissingBazaarSchema, "there is no `extensions.bazaar`");
        }
    }

    fn asset(&mut self, offer: &Offer) {
        let terms = &offer.requirements;
        let Ok(asset) = self.registry.get(&terms.network, &terms.asset) else {
            let message = format!("{} on {}", printable(&terms.asset), terms.network);
            return self.find(Code::UnknownAsset, message);
        };
        let Some(domain) = asset.eip712.as_ref().filter(|_| is_signed_under_the_tokens_domain(offer)) else {
            return;
        };
        for (key, right) in [("name", &domain.name), ("version", &domain.version)] {
            match terms.extra.str(key) {
                Some(said) if said == right => {}
                said => {
                    let said =
                        said.map_or_else(|| "missing".to_owned(), |said| format!("`{}`", printable(said)));
                    let (symbol, network) = (&asset.symbol, asset.network.display_name());
                    let message =
                        format!("`extra.{key}` is {said}; {symbol} on {network} signs under `{right}`");
                    self.find(Code::WrongEip712Domain, message);
                }
            }
        }
    }

    fn price(&mut self, offer: &Offer) {
        let live = LiveOffer::of(offer, self.registry);
        let (Some(price), Some(value)) = (self.advertised.price, live.value) else { return };
        // Of other schemes the amount is a ceiling.
        let promised = match live.scheme.as_str() {
            "exact" => price.promised(value),
            _ => price.dollars().is_none_or(|(_, max)| max.is_none_or(|max| value <= max)),
        };
        if !promised {
            let network = live.network.display_name();
            self.find(Code::PriceMismatch, format!("advertised {price}, charged {value} on {network}"));
        }
    }

    /// An offer that is advertised, and that nothing can be paid by, misleads who holds that token alone.
    fn offered(&mut self, challenge: &Challenge) {
        let advertised: Vec<_> =
            self.advertised.offers.iter().filter(|offer| offer.method == "x402").collect();
        let is_offered = |offer: &&AdvertisedOffer| {
            challenge.offers.iter().any(|live| is_on_the_network_in_the_token(live, offer, self.registry))
        };
        if !challenge.offers.is_empty() && !advertised.is_empty() && !advertised.iter().any(is_offered) {
            let said = |offer: &&AdvertisedOffer| {
                let network =
                    offer.network.as_ref().map_or_else(String::new, |network| format!(" on {network}"));
                format!("{}{network}", printable(offer.currency.as_deref().unwrap_or("any token")))
            };
            let said: Vec<String> = advertised.iter().take(5).map(said).collect();
            self.find(Code::OfferNotOffered, format!("advertised: {}", said.join(", ")));
        }
    }

    /// Version 2 names the resource once, version 1 in each offer.
    fn resource(&mut self, challenge: &Challenge) {
        let v2 = challenge.offers.iter().any(|offer| offer.protocol == Protocol::X402V2);
        let resource =
            challenge.resource.as_ref().and_then(|raw| serde_json::from_str::<Object>(raw.get()).ok());
        let url = resource.as_ref().and_then(|resource| resource.0.get("url")).and_then(Value::as_str);
        if v2 && url.is_none_or(str::is_empty) {
            self.find(Code::MissingResourceUrl, "there is no `resource.url`");
        }
        let urls = challenge.offers.iter().filter_map(|offer| offer.resource_url.as_deref());
        for url in urls.filter(|url| !url.is_empty()) {
            self.resource_url(url);
        }
    }

    fn resource_url(&mut self, text: &str) {
        let asked = self.advertised.url;
        let shown = printable(text);
        match asked.join(text) {
            Ok(url) if url.origin() != asked.origin() => {
                self.find(Code::ResourceUrlOfAnotherOrigin, format!("it says `{shown}`"));
            }
            Ok(url) if normal(url.path()) != normal(asked.path()) => {
                self.find(Code::ResourceUrlOfAnotherPath, format!("it says `{shown}`"));
            }
            Ok(_) => {}
            Err(_) => self.find(Code::ResourceUrlOfAnotherOrigin, format!("`{shown}` is no address")),
        }
    }

    fn protocols(&mut self, x402: bool, mpp: Option<bool>) {
        let offered = |name: &str| match name {
            "x402" => Some(x402),
            "mpp" => mpp,
            // Nobody here can tell.
            _ => None,
        };
        for protocol in self.advertised.protocols {
            if offered(&protocol.name) == Some(false) {
                self.find(Code::ProtocolNotOffered, format!("{} is advertised", printable(&protocol.name)));
            }
        }
    }
}

/// Whether the buyer signs the token's own message: EIP-3009, which is meant where nothing else is said. By `permit2`
/// another contract is signed for, under its own domain.
fn is_signed_under_the_tokens_domain(offer: &Offer) -> bool {
    let terms = &offer.requirements;
    let method = terms.extra.0.get("assetTransferMethod").filter(|method| !method.is_null());
    terms.scheme == "exact" && method.is_none_or(|method| method == "eip3009")
}

/// Whether a live offer is what an advertised one says, as far as that says it. A currency is a token's address, its
/// symbol, or the dollar that it is worth.
fn is_on_the_network_in_the_token(live: &Offer, advertised: &AdvertisedOffer, registry: &Registry) -> bool {
    let terms = &live.requirements;
    let token = |currency: &str| {
        let known = registry.get(&terms.network, &terms.asset);
        let named = known.is_ok_and(|asset| {
            currency.eq_ignore_ascii_case("usd") || currency.eq_ignore_ascii_case(&asset.symbol)
        });
        named || terms.network.same_address(&terms.asset, currency)
    };
    advertised.network.as_ref().is_none_or(|network| *network == terms.network)
        && advertised.currency.as_deref().is_none_or(token)
}

/// Whether a `WWW-Authenticate` header asks for MPP's scheme, `Payment`.
#[must_use]
pub fn asks_for_mpp(header: &str) -> bool {
    let begins = |challenge: &str| {
        let word = challenge.split_whitespace().next();
        word.is_some_and(|word| word.eq_ignore_ascii_case("payment"))
    };
    header.split(',').any(begins)
}
