//! What an origin's documents say of one route, beside what the route answers.

use farthing_discovery::{Finding, Input, Origin, Resource, Site};
use farthing_protocol::{Challenge, ProtocolError};
use farthing_wallet::{FetchError, Probe, Request};
use serde_json::{Value, json};

use super::discover::{discovery, price, print_findings, protocols, summary};
use crate::exit::Failure;
use crate::output::{DIM, Output, STRONG, printable};
use crate::session::Session;

/// How long a document may take: the price itself is not kept waiting for it.
const DOCUMENT_SECONDS: u64 = 5;

/// What the documents say of the route.
pub(super) struct Described {
    /// One for each method.
    resources: Vec<Resource>,
    /// What is wrong with it, and with its answer.
    findings: Vec<Finding>,
}

/// Asks the origin of a call for its documents.
pub(super) async fn origin_of(session: &Session, call: &Request) -> Result<Option<Origin>, Failure> {
    let discovery = discovery(session, DOCUMENT_SECONDS)?;
    match Site::of(&call.url) {
        Some(site) => Ok(Some(discovery.describe(&site).await)),
        None => Ok(None),
    }
}

impl Described {
    /// What the origin says of the call, and how the answer compares.
    pub(super) fn new(
        session: &Session,
        origin: &Origin,
        call: &Request,
        probe: &Result<Probe, FetchError>,
    ) -> Result<Self, Failure> {
        let resources: Vec<Resource> = origin.route(call.url.path()).into_iter().cloned().collect();
        let answered: Option<(u16, Option<Result<&Challenge, &ProtocolError>>)> = match probe {
            Ok(Probe::Free(status, _)) => Some((status.as_u16(), None)),
            Ok(Probe::Priced { challenge, .. }) => Some((402, Some(Ok(challenge)))),
            Err(FetchError::BadChallenge { source, .. }) => Some((402, Some(Err(source)))),
            // Nothing was answered that could be compared.
            Err(_) => None,
        };
        let of_route = |finding: &&Finding| {
            resources.iter().any(|resource| finding.resource.as_ref() == Some(&resource.key))
        };
        let mut findings: Vec<Finding> = origin.findings.iter().filter(of_route).cloned().collect();
        if let Some((status, challenge)) = answered {
            let (method, registry) = (call.method.as_str(), session.config().registry()?);
            findings.extend(origin.judge(method, &call.url, status, challenge, None, &registry));
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(Self { resources, findings })
    }

    /// The methods under which the route is listed, if the one that was asked is none of them.
    pub(super) fn other_methods(&self, asked: &http::Method) -> Option<String> {
        let methods: Vec<&str> = self.resources.iter().map(|resource| resource.method.as_str()).collect();
        (!methods.is_empty() && !methods.contains(&asked.as_str())).then(|| methods.join(", "))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"resources": self.resources, "findings": self.findings})
    }

    pub(super) fn print(&self, output: Output) {
        for resource in &self.resources {
            output.line(format!(
                "{DIM}advertised{DIM:#} {} {} {STRONG}{}{STRONG:#} {} {DIM}{}{DIM:#}",
                resource.method,
                printable(&resource.path),
                price(resource),
                protocols(resource),
                summary(resource),
            ));
            for line in resource.input.as_ref().map(arguments).unwrap_or_default() {
                output.line(format!("{DIM}takes{DIM:#}   {line}"));
            }
        }
        print_findings(&self.findings, false, output);
    }
}

/// `query: city* string, days integer`: the required ones with a star.
pub(super) fn arguments(input: &Input) -> Vec<String> {
    let places =
        [("path", &input.path), ("query", &input.query), ("header", &input.headers), ("body", &input.body)];
    let lines = places.into_iter().filter_map(|(place, schema)| {
        let names = properties(schema.as_ref()?);
        Some(if names.is_empty() { place.to_owned() } else { format!("{place}: {}", names.join(", ")) })
    });
    lines.collect()
}

fn properties(schema: &Value) -> Vec<String> {
    let required = |name: &str| {
        let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        names.filter_map(Value::as_str).any(|required| required == name)
    };
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties
        .take(20)
        .map(|(name, property)| {
            let kind = property.get("type").and_then(Value::as_str).unwrap_or_default();
            let star = if required(name) { "*" } else { "" };
            printable(format!("{name}{star} {kind}").trim_end())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_told_in_a_line() {
        let query = json!({"properties": {"city": {"type": "string"}, "days": {}}, "required": ["city"]});
        let input = Input { query: Some(query), body: Some(json!({})), ..Input::default() };
        assert_eq!(arguments(&input), ["query: city* string, days", "body"]);
    }
}
