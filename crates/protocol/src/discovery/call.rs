//! What a call takes and gives.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::node::{Findings, Node, cut};
use super::schema::Resolver;
use crate::x402;

/// The most parameters that are read of one operation.
const MAX_PARAMETERS: usize = 200;

/// What a call takes. Every schema is JSON Schema, those of parameters with one property for each.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Input {
    /// The query's parameters.
    pub query: Option<Value>,
    /// The path's parameters.
    pub path: Option<Value>,
    /// Headers of the API's own.
    pub headers: Option<Value>,
    /// The body.
    pub body: Option<Value>,
    /// The body's media type, or bazaar's word for it: `json`.
    pub body_type: Option<String>,
    /// Example arguments.
    pub example: Option<Value>,
}

impl Input {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a call gives.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Output {
    /// Its media type, or bazaar's word for it: `json`.
    pub media_type: Option<String>,
    /// Its JSON Schema.
    pub schema: Option<Value>,
    /// An example.
    pub example: Option<Value>,
}

impl Output {
    /// Whether nothing is known but, at most, the media type.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.schema.is_none() && self.example.is_none()
    }
}

/// What an operation takes: its parameters, those of its path, and its body.
pub(super) fn input<'a>(
    path_item: &Node<'a>,
    operation: &Node<'a>,
    resolver: &mut Resolver<'a>,
    findings: &mut Findings,
) -> Option<Input> {
    let mut parameters = path_item.items("parameters", findings);
    parameters.extend(operation.items("parameters", findings));
    let mut read = Parameters::default();
    for parameter in parameters.iter().take(MAX_PARAMETERS) {
        let resolved = resolver.resolve(parameter, findings);
        read.add(&Node { value: &resolved, at: parameter.at.clone() }, findings);
    }
    let Parameters { query, path, header } = read;
    let mut input =
        Input { query: query.schema(), path: path.schema(), headers: header.schema(), ..Input::default() };
    if let Some(body) = operation.get("requestBody") {
        let body = resolver.resolve(&body, findings);
        if let Some((media_type, media)) = media(&body) {
            input.body_type = Some(media_type);
            input.example = example(media);
            input.body = media.get("schema").cloned();
        }
    }
    Some(input).filter(|input| !input.is_empty())
}

/// What an operation gives when it succeeds.
pub(super) fn output<'a>(
    operation: &Node<'a>,
    resolver: &mut Resolver<'a>,
    findings: &mut Findings,
) -> Option<Output> {
    let responses = operation.get_object("responses", findings)?;
    let named = ["200", "201"].iter().find_map(|status| responses.get(status));
    let success = named.or_else(|| {
        let mut all = responses.entries();
        all.find(|(status, _)| status.starts_with('2')).map(|(_, node)| node)
    })?;
    let success = resolver.resolve(&success, findings);
    let (media_type, media) = media(&success)?;
    Some(Output {
        media_type: Some(media_type),
        schema: media.get("schema").cloned(),
        example: example(media),
    })
}

/// The media type that is read: JSON where there is a choice.
fn media(holder: &Value) -> Option<(String, &Value)> {
    let content = holder.get("content")?.as_object()?;
    let json = content.iter().find(|(name, _)| name.starts_with("application/json"));
    let (name, media) = json
        .or_else(|| content.iter().find(|(name, _)| name.contains("json")))
        .or_else(|| content.iter().next())?;
    Some((cut(name, 100), media))
}

fn example(media: &Value) -> Option<Value> {
    let named = || media.get("examples")?.as_object()?.values().next()?.get("value");
    let found = media.get("example").or_else(named).or_else(|| media.pointer("/schema/example"));
    found.cloned()
}

/// Parameters by where they stand.
#[derive(Debug, Default)]
struct Parameters {
    query: Properties,
    path: Properties,
    header: Properties,
}

impl Parameters {
    fn add(&mut self, parameter: &Node<'_>, findings: &mut Findings) {
        let (Some(name), Some(place)) =
            (parameter.text("name", 200, findings), parameter.text("in", 20, findings))
        else {
            return;
        };
        match place.as_str() {
            "query" => self.query.add(name, parameter.value),
            "path" => self.path.add(name, parameter.value),
            "header" if !is_the_clients_own(&name) => self.header.add(name, parameter.value),
            _ => {}
        }
    }
}

/// What says who calls and who pays is not the caller's to fill in.
fn is_the_clients_own(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    header == "authorization" || x402::HEADERS.contains(&header.as_str())
}

/// Parameters of one kind, as a schema.
#[derive(Debug, Default)]
struct Properties {
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Properties {
    /// An operation's parameter comes after its path's, and takes its place.
    fn add(&mut self, name: String, parameter: &Value) {
        let schema = parameter.get("schema").or_else(|| media(parameter)?.1.get("schema"));
        let mut schema = schema.and_then(Value::as_object).cloned().unwrap_or_default();
        for key in ["description", "example"] {
            if let (Some(value), false) = (parameter.get(key), schema.contains_key(key)) {
                schema.insert(key.to_owned(), value.clone());
            }
        }
        self.required.retain(|required| *required != name);
        if parameter.get("required") == Some(&Value::Bool(true)) {
            self.required.push(name.clone());
        }
        self.properties.insert(name, schema.into());
    }

    fn schema(self) -> Option<Value> {
        let Self { properties, required } = self;
        (!properties.is_empty())
            .then(|| json!({"type": "object", "properties": properties, "required": required}))
    }
}
