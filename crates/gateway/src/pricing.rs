use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_money::{Asset, BaseUnits, Network, Price, Registry, Usd};
use farthing_protocol::x402::Flow;
use farthing_protocol::{MAX_OFFERS, Object, Requirements};
use http::{HeaderValue, Method};
use serde_json::json;
use serde_saphyr::{Location, Spanned};

use crate::config::{Accept, FlowText, RouteText, Unmatched};
use crate::discovery::{About, Discovery, Kind, Site, bazaar};
use crate::paywall::Terms;
use crate::route::Pattern;
use crate::{Config, ConfigError};

/// What a payment may take besides the handler and the settlement: the buyer's signing, the way, a retry.
const SLACK: Duration = Duration::from_secs(60);

/// Which request costs what: `gateway.yaml`'s routes, checked and made ready.
///
/// ```
/// use farthing_gateway::{Config, Pricing};
///
/// let config = Config::parse("gateway.yaml", r#"
/// public_url: https://api.example.com
/// pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
/// accepts: [base]
/// routes:
///   - {match: "GET /weather/{city}", price: "$0.002"}
/// "#)?;
/// assert!(Pricing::new(&config).is_ok());
///
/// let rounded = Config::parse("gateway.yaml", r#"
/// pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
/// accepts: [base]
/// routes:
///   - {match: "GET /weather", price: "$0.00000025"}
/// "#)?;
/// let error = Pricing::new(&rounded).unwrap_err();
/// assert_eq!(error.line, 5, "USDC has six decimals; nothing is rounded");
/// # Ok::<(), farthing_gateway::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Pricing {
    /// The most specific first.
    pub(crate) routes: Vec<Route>,
    pub(crate) unmatched: Unmatched,
    /// None where buyers are not told beforehand.
    pub(crate) discovery: Option<Discovery>,
}

/// Which requests, what they cost, and what is told of them.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) pattern: Pattern,
    pub(crate) charge: Charge,
    pub(crate) about: About,
}

/// What a request costs.
#[derive(Debug, Clone)]
pub(crate) enum Charge {
    Free { timeout: Option<Duration> },
    Paid(Arc<PaidRoute>),
    Refused,
}

/// A priced route.
#[derive(Debug)]
pub(crate) struct PaidRoute {
    /// `GET /weather/{city}`
    pub(crate) name: String,
    /// `$0.002 (USDC) on Base`, for each offer in their order.
    pub(crate) prices: Vec<String>,
    pub(crate) terms: Terms,
    /// What each offer is worth, in the same order.
    pub(crate) values: Vec<Usd>,
    /// For the handler.
    pub(crate) timeout: Duration,
}

impl PaidRoute {
    /// What one of this route's offers is worth in dollars.
    pub(crate) fn worth(&self, offer: &Requirements) -> Usd {
        let at = self.terms.requirements().position(|known| known == offer);
        at.and_then(|at| self.values.get(at)).copied().unwrap_or(Usd::new(u128::MAX))
    }
}

impl Pricing {
    /// Checks the routes of a configuration and prepares their 402s.
    ///
    /// # Errors
    /// [`ConfigError`] with the place: a price that its asset cannot express, a route twice, a priced route without
    /// offers, an unknown asset.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let compiler = Compiler::new(config)?;
        let text = &config.text;
        if text.routes.value.is_empty() && text.unmatched == Unmatched::Refuse {
            return Err(config.error(text.routes.referenced, "no routes: nothing could be called"));
        }
        let mut routes: Vec<Route> = Vec::with_capacity(text.routes.value.len());
        let mut names = HashMap::new();
        for route in &text.routes.value {
            let at = route.pattern.referenced;
            let pattern = Pattern::parse(&route.pattern.value).map_err(|why| config.error(at, why))?;
            if let Some(earlier) = names.insert(pattern.identity(), pattern.name()) {
                let why = format!("is for the same requests as the earlier `{earlier}`");
                return Err(config.error(at, why));
            }
            compiler.check_document(&pattern, at)?;
            let about = About::of(route);
            let charge = compiler.charge(route, &pattern, &about)?;
            routes.push(Route { pattern, charge, about });
        }
        routes.sort_by(|a, b| a.pattern.cmp_specific(&b.pattern));
        let mut pricing = Self { routes, unmatched: text.unmatched, discovery: None };
        pricing.discovery = compiler.site.map(|site| Discovery::new(site, &pricing));
        Ok(pricing)
    }

    /// The route for a request with this canonical path.
    pub(crate) fn route(&self, method: &Method, path: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.pattern.matches(method, path))
    }

    /// What a request with this canonical path costs.
    pub(crate) fn charge(&self, method: &Method, path: &str) -> Charge {
        match self.route(method, path) {
            Some(route) => route.charge.clone(),
            None if self.unmatched == Unmatched::Free => Charge::Free { timeout: None },
            None => Charge::Refused,
        }
    }

    /// Every route for people, the most specific first: `GET /weather/{city}  $0.002 on Base`.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let line = |Route { pattern, charge, .. }: &Route| match charge {
            Charge::Paid(route) => {
                let flow = if route.terms.flow == Flow::Upfront { ", upfront" } else { "" };
                format!("{}  {}{flow}", pattern.name(), route.prices.join(" or "))
            }
            Charge::Free { .. } | Charge::Refused => format!("{}  free", pattern.name()),
        };
        let mut lines: Vec<String> = self.routes.iter().map(line).collect();
        lines.push(match self.unmatched {
            Unmatched::Free => "anything else  free".to_owned(),
            Unmatched::Refuse => "anything else  refused with 404".to_owned(),
        });
        lines
    }

    /// What a call without a payment is answered, where it costs something: the header `PAYMENT-REQUIRED`, and the 402's
    /// body. `path` is in the form of [`crate::canonical_path`].
    #[must_use]
    pub fn quote(&self, method: &Method, path: &str) -> Option<(HeaderValue, Bytes)> {
        match &self.route(method, path)?.charge {
            Charge::Paid(route) => route.terms.quote(path).ok(),
            Charge::Free { .. } | Charge::Refused => None,
        }
    }

    /// The terms of every offer, for comparing them with what a facilitator settles.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirements> {
        self.paid().flat_map(|route| route.terms.requirements())
    }

    /// The longest that a handler may take.
    pub(crate) fn longest_timeout(&self) -> Duration {
        self.paid().map(|route| route.timeout).max().unwrap_or_default()
    }

    /// The routes whose schemas are too long for their 402: facilitators do not catalogue them.
    pub(crate) fn uncatalogued(&self) -> impl Iterator<Item = &str> {
        self.paid().filter(|route| route.terms.cut).map(|route| &*route.name)
    }

    fn paid(&self) -> impl Iterator<Item = &PaidRoute> {
        self.routes.iter().filter_map(|route| match &route.charge {
            Charge::Paid(paid) => Some(&**paid),
            Charge::Free { .. } | Charge::Refused => None,
        })
    }
}

struct Compiler<'a> {
    config: &'a Config,
    registry: Registry,
    public_url: String,
    site: Option<Site>,
}

impl<'a> Compiler<'a> {
    fn new(config: &'a Config) -> Result<Self, ConfigError> {
        let registry = config.registry()?;
        Ok(Self { config, registry, public_url: config.public_url()?, site: Site::of(config)? })
    }

    /// Two documents cannot stand at one path.
    fn check_document(&self, pattern: &Pattern, at: Location) -> Result<(), ConfigError> {
        let merges = self.site.as_ref().is_some_and(|site| site.merges);
        let path = Kind::OpenApi.path();
        if merges && pattern.fixed_path().is_some() && pattern.matches(&Method::GET, path) {
            let why = format!(
                "serves `{path}` from the upstream, and `discovery.upstream_document` serves it with prices: take one out"
            );
            return Err(self.config.error(at, why));
        }
        Ok(())
    }

    fn charge(&self, route: &RouteText, pattern: &Pattern, about: &About) -> Result<Charge, ConfigError> {
        let at = route.pattern.referenced;
        let timeout = route.timeout();
        match (route.free, &route.price) {
            (true, None) if route.accepts.is_none() => return Ok(Charge::Free { timeout }),
            (true, _) => return Err(self.config.error(at, "is free and priced at once")),
            (false, None) if !self.prices_itself(route) => {
                return Err(self.config.error(at, "needs a price such as \"$0.002\", or `free: true`"));
            }
            (false, _) => {}
        }
        let timeout = timeout.unwrap_or(self.config.limits().upstream);
        let offers = self.offers(route, timeout)?;
        let resource = about.resource(self.site.as_ref());
        let extensions = self.site.as_ref().and_then(|_| bazaar(pattern, about));
        let flow = flow(route.flow);
        let path = pattern.fixed_path();
        let terms = Terms::new(&self.public_url, path, resource, extensions.as_ref(), &offers, flow)
            .map_err(|error| self.config.error(at, error.to_string()))?;
        let prices = offers.iter().map(|offer| self.price_for_people(offer)).collect();
        let values = offers.iter().map(|offer| self.value(offer)).collect();
        Ok(Charge::Paid(Arc::new(PaidRoute { name: pattern.name(), prices, terms, values, timeout })))
    }

    /// What cannot be told in dollars counts as more than anything: one such call at a time.
    fn value(&self, offer: &Requirements) -> Usd {
        let asset = self.registry.get(&offer.network, &offer.asset).ok();
        asset.and_then(|asset| asset.value(offer.amount).ok()).unwrap_or(Usd::new(u128::MAX))
    }

    fn price_for_people(&self, offer: &Requirements) -> String {
        let network = offer.network.display_name();
        match self.registry.get(&offer.network, &offer.asset) {
            Ok(asset) => format!("{} ({}) on {network}", asset.format(offer.amount), asset.symbol),
            Err(_) => format!("{} base units on {network}", offer.amount),
        }
    }

    fn prices_itself(&self, route: &RouteText) -> bool {
        let accepts = self.accepts(route);
        !accepts.is_empty() && accepts.iter().all(|accept| accept.value.price.is_some())
    }

    fn accepts<'r>(&'r self, route: &'r RouteText) -> &'r [Spanned<Accept>] {
        route.accepts.as_deref().unwrap_or(&self.config.text.accepts)
    }

    fn offers(&self, route: &RouteText, timeout: Duration) -> Result<Vec<Requirements>, ConfigError> {
        let accepts = self.accepts(route);
        if accepts.is_empty() {
            let why = "has a price but nothing to pay it in: add `accepts: [base]` here or at the top";
            return Err(self.config.error(route.pattern.referenced, why));
        }
        if accepts.len() > MAX_OFFERS {
            let why = format!("has {} ways of paying; buyers read at most {MAX_OFFERS}", accepts.len());
            return Err(self.config.error(route.pattern.referenced, why));
        }
        let mut offers: Vec<Requirements> = Vec::with_capacity(accepts.len());
        for accept in accepts {
            let offer = self.offer(route, accept, timeout)?;
            if offers.contains(&offer) {
                return Err(self
                    .config
                    .error(accept.referenced, "offers the same terms as an earlier entry"));
            }
            offers.push(offer);
        }
        Ok(offers)
    }

    fn offer(
        &self,
        route: &RouteText,
        accept: &Spanned<Accept>,
        timeout: Duration,
    ) -> Result<Requirements, ConfigError> {
        let Spanned { value: accept, referenced: at, .. } = accept;
        let asset = self.asset(accept, *at)?;
        let (price, price_at) = match (accept.price, &route.price) {
            (Some(price), _) => (price, *at),
            (None, Some(price)) => (price.value, price.referenced),
            (None, None) => return Err(self.config.error(*at, "has no price, and neither has its route")),
        };
        let valid = timeout.saturating_add(self.config.limits().settle).saturating_add(SLACK);
        Ok(Requirements {
            scheme: "exact".to_owned(),
            network: asset.network.clone(),
            amount: self.amount(price, asset, price_at)?,
            asset: asset.address.clone(),
            pay_to: self.pay_to(route, accept, *at)?,
            max_timeout_seconds: valid.as_secs(),
            extra: self.extra(route, asset, *at)?,
        })
    }

    fn asset(&self, accept: &Accept, at: Location) -> Result<&Asset, ConfigError> {
        let found = match &accept.asset {
            Some(address) => self.registry.get(&accept.network, address),
            None => self.registry.usdc(&accept.network),
        };
        found.map(|asset| &**asset).map_err(|error| self.config.error(at, error.to_string()))
    }

    fn amount(&self, price: Price, asset: &Asset, at: Location) -> Result<BaseUnits, ConfigError> {
        let amount = price.in_asset(asset).map_err(|error| self.config.error(at, error.to_string()))?;
        if amount == BaseUnits::ZERO {
            return Err(self.config.error(at, "a price of nothing: write `free: true` instead"));
        }
        Ok(amount)
    }

    fn pay_to(&self, route: &RouteText, accept: &Accept, at: Location) -> Result<String, ConfigError> {
        let text = &self.config.text;
        let inherited = route.pay_to.as_ref().or(text.pay_to.as_ref());
        let (payee, at) = match (&accept.pay_to, inherited) {
            (Some(payee), _) => (payee, at),
            (None, Some(payee)) => (&payee.value, payee.referenced),
            (None, None) => return Err(self.config.error(at, "whom to pay is missing: set `pay_to`")),
        };
        check_payee(&accept.network, payee).map_err(|why| self.config.error(at, why))?;
        Ok(payee.clone())
    }

    fn extra(&self, route: &RouteText, asset: &Asset, at: Location) -> Result<Object, ConfigError> {
        let Some(domain) = &asset.eip712 else {
            let why = format!("{} has no `eip712` name and version: it cannot be paid by x402", asset.symbol);
            return Err(self.config.error(at, why));
        };
        let mut extra = serde_json::Map::new();
        extra.insert("name".to_owned(), json!(domain.name));
        extra.insert("version".to_owned(), json!(domain.version));
        if flow(route.flow) != Flow::Authorization {
            extra.insert("paymentFlow".to_owned(), json!(flow(route.flow).as_str()));
        }
        Ok(Object(extra))
    }
}

fn flow(text: FlowText) -> Flow {
    match text {
        FlowText::Authorization => Flow::Authorization,
        FlowText::Upfront => Flow::Upfront,
    }
}

fn check_payee(network: &Network, payee: &str) -> Result<(), String> {
    let digits = payee.strip_prefix("0x").unwrap_or("");
    let valid = network.namespace() != "eip155"
        || (digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    if !valid {
        return Err(format!("`{}` is not an address on {network}", payee.escape_debug()));
    }
    if network.namespace() == "eip155" && digits.bytes().all(|b| b == b'0') {
        return Err("pays the zero address, from which nothing comes back".to_owned());
    }
    Ok(())
}
