//! The routes as an OpenAPI document.

use std::collections::BTreeMap;

use farthing_money::Usd;
use serde_json::{Map, Value, json};

use super::{Kind, Site};
use crate::pricing::{Charge, PaidRoute, Route};

/// The methods whose requests have a body.
const WITH_BODY: [&str; 3] = ["post", "put", "patch"];
/// The methods that OpenAPI has words for, and which a gateway serves.
pub(crate) const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// A document of these paths.
pub(crate) fn document(site: &Site, info: Value, paths: Paths) -> Map<String, Value> {
    let llms = site.url_of(Kind::Llms.path());
    let entries = [
        ("openapi", json!("3.1.0")),
        ("info", info),
        ("servers", json!([{ "url": site.public_url }])),
        ("paths", paths.into_value()),
        ("x-agentcash-guidance", json!({ "llmsTxtUrl": llms })),
        ("x-service-info", json!({ "docs": { "llms": llms } })),
    ];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A document's paths. Two templates for the same requests are one path.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    items: BTreeMap<String, Map<String, Value>>,
    /// The template that stands for a shape.
    templates: BTreeMap<String, String>,
}

impl Paths {
    /// The template that this one is listed under.
    pub(crate) fn template(&mut self, template: &str) -> String {
        self.templates.entry(shape(template)).or_insert_with(|| template.to_owned()).clone()
    }

    /// Sets what holds for all operations of a path.
    pub(crate) fn set(&mut self, template: &str, key: &str, value: Value) {
        self.item(template).insert(key.to_owned(), value);
    }

    /// Lists an operation, unless a more specific one stands there. One without words is called by its name.
    pub(crate) fn list(&mut self, template: &str, method: &str, mut operation: Map<String, Value>) {
        if !["summary", "description"].iter().any(|key| operation.contains_key(*key)) {
            operation.insert("summary".to_owned(), json!(name(method, template)));
        }
        self.item(template).entry(method).or_insert(Value::Object(operation));
    }

    /// Lists a route by what the configuration says of it.
    pub(crate) fn list_route(&mut self, route: &Route) {
        let Some(method) = listed_method(route) else { return };
        let template = self.template(&route.pattern.template());
        let operation = operation(route, &method, &template);
        self.list(&template, &method, operation);
    }

    fn item(&mut self, template: &str) -> &mut Map<String, Value> {
        self.items.entry(template.to_owned()).or_default()
    }

    fn into_value(self) -> Value {
        self.items.into_iter().map(|(template, item)| (template, Value::Object(item))).collect()
    }
}

/// What an operation is called that has no words of its own: `GET /weather/{city}`.
pub(crate) fn name(method: &str, template: &str) -> String {
    format!("{} {template}", method.to_ascii_uppercase())
}

/// The same text for templates of the same requests: without the names of parameters.
fn shape(template: &str) -> String {
    let mut shape = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        shape.push_str(before);
        shape.push_str("{}");
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    shape.push_str(rest);
    shape.make_ascii_lowercase();
    shape
}

/// The method that a route is listed under; none for what is of no use to buyers, or has no word in OpenAPI. A route
/// for every method is listed under the one that its input tells.
pub(crate) fn listed_method(route: &Route) -> Option<String> {
    let Some(method) = route.pattern.method() else {
        return Some(if route.about.input.is_some() { "post" } else { "get" }.to_owned());
    };
    let method = method.as_str().to_ascii_lowercase();
    let aside = matches!(&*method, "options" | "head") && matches!(route.charge, Charge::Free { .. });
    (METHODS.contains(&&*method) && !aside).then_some(method)
}

/// An operation by what the configuration says of its route.
fn operation(route: &Route, method: &str, template: &str) -> Map<String, Value> {
    let mut operation = Map::new();
    let parameters = path_parameters(route, template);
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), Value::Array(parameters));
    }
    if let Some(schema) = &route.about.input {
        put_input(&mut operation, method, schema);
    }
    annotate(&mut operation, route, false);
    operation
}

/// Puts a route's input into an operation: as its body, or, where the method has none, as its query.
pub(crate) fn put_input(operation: &mut Map<String, Value>, method: &str, schema: &Value) {
    if WITH_BODY.contains(&method) {
        let body = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        operation.insert("requestBody".to_owned(), body);
        return;
    }
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Value::Array(parameters) = parameters {
        parameters.extend(query_parameters(schema));
    }
}

/// Puts into an operation what its route says: words, the price, the 402; and that it needs no sign-in, unless it says
/// otherwise or the whole document does (`secured`).
pub(crate) fn annotate(operation: &mut Map<String, Value>, route: &Route, secured: bool) {
    let about = &route.about;
    for (key, text) in [("summary", &about.summary), ("description", &about.description)] {
        if let Some(text) = text {
            operation.insert(key.to_owned(), json!(text));
        }
    }
    if !about.tags.is_empty() {
        operation.insert("tags".to_owned(), json!(about.tags));
    }
    if !secured {
        operation.entry("security").or_insert_with(|| json!([]));
    }
    let responses = operation.entry("responses").or_insert_with(|| answered(route));
    if !responses.is_object() {
        *responses = answered(route);
    }
    if let Charge::Paid(paid) = &route.charge {
        responses["402"] = payment_required();
        operation.insert("x-payment-info".to_owned(), payment_info(paid));
    }
}

fn path_parameters(route: &Route, template: &str) -> Vec<Value> {
    let names = template.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = names
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if route.pattern.takes_the_rest()
        && let Some(rest) = parameters.last_mut()
    {
        rest["description"] = json!("The rest of the path: any number of segments, with their slashes");
    }
    parameters
}

fn query_parameters(schema: &Value) -> Vec<Value> {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, schema)| {
            let required = required.contains(&&**name);
            json!({ "name": name, "in": "query", "required": required, "schema": schema })
        })
        .collect()
}

fn answered(route: &Route) -> Value {
    let about = &route.about;
    let mut answer = json!({ "description": "The answer" });
    if let Some(media) = about.media_type() {
        let schema = about.output.as_ref().map_or_else(|| json!({}), |schema| json!({ "schema": schema }));
        answer["content"] = json!({ media: schema });
    }
    json!({ "200": answer })
}

fn payment_required() -> Value {
    json!({
        "description": "Payment required. The price stands in the header PAYMENT-REQUIRED (x402 version 2) and in the body \
            (version 1); send the same request again with a payment.",
        "headers": {
            "PAYMENT-REQUIRED": {
                "description": "Base64 of JSON: what is sold, and the ways of paying for it",
                "schema": { "type": "string" },
            },
        },
    })
}

/// The price in the form of the npm package `@agentcash/discovery` (`price`, `protocols`) and in that of mpp-specs'
/// draft-payment-discovery-00 (`offers`) at once. The 402 has the last word.
fn payment_info(route: &PaidRoute) -> Value {
    let offers = route.terms.requirements().zip(&route.prices).map(|(terms, price)| {
        json!({
            "intent": "charge",
            "method": "x402",
            "amount": terms.amount,
            "currency": terms.asset,
            "description": price,
            "network": terms.network,
            "scheme": terms.scheme,
        })
    });
    let offers: Vec<Value> = offers.collect();
    json!({ "price": price(&route.values), "protocols": [{ "x402": {} }], "offers": offers })
}

fn price(values: &[Usd]) -> Value {
    let plain = |value: Option<&Usd>| value.copied().unwrap_or_default().to_string().replace('$', "");
    let (least, most) = (values.iter().min(), values.iter().max());
    match least == most {
        true => json!({ "mode": "fixed", "amount": plain(least), "currency": "USD" }),
        false => json!({ "mode": "dynamic", "min": plain(least), "max": plain(most), "currency": "USD" }),
    }
}
