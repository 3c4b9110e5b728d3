//! `/openapi.json`.

use std::collections::BTreeSet;

use farthing_money::Registry;
use serde::Serialize;
use url::Url;

use super::node::{self, Findings, Node};
use super::operation::{Reading, names};
use super::schema::{self, Resolver};
use super::{Code, Finding, MAX_OPERATIONS, Operation, normal, server_url};
use crate::error::printable;

/// OpenAPI's methods, in the order in which operations are listed.
const METHODS: [&str; 8] = ["get", "post", "put", "patch", "delete", "head", "options", "trace"];
/// The most bytes of a path.
const PATH: usize = 2_000;
/// The most characters that are kept of a title, a description, and guidance.
const TITLE: usize = 200;
const DESCRIPTION: usize = 4_000;
const GUIDANCE: usize = 16_000;
/// How long guidance may be before it is too much for an agent.
const LONG_GUIDANCE: usize = 4_000;

/// An OpenAPI document, as far as it is of use to who wants to buy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// The API's name.
    pub title: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Who can be asked: an e-mail address or a page.
    pub contact: Option<String>,
    /// What it is about (`x-service-info.categories`).
    pub categories: Vec<String>,
    /// Words for agents (`info.x-guidance`).
    pub guidance: Option<String>,
    /// Where more of them are (`x-agentcash-guidance.llmsTxtUrl`, `x-service-info.docs.llms`).
    pub llms_txt: Option<String>,
    /// What is claimed of ownership. Nobody has verified it.
    pub ownership_proofs: Vec<String>,
    /// What can be called.
    pub operations: Vec<Operation>,
    /// What is wrong.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

impl Document {
    /// Where it is served.
    pub const PATH: &str = "/openapi.json";

    /// Reads the document that `origin` (`https://api.example.com`) serves. `registry` tells what tokens are worth.
    ///
    /// # Errors
    /// A [`Finding`] when it is too long, no JSON, or no object; everything else is in [`Self::findings`].
    pub fn read(bytes: &[u8], origin: &str, registry: &Registry) -> Result<Self, Finding> {
        let mut findings = Findings::of(Self::PATH);
        let value = node::json(bytes, &mut findings)?;
        let root = Node::root(&value);
        if !root.is_object(&mut findings) {
            return Err(Finding::new(Code::WrongType, Self::PATH, "the document is no object"));
        }
        version(&root, &mut findings);
        let mut document = head(&root, &mut findings);
        let resolver = Resolver::of(&value);
        let mut reading = Reading { document: Self::PATH, root, origin, registry, resolver };
        document.operations = operations(&mut reading, &mut findings);
        audit(&document, &mut findings);
        document.findings = findings.into_list();
        Ok(document)
    }
}

fn version(root: &Node<'_>, findings: &mut Findings) {
    match root.text("openapi", 20, findings) {
        Some(version) if version.starts_with("3.") => {}
        Some(version) => {
            let message = format!("it says version `{}`", printable(&version));
            findings.add(Code::UnsupportedVersion, "/openapi", message);
        }
        None if root.get("swagger").is_some() => {
            findings.add(Code::UnsupportedVersion, "/swagger", "it is Swagger, the version before OpenAPI 3");
        }
        None => findings.add(Code::MissingField, "/openapi", "there is no `openapi`"),
    }
}

/// What stands above the paths.
fn head(root: &Node<'_>, findings: &mut Findings) -> Document {
    let info = root.get_object("info", findings);
    let info = info.unwrap_or(Node { value: &serde_json::Value::Null, at: "/info".to_owned() });
    let text = |node: &Node<'_>, key, most, findings: &mut Findings| node.text(key, most, findings);
    let title = text(&info, "title", TITLE, findings);
    let version = text(&info, "version", TITLE, findings);
    for (field, value) in [("title", &title), ("version", &version)] {
        if value.is_none() {
            findings.add(Code::MissingField, &info.at_key(field), format!("there is no `info.{field}`"));
        }
    }
    let contact = info.get_object("contact", findings);
    let contact = contact.and_then(|contact| {
        text(&contact, "email", TITLE, findings).or_else(|| text(&contact, "url", TITLE, findings))
    });
    let service = root.get_object("x-service-info", findings);
    let guidance = text(&info, "x-guidance", GUIDANCE, findings);
    Document {
        title,
        version,
        description: text(&info, "description", DESCRIPTION, findings),
        contact: contact.filter(|contact| !contact.trim().is_empty()),
        categories: service.map(|service| names(&service, "categories", findings)).unwrap_or_default(),
        // The older key.
        guidance: guidance.or_else(|| text(&info, "guidance", GUIDANCE, findings)),
        llms_txt: llms_txt(root, findings),
        ownership_proofs: ownership_proofs(root, findings),
        operations: Vec::new(),
        findings: Vec::new(),
    }
}

fn llms_txt(root: &Node<'_>, findings: &mut Findings) -> Option<String> {
    let named = |node: Option<Node<'_>>, key: &str, findings: &mut Findings| {
        node.and_then(|node| node.text(key, 2_000, findings))
    };
    let guidance = root.get_object("x-agentcash-guidance", findings);
    let docs =
        root.get_object("x-service-info", findings).and_then(|service| service.get_object("docs", findings));
    named(guidance, "llmsTxtUrl", findings).or_else(|| named(docs, "llms", findings))
}

fn ownership_proofs(root: &Node<'_>, findings: &mut Findings) -> Vec<String> {
    let mut proofs = Vec::new();
    // The second is the older key.
    for key in ["x-agentcash-provenance", "x-discovery"] {
        if let Some(holder) = root.get_object(key, findings).filter(|_| proofs.is_empty()) {
            proofs = names(&holder, "ownershipProofs", findings);
            if !proofs.is_empty() {
                let at = holder.at_key("ownershipProofs");
                findings.add(Code::UnverifiedOwnership, &at, format!("{} of them", proofs.len()));
            }
        }
    }
    proofs
}

fn operations(reading: &mut Reading<'_>, findings: &mut Findings) -> Vec<Operation> {
    let root = reading.root.clone();
    let prefix = server_prefix(&root, reading.origin, findings);
    let Some(paths) = root.get("paths") else {
        findings.add(Code::MissingField, "/paths", "there is no `paths`");
        return Vec::new();
    };
    if !paths.is_object(findings) {
        return Vec::new();
    }
    let (mut operations, mut seen) = (Vec::new(), BTreeSet::new());
    for (path, item) in paths.entries() {
        // Vendors' own keys may stand among the paths.
        if path.starts_with("x-") || !item.is_object(findings) {
            continue;
        }
        if path.len() > PATH {
            findings.add(Code::MalformedResource, &item.at, format!("a path has {} bytes", path.len()));
            continue;
        }
        let item = referred(&root, item, findings);
        let path = normal(&format!("{prefix}/{path}"));
        for method in METHODS {
            let Some(node) = item.get_object(method, findings) else { continue };
            if operations.len() >= MAX_OPERATIONS {
                findings.add(Code::TooManyOperations, &node.at, format!("more than {MAX_OPERATIONS}"));
                return operations;
            }
            if !seen.insert((method, path.clone())) {
                let message =
                    format!("{} {} stands there already", method.to_ascii_uppercase(), printable(&path));
                findings.add(Code::DuplicateResource, &node.at, message);
                continue;
            }
            operations.push(reading.operation(method, &path, &item, &node, findings));
        }
    }
    operations
}

/// A path's entry may be a reference to another place in the document.
fn referred<'a>(root: &Node<'a>, item: Node<'a>, findings: &mut Findings) -> Node<'a> {
    let Some(reference) = item.value.get("$ref").and_then(serde_json::Value::as_str) else { return item };
    match schema::target(root.value, reference) {
        Some(value) => Node { value, at: reference.trim_start_matches('#').to_owned() },
        None => {
            findings.add(Code::BrokenReference, &item.at, schema::leads_to_nothing(reference));
            item
        }
    }
}

/// The path of `servers[0].url`: every operation's begins with it.
fn server_prefix(root: &Node<'_>, origin: &str, findings: &mut Findings) -> String {
    let servers = root.items("servers", findings);
    let Some(server) = servers.first() else { return String::new() };
    let Some(text) = server.text("url", 2_000, findings) else { return String::new() };
    let at = server.at_key("url");
    let read = Url::parse(origin).and_then(|base| Ok((server_url(server.value, &base)?, base)));
    match read {
        Ok((url, base)) => {
            if url.origin() != base.origin() {
                let message = format!("`{}` is not {origin}", printable(&text));
                findings.add(Code::ServerOfAnotherOrigin, &at, message);
            }
            url.path().trim_end_matches('/').to_owned()
        }
        Err(error) => {
            findings.add(Code::MalformedServerUrl, &at, format!("`{}`: {error}", printable(&text)));
            String::new()
        }
    }
}

fn audit(document: &Document, findings: &mut Findings) {
    let paid = |operation: &Operation| operation.auth.is_some_and(super::AuthMode::is_paid);
    if document.operations.is_empty() {
        findings.add(Code::NoOperations, "/paths", "there is no operation");
    } else if !document.operations.iter().any(paid) {
        findings.add(Code::NoPricedOperations, "/paths", "no operation has `x-payment-info`");
    }
    if document.contact.is_none() {
        findings.add(Code::MissingContact, "/info/contact", "there is no e-mail address and no page");
    }
    let guidance = document.guidance.as_ref().map_or(0, |text| text.chars().count());
    if guidance > LONG_GUIDANCE {
        findings.add(
            Code::GuidanceTooLong,
            "/info/x-guidance",
            format!("it has {guidance} characters or more"),
        );
    }
}
