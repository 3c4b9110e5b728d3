//! The upstream's document with what the gateway knows better: prices, 402s, and which operations can be called at all.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Map, Value, json};

use super::clean::without_dangling;
use super::openapi::{self, METHODS, Paths, annotate, put_input};
use super::upstream::component_of;
use super::{Site, UpstreamDocument};
use crate::Pricing;
use crate::config::Unmatched;
use crate::pricing::Route;

/// What stands beside a path's operations and is kept.
const OF_A_PATH: [&str; 3] = ["parameters", "summary", "description"];
/// What is told of the upstream as a whole, besides its extensions.
const OF_THE_WHOLE: [&str; 4] = ["security", "tags", "externalDocs", "jsonSchemaDialect"];

/// What has become of an upstream's operations.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// The routes that are listed by them.
    routes: BTreeSet<usize>,
    /// How many are told.
    pub(super) told: usize,
    /// Those that are not: `POST /admin`.
    pub(super) untold: Vec<String>,
}

/// The document of these prices, with what the upstream says of its operations, and what has become of these.
pub(super) fn merged(
    site: &Site,
    pricing: &Pricing,
    upstream: Option<&UpstreamDocument>,
) -> (Map<String, Value>, Merged) {
    let mut paths = Paths::default();
    let merged = upstream.map(|upstream| list(&mut paths, pricing, upstream)).unwrap_or_default();
    for (at, route) in pricing.routes.iter().enumerate() {
        if !merged.routes.contains(&at) {
            paths.list_route(route);
        }
    }
    let info = upstream.and_then(|upstream| upstream.get("info")?.as_object()).cloned().unwrap_or_default();
    let mut document = openapi::document(site, site.info(info), paths);
    if let Some(upstream) = upstream {
        take_over(&mut document, upstream);
        document = without_dangling(document);
    }
    (document, merged)
}

/// Lists the operations that the gateway lets through.
fn list(paths: &mut Paths, pricing: &Pricing, upstream: &UpstreamDocument) -> Merged {
    let secured = upstream.get("security").is_some();
    let mut merged = Merged::default();
    for (path, template, item) in upstream.paths() {
        let mut exposed = Vec::new();
        for method in METHODS {
            let Some(operation) = item.get(method).and_then(Value::as_object) else { continue };
            let route = template.as_ref().and_then(|template| route_of(pricing, method, template));
            match route {
                Some((at, route)) => {
                    merged.routes.insert(at);
                    exposed.push((method, with_price(operation.clone(), method, route, secured)));
                }
                None if template.is_some() && pricing.unmatched == Unmatched::Free => {
                    exposed.push((method, without_price(operation.clone(), secured)));
                }
                None => merged.untold.push(openapi::name(method, path)),
            }
        }
        let Some(template) = template.filter(|_| !exposed.is_empty()) else { continue };
        merged.told += exposed.len();
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
    merged
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
    if let Some(schema) = &route.about.input
        && !["requestBody", "parameters"].iter().any(|key| operation.contains_key(*key))
    {
        put_input(&mut operation, method, schema);
    }
    annotate(&mut operation, route, secured);
    operation
}

fn without_price(mut operation: Map<String, Value>, secured: bool) -> Map<String, Value> {
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

/// Every component that a value speaks of: by reference, by the name that a discriminator's mapping has for a schema, or as
/// a way of signing in.
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
    if let Some(Value::Object(mapping)) = map.get("discriminator").and_then(|by| by.get("mapping")) {
        let names = mapping.values().filter_map(Value::as_str);
        found.extend(names.map(|name| ("schemas".to_owned(), name.to_owned())));
    }
    map.values().for_each(|value| references(value, found));
}
