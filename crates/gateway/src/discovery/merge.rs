//! The upstream's document with what the gateway knows better: prices, 402s, and which operations can be called at all.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Map, Value, json};

use super::openapi::{self, METHODS, Paths, annotate, put_input};
use super::upstream::component_of;
use super::{Site, UpstreamDocument};
use crate::Pricing;
use crate::config::Unmatched;
use crate::pricing::Route;

/// What stands beside a path's operations and may be kept. `servers` may not: it would lead around the gateway.
const OF_A_PATH: [&str; 3] = ["parameters", "summary", "description"];
/// What is told of the upstream as a whole, besides its extensions.
const OF_THE_WHOLE: [&str; 4] = ["security", "tags", "externalDocs", "jsonSchemaDialect"];

/// The document of these prices, with what the upstream says of its operations.
pub(super) fn merged(
    site: &Site,
    pricing: &Pricing,
    upstream: Option<&UpstreamDocument>,
) -> Map<String, Value> {
    let mut paths = Paths::default();
    let listed = upstream.map(|upstream| list(&mut paths, pricing, upstream)).unwrap_or_default();
    for (at, route) in pricing.routes.iter().enumerate() {
        if !listed.contains(&at) {
            paths.list_route(route);
        }
    }
    let info = upstream.and_then(|upstream| upstream.get("info")?.as_object()).cloned().unwrap_or_default();
    let mut document = openapi::document(site, site.info(info), paths);
    if let Some(upstream) = upstream {
        take_over(&mut document, upstream);
    }
    document
}

/// Lists the operations that the gateway lets through. Gives the routes that are listed by them.
fn list(paths: &mut Paths, pricing: &Pricing, upstream: &UpstreamDocument) -> BTreeSet<usize> {
    let secured = upstream.get("security").is_some();
    let mut listed = BTreeSet::new();
    for (template, item) in upstream.paths() {
        let mut exposed = Vec::new();
        for method in METHODS {
            let Some(operation) = item.get(method).and_then(Value::as_object) else { continue };
            match route_of(pricing, method, &template) {
                Some((at, route)) => {
                    listed.insert(at);
                    exposed.push((method, with_price(operation.clone(), method, route, secured)));
                }
                None if pricing.unmatched == Unmatched::Free => {
                    exposed.push((method, without_price(operation.clone(), secured)));
                }
                None => {}
            }
        }
        if exposed.is_empty() {
            continue;
        }
        let template = paths.template(&template);
        for key in OF_A_PATH {
            if let Some(value) = item.get(key) {
                paths.set(&template, key, value.clone());
            }
        }
        for (method, operation) in exposed {
            paths.list(&template, method, operation);
        }
    }
    listed
}

/// The route that a request of this operation would take. A parameter of the template fits a parameter of the pattern
/// alone: no literal has braces.
fn route_of<'a>(pricing: &'a Pricing, method: &str, template: &str) -> Option<(usize, &'a Route)> {
    let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok()?;
    let mut routes = pricing.routes.iter().enumerate();
    routes.find(|(_, route)| route.pattern.matches(&method, template))
}

fn with_price(
    mut operation: Map<String, Value>,
    method: &str,
    route: &Route,
    secured: bool,
) -> Map<String, Value> {
    operation.remove("servers");
    if let Some(schema) = &route.about.input
        && !["requestBody", "parameters"].iter().any(|key| operation.contains_key(*key))
    {
        put_input(&mut operation, method, schema);
    }
    annotate(&mut operation, route, secured);
    operation
}

fn without_price(mut operation: Map<String, Value>, secured: bool) -> Map<String, Value> {
    operation.remove("servers");
    operation.remove("x-payment-info");
    if !secured {
        operation.entry("security").or_insert_with(|| json!([]));
    }
    operation
}

/// Takes over what is true of the gateway as well, and the components that are still referred to.
fn take_over(document: &mut Map<String, Value>, upstream: &UpstreamDocument) {
    if let Some(version) = upstream.get("openapi") {
        document.insert("openapi".to_owned(), version.clone());
    }
    for (key, value) in upstream.entries() {
        if OF_THE_WHOLE.contains(&&**key) || key.starts_with("x-") {
            document.entry(key).or_insert_with(|| value.clone());
        }
    }
    let components = upstream.get("components").and_then(Value::as_object);
    let kept = components.map(|components| referred(document, components)).unwrap_or_default();
    if !kept.is_empty() {
        document.insert("components".to_owned(), json!(kept));
    }
}

type Components<'a> = BTreeMap<String, BTreeMap<String, &'a Value>>;

/// The components that the document refers to, and those that these refer to. The others are about what is not sold.
fn referred<'a>(document: &Map<String, Value>, components: &'a Map<String, Value>) -> Components<'a> {
    let mut kept = Components::new();
    let mut wanted = Vec::new();
    references_in(document, &mut wanted);
    while let Some((section, name)) = wanted.pop() {
        let found = components.get(&section).and_then(|section| section.get(&name));
        let Some(component) = found else { continue };
        if kept.entry(section).or_default().insert(name, component).is_none() {
            references(component, &mut wanted);
        }
    }
    kept
}

/// Every component that a value speaks of: by reference, by a discriminator's mapping, or as a way of signing in.
fn references(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.extend(component_of(text)),
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(map) => references_in(map, found),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn references_in(map: &Map<String, Value>, found: &mut Vec<(String, String)>) {
    if let Some(Value::Array(ways)) = map.get("security") {
        let schemes = ways.iter().filter_map(Value::as_object).flat_map(Map::keys);
        found.extend(schemes.map(|scheme| ("securitySchemes".to_owned(), scheme.clone())));
    }
    map.values().for_each(|value| references(value, found));
}
