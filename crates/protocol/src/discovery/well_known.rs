//! `/.well-known/x402` and `/.well-known/mpp`: the legacy documents.

use farthing_money::{BaseUnits, Decimal, Registry, Usd};
use serde::Serialize;
use url::Url;

use super::node::{self, Findings, Node, cut};
use super::operation::names;
use super::price::PaymentInfo;
use super::{AdvertisedOffer, AdvertisedPrice, Code, Finding, MAX_OPERATIONS, normal};
use crate::error::printable;

/// The most characters that are kept of an address, a description, and instructions.
const ADDRESS: usize = 2_000;
const DESCRIPTION: usize = 4_000;
const INSTRUCTIONS: usize = 16_000;

/// A legacy document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WellKnown {
    /// The API's name.
    pub title: Option<String>,
    /// Words for agents.
    pub instructions: Option<String>,
    /// What is claimed of ownership. Nobody has verified it.
    pub ownership_proofs: Vec<String>,
    /// What is sold.
    pub resources: Vec<WellKnownResource>,
    /// What is wrong.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

/// One resource of a legacy document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WellKnownResource {
    /// Upper case. `None` where it is not said; then it is POST, unless something else tells.
    pub method: Option<String>,
    /// In the form of [`super::normal`].
    pub path: String,
    /// In a few words.
    pub description: Option<String>,
    /// What it costs.
    pub price: Option<AdvertisedPrice>,
    /// The way of paying.
    pub offers: Vec<AdvertisedOffer>,
    /// Where it stands: the document and a JSON pointer.
    pub place: String,
}

impl WellKnown {
    /// Where x402's is served.
    pub const X402_PATH: &str = "/.well-known/x402";
    /// Where MPP's is served.
    pub const MPP_PATH: &str = "/.well-known/mpp";

    /// Reads x402's: `{"version": 1, "resources": ["POST https://…", "https://…"]}`.
    ///
    /// # Errors
    /// A [`Finding`] when it is too long, no JSON, or no object; everything else is in [`Self::findings`].
    pub fn read_x402(bytes: &[u8], origin: &str) -> Result<Self, Finding> {
        read(bytes, Self::X402_PATH, |root, findings| {
            match root.get("version").map(|version| version.value.as_u64()) {
                None | Some(Some(1)) => {}
                Some(_) => findings.add(Code::UnsupportedVersion, "/version", "it is not version 1"),
            }
            if root.get("resources").is_none() {
                findings.add(Code::MissingField, "/resources", "there is no `resources`");
            }
            let entries = limited(root.items("resources", findings), findings);
            let resources =
                entries.iter().filter_map(|entry| x402_resource(entry, origin, findings)).collect();
            Self {
                title: None,
                instructions: root.text("instructions", INSTRUCTIONS, findings),
                ownership_proofs: names(root, "ownershipProofs", findings),
                resources,
                findings: Vec::new(),
            }
        })
    }

    /// Reads MPP's: `{"endpoints": [{"method", "path", "description", "payment": {"intent", "method", "amount",
    /// "currency"}}]}`. Amounts are base units; without a currency they are those of a token with six decimals.
    ///
    /// # Errors
    /// As [`Self::read_x402`].
    pub fn read_mpp(bytes: &[u8], registry: &Registry) -> Result<Self, Finding> {
        read(bytes, Self::MPP_PATH, |root, findings| {
            let entries = limited(root.items("endpoints", findings), findings);
            let resources =
                entries.iter().filter_map(|entry| mpp_resource(entry, registry, findings)).collect();
            Self {
                title: root.text("name", 200, findings),
                instructions: root.text("description", INSTRUCTIONS, findings),
                ownership_proofs: Vec::new(),
                resources,
                findings: Vec::new(),
            }
        })
    }
}

fn read(
    bytes: &[u8],
    document: &'static str,
    resources: impl FnOnce(&Node<'_>, &mut Findings) -> WellKnown,
) -> Result<WellKnown, Finding> {
    let mut findings = Findings::of(document);
    let value = node::json(bytes, &mut findings)?;
    let root = Node::root(&value);
    if !root.is_object(&mut findings) {
        return Err(Finding::new(Code::WrongType, document, "the document is no object"));
    }
    findings.add(Code::LegacyWellKnown, "", format!("{document} is a legacy document"));
    let mut read = resources(&root, &mut findings);
    if !read.ownership_proofs.is_empty() {
        let message = format!("{} of them", read.ownership_proofs.len());
        findings.add(Code::UnverifiedOwnership, "/ownershipProofs", message);
    }
    read.findings = findings.into_list();
    Ok(read)
}

fn limited<'a>(mut entries: Vec<Node<'a>>, findings: &mut Findings) -> Vec<Node<'a>> {
    if let Some(first_left_out) = entries.get(MAX_OPERATIONS) {
        findings.add(Code::TooManyOperations, &first_left_out.at, format!("more than {MAX_OPERATIONS}"));
        entries.truncate(MAX_OPERATIONS);
    }
    entries
}

fn x402_resource(entry: &Node<'_>, origin: &str, findings: &mut Findings) -> Option<WellKnownResource> {
    let Some(text) = entry.value.as_str() else {
        entry.wrong(findings, "a text");
        return None;
    };
    let text = cut(text.trim(), ADDRESS);
    let (method, address) = match text.split_once(char::is_whitespace) {
        Some((method, address)) => (Some(method), address.trim()),
        None => (None, text.as_str()),
    };
    let method = match method.map(known_method) {
        Some(None) => {
            findings.add(
                Code::MalformedResource,
                &entry.at,
                format!("`{}` begins with no method", printable(&text)),
            );
            return None;
        }
        method => method.flatten(),
    };
    let path = path_within(origin, address, &entry.at, findings)?;
    let place = format!("{}#{}", WellKnown::X402_PATH, entry.at);
    Some(WellKnownResource { method, path, description: None, price: None, offers: Vec::new(), place })
}

/// The path of an address, if it is one of this origin's.
fn path_within(origin: &str, address: &str, at: &str, findings: &mut Findings) -> Option<String> {
    let shown = printable(address);
    match Url::parse(origin).and_then(|base| Ok((base.join(address)?, base))) {
        // Parsing encodes a template's braces.
        Ok((url, base)) if url.origin() == base.origin() => {
            Some(normal(&url.path().replace("%7B", "{").replace("%7D", "}")))
        }
        Ok(_) => {
            findings.add(Code::ResourceOfAnotherOrigin, at, format!("`{shown}` is not of {origin}"));
            None
        }
        Err(error) => {
            findings.add(Code::MalformedResource, at, format!("`{shown}`: {error}"));
            None
        }
    }
}

fn mpp_resource(entry: &Node<'_>, registry: &Registry, findings: &mut Findings) -> Option<WellKnownResource> {
    entry.object(findings)?;
    let method = entry.text("method", 20, findings).and_then(|method| known_method(&method));
    let (Some(method), Some(path)) = (method, entry.text("path", ADDRESS, findings)) else {
        findings.add(Code::MalformedResource, &entry.at, "it has no method or no path");
        return None;
    };
    let payment = entry.get_object("payment", findings);
    let PaymentInfo { price, offers, .. } =
        payment.as_ref().map(|payment| mpp_payment(payment, registry, findings)).unwrap_or_default();
    let description = entry.text("description", DESCRIPTION, findings);
    let place = format!("{}#{}", WellKnown::MPP_PATH, entry.at);
    Some(WellKnownResource { method: Some(method), path: normal(&path), description, price, offers, place })
}

fn mpp_payment(payment: &Node<'_>, registry: &Registry, findings: &mut Findings) -> PaymentInfo {
    if payment.get("currency").is_some() || payment.get("intent").is_some() {
        return PaymentInfo::read(payment, registry, findings);
    }
    let text = payment.text("amount", 100, findings);
    let units = text.and_then(|text| BaseUnits::from_digits(&text).ok());
    let dollars = units.and_then(|units| Decimal::new(units.get(), 6).ok());
    let price = dollars.and_then(|dollars| Usd::from_decimal(dollars).ok()).map(AdvertisedPrice::fixed);
    PaymentInfo { price, ..PaymentInfo::default() }
}

fn known_method(text: &str) -> Option<String> {
    let method = text.to_ascii_uppercase();
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]
        .contains(&method.as_str())
        .then_some(method)
}
