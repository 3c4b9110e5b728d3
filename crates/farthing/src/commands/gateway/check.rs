//! `farthing gateway check -c FILE`: a configuration, as buyers' software will read what comes of it.

use farthing_gateway::{Config, Documents, Pricing, canonical_path};
use farthing_money::Registry;
use farthing_protocol::Challenge;
use farthing_protocol::discovery::{Advertised, Code as Finds, Document, Finding, Operation, compare, fill};
use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::report::{self, Found};
use super::{Offer, refused};
use crate::exit::Failure;
use crate::output::Output;

pub(super) async fn check(offer: Offer, output: Output) -> Result<(), Failure> {
    let Offer { config, pricing, .. } = offer;
    let origin = config.public_url().map_err(refused)?;
    let registry = config.registry().map_err(refused)?;
    let mut found: Vec<Found> = pricing.notices(&config).into_iter().map(Found::from).collect();
    let merged = merge_upstream(&config, &pricing).await;
    found.extend(merged.found);
    let mut lines = pricing.describe();
    let mut result = json!({ "routes": lines, "origin": origin });
    if let Some(documents) = pricing.documents() {
        result["documents"] = addresses(&origin, &documents);
        lines.push(format!("buyers read {origin}/openapi.json, /.well-known/x402 and /llms.txt"));
        let read = read_as_buyers(&origin, &pricing, &documents, &registry);
        found.extend(read.into_iter().map(|finding| told(finding, merged.is)));
    }
    report::end(result, &lines, found, output)
}

/// What came of the upstream's document.
#[derive(Default)]
struct Merged {
    /// Whether it is merged.
    is: bool,
    found: Option<Found>,
}

/// Merges the upstream's document, as the gateway will. That it cannot be had may be because the API is not running now.
async fn merge_upstream(config: &Config, pricing: &Pricing) -> Merged {
    match farthing_gateway::upstream_document(config).await {
        Ok(Some(document)) => Merged { is: true, found: pricing.describe_with(&document).map(Found::from) },
        Ok(None) => Merged::default(),
        Err(error) => {
            let advice =
                "start the API, or correct the address; until then buyers get what the routes say alone";
            let place = "discovery.upstream_document";
            let found = Found::warning("upstream-document", place, error.to_string(), advice);
            Merged { is: false, found: Some(found) }
        }
    }
}

/// A 402 is made of the route alone: what the upstream's document says of the call is not in it, and validators that read
/// 402s call that an error (`@agentcash/discovery`: SCHEMA_INPUT_MISSING).
fn told(finding: Finding, merged: bool) -> Found {
    let code = finding.code;
    let found = Found::from(finding);
    if merged && code == Finds::MissingBazaarSchema { found.into_warning() } else { found }
}

fn addresses(origin: &str, documents: &Documents) -> Value {
    let Documents { openapi, x402, llms } = documents;
    let address = |path: &str| format!("{origin}{path}");
    json!({ "openapi": address(openapi.path()), "x402": address(x402.path()), "llms": address(llms.path()) })
}

/// What a buyer's software would find wrong with the document and with the 402 of each call.
fn read_as_buyers(
    origin: &str,
    pricing: &Pricing,
    documents: &Documents,
    registry: &Registry,
) -> Vec<Finding> {
    let document = match Document::read(documents.openapi.body(), origin, registry) {
        Ok(document) => document,
        Err(finding) => return vec![finding],
    };
    let calls = document.operations.iter().filter_map(|operation| ask(origin, pricing, operation, registry));
    let found: Vec<Finding> = calls.flatten().collect();
    document.findings.into_iter().chain(found).collect()
}

/// Asks for a call's price without sending anything: the answer is ready beforehand.
fn ask(origin: &str, pricing: &Pricing, operation: &Operation, registry: &Registry) -> Option<Vec<Finding>> {
    let path = fill(&operation.path, |_| Some("example".to_owned()))?;
    let path = canonical_path(&path).ok()?;
    let method: Method = operation.method.parse().ok()?;
    let (header, body) = pricing.quote(&method, &path)?;
    let advertised = Advertised {
        method: &operation.method,
        url: &Url::parse(&format!("{origin}{path}")).ok()?,
        documented: true,
        made_up: true,
        auth: operation.auth,
        price: operation.price.as_ref(),
        protocols: &operation.protocols,
        offers: &operation.offers,
    };
    let challenge = Challenge::read(Some(header.as_bytes()), &body);
    Some(compare(&advertised, 402, Some(challenge.as_ref()), None, registry))
}
