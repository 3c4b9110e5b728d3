//! One method of one path.

use farthing_money::Registry;
use serde::Serialize;

use super::node::{Findings, Node};
use super::price::PaymentInfo;
use super::schema::Resolver;
use super::{AdvertisedOffer, AdvertisedPrice, AdvertisedProtocol, AuthMode, Code, Input, Output};
use super::{call, security};

/// The most characters that are kept of a summary and of a description.
const SUMMARY: usize = 300;
const DESCRIPTION: usize = 4_000;

/// What a document says of one method of one path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    /// Upper case.
    pub method: String,
    /// With the server's prefix, in the form of [`super::normal`]; it may be a template.
    pub path: String,
    /// In a few words.
    pub summary: Option<String>,
    /// At length.
    pub description: Option<String>,
    /// What it is about.
    pub tags: Vec<String>,
    /// What a call needs; `None` where nothing is said.
    pub auth: Option<AuthMode>,
    /// What it costs.
    pub price: Option<AdvertisedPrice>,
    /// The ways of paying, where they are listed.
    pub offers: Vec<AdvertisedOffer>,
    /// The protocols of payment.
    pub protocols: Vec<AdvertisedProtocol>,
    /// What it takes.
    pub input: Option<Input>,
    /// What it gives.
    pub output: Option<Output>,
    /// Where it stands: the document and a JSON pointer.
    pub place: String,
}

impl Operation {
    /// The resource's key: `https://api.example.com GET /weather`.
    #[must_use]
    pub fn key(&self, origin: &str) -> String {
        key(origin, &self.method, &self.path)
    }
}

/// A resource's key, from its parts.
pub(super) fn key(origin: &str, method: &str, path: &str) -> String {
    format!("{origin} {method} {path}")
}

/// What operations are read with.
pub(super) struct Reading<'a> {
    pub(super) document: &'static str,
    pub(super) root: Node<'a>,
    pub(super) origin: &'a str,
    pub(super) registry: &'a Registry,
    pub(super) resolver: Resolver<'a>,
}

impl<'a> Reading<'a> {
    pub(super) fn operation(
        &mut self,
        method: &str,
        path: &str,
        path_item: &Node<'a>,
        node: &Node<'a>,
        findings: &mut Findings,
    ) -> Operation {
        self.resolver.next_operation();
        findings.set_about(Some(key(self.origin, &method.to_ascii_uppercase(), path)));
        let info = node.get("x-payment-info");
        let paid = info.is_some();
        let PaymentInfo { price, offers, protocols } =
            info.map(|info| PaymentInfo::read(&info, self.registry, findings)).unwrap_or_default();
        let operation = Operation {
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            summary: node.text("summary", SUMMARY, findings),
            description: node.text("description", DESCRIPTION, findings),
            tags: names(node, "tags", findings),
            auth: security::auth_mode(&self.root, node, paid, findings),
            price,
            offers,
            protocols,
            input: call::input(path_item, node, &mut self.resolver, findings),
            output: call::output(node, &mut self.resolver, findings),
            place: format!("{}#{}", self.document, node.at),
        };
        audit(&operation, node, findings);
        findings.set_about(None);
        operation
    }
}

/// What is missing of an operation.
fn audit(operation: &Operation, node: &Node<'_>, findings: &mut Findings) {
    let mut missing = |is: bool, code: Code, at: String, message: &str| {
        if is {
            findings.add(code, &at, message);
        }
    };
    let silent = operation.summary.is_none() && operation.description.is_none();
    missing(silent, Code::MissingSummary, node.at.clone(), "there is no summary and no description");
    missing(
        operation.auth.is_none(),
        Code::MissingAuth,
        node.at.clone(),
        "nothing is said of payment or keys",
    );
    if !operation.auth.is_some_and(AuthMode::is_paid) {
        return;
    }
    let no_402 = node.value.pointer("/responses/402").is_none();
    missing(no_402, Code::Missing402Response, node.at_key("responses"), "there is no 402");
    let takes_body = matches!(operation.method.as_str(), "POST" | "PUT" | "PATCH");
    let input = operation.input.as_ref();
    let unsaid = match takes_body {
        true => input.is_none_or(|input| input.body.is_none() && input.query.is_none()),
        // A route without parameters has nothing to describe, and says so with an empty list.
        false => input.is_none() && node.get("parameters").is_none(),
    };
    missing(unsaid, Code::MissingInputSchema, node.at.clone(), "nothing is said of what it takes");
    let unsaid = operation.output.as_ref().is_none_or(Output::is_empty);
    missing(unsaid, Code::MissingOutputSchema, node.at_key("responses"), "nothing is said of what it gives");
}

/// A short list of short texts.
pub(super) fn names(node: &Node<'_>, key: &str, findings: &mut Findings) -> Vec<String> {
    let items = node.items(key, findings);
    let texts = items.iter().take(50).filter_map(|item| item.value.as_str());
    texts.map(|text| super::node::cut(text, 200)).collect()
}
