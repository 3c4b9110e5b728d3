//! What tells buyers about the service before they call it: `/openapi.json`, `/.well-known/x402`, `/llms.txt`.
//!
//! The documents are made when prices are, and again when the upstream's own document changes; a request only takes
//! them. OpenAPI's is the source of the other two.

mod bazaar;
mod clean;
mod document;
mod merge;
mod notice;
mod openapi;
mod refresh;
mod site;
mod told;
mod upstream;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Method;
use serde_json::{Map, Value};

pub(crate) use bazaar::bazaar;
pub use document::Document;
pub(crate) use document::Kind;
pub use notice::Notice;
pub(crate) use refresh::Follower;
pub use refresh::upstream_document;
pub(crate) use site::{About, Site};
pub use upstream::{DocumentError, UpstreamDocument};

use crate::Pricing;
use crate::pricing::Charge;

/// The documents that tell buyers what is sold.
///
/// A [`crate::PaymentLayer`] and a [`crate::Gateway`] answer requests for them; who serves them elsewhere takes them from
/// [`Pricing::documents`].
#[derive(Debug)]
pub struct Documents {
    /// `/openapi.json`: every operation with its schemas and prices.
    pub openapi: Document,
    /// `/.well-known/x402`: the addresses of the priced operations.
    pub x402: Document,
    /// `/llms.txt`: the same in text, and how to pay.
    pub llms: Document,
}

impl Documents {
    fn of(site: &Site, openapi: &Map<String, Value>) -> Self {
        Self {
            openapi: Document::new(Kind::OpenApi, Value::Object(openapi.clone()).to_string()),
            x402: Document::new(Kind::X402, told::x402(site, openapi).to_string()),
            llms: Document::new(Kind::Llms, told::llms(site, openapi)),
        }
    }

    pub(crate) fn get(&self, kind: Kind) -> &Document {
        match kind {
            Kind::OpenApi => &self.openapi,
            Kind::X402 => &self.x402,
            Kind::Llms => &self.llms,
        }
    }
}

/// The documents in force, and what they are made of.
#[derive(Debug)]
pub(crate) struct Discovery {
    site: Site,
    documents: ArcSwap<Documents>,
}

impl Discovery {
    /// Documents without the upstream's.
    pub(crate) fn new(site: Site, pricing: &Pricing) -> Self {
        let (openapi, _) = merge::merged(&site, pricing, None);
        let documents = Documents::of(&site, &openapi);
        Self { site, documents: ArcSwap::from_pointee(documents) }
    }
}

/// A document that a request may get.
pub(crate) enum Offered {
    /// This one.
    Ours(Document),
    /// This one, unless the upstream has one.
    Otherwise(Document),
}

impl Pricing {
    /// The documents that tell buyers what these prices are for; none with `discovery: {enabled: false}`.
    #[must_use]
    pub fn documents(&self) -> Option<Arc<Documents>> {
        self.discovery.as_ref().map(|discovery| discovery.documents.load_full())
    }

    /// Makes the documents anew, with what the upstream says of its operations, and gives what is not told of it, if
    /// something is not. [`crate::SharedPricing::describe_with`] does it for prices to come as well.
    pub fn describe_with(&self, upstream: &UpstreamDocument) -> Option<Notice> {
        let Discovery { site, documents } = self.discovery.as_ref()?;
        let (openapi, merged) = merge::merged(site, self, Some(upstream));
        documents.store(Arc::new(Documents::of(site, &openapi)));
        merged.notice()
    }

    /// The document that this request asks for. A route that names the document's path is the operator's word, and goes
    /// first. What is free anyway reaches the upstream, which may have such a file. Where a call would be priced or
    /// refused, ours is given out: it tells prices, and nothing that is sold.
    pub(crate) fn document(&self, method: &Method, path: &str) -> Option<Offered> {
        let discovery = self.discovery.as_ref()?;
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        let kind = Kind::ALL.into_iter().find(|kind| kind.path() == path)?;
        let route = self.route(method, path);
        if route.is_some_and(|route| route.pattern.fixed_path().is_some()) {
            return None;
        }
        let document = discovery.documents.load().get(kind).clone();
        let Site { replace, merges, .. } = discovery.site;
        let ours = replace || (merges && kind == Kind::OpenApi);
        let passes = matches!(self.charge(method, path), Charge::Free { .. });
        Some(if passes && !ours { Offered::Otherwise(document) } else { Offered::Ours(document) })
    }
}
