//! x402's extension `bazaar`: input and output of a route in its 402, by which facilitators catalogue it.

use serde_json::{Map, Value, json};

use super::About;
use crate::route::Pattern;

/// The extension for a route, in the shape of npm `@x402/extensions` 2.27.0 (`declareDiscoveryExtension`). None for a
/// route that says nothing of its input and output, or whose method the extension has no word for.
///
/// `info` holds an example and `schema` describes it, so that the one can be checked by the other: what has no example is
/// not demanded. An example is what the schema calls `example`, or the first of its `examples`.
pub(crate) fn bazaar(pattern: &Pattern, about: &About) -> Option<Value> {
    if about.input.is_none() && about.output.is_none() {
        return None;
    }
    let (info, schema) = input(pattern, about.input.as_ref())?;
    let mut extension = json!({
        "info": { "input": info },
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": { "input": schema },
            "required": ["input"],
        },
    });
    if let Some(output) = &about.output {
        put_output(&mut extension, output);
    }
    if let Some(template) = colon_template(pattern) {
        extension["routeTemplate"] = json!(template);
    }
    Some(json!({ "bazaar": extension }))
}

/// The input's example and schema.
fn input(pattern: &Pattern, given: Option<&Value>) -> Option<(Value, Value)> {
    let method = pattern.method()?.as_str();
    let (part, in_body) = match method {
        "GET" | "HEAD" | "DELETE" => ("queryParams", false),
        "POST" | "PUT" | "PATCH" => ("body", true),
        _ => return None,
    };
    let mut info = json!({ "type": "http", "method": method });
    let mut properties = json!({
        "type": { "type": "string", "const": "http" },
        "method": { "type": "string", "enum": [method] },
    });
    let mut required = vec!["type", "method"];
    if in_body {
        info["bodyType"] = json!("json");
        properties["bodyType"] = json!({ "type": "string", "enum": ["json", "form-data", "text"] });
        required.push("bodyType");
        properties[part] = given.cloned().unwrap_or_else(|| json!({}));
    } else {
        properties[part] = query_object(given);
    }
    if let Some(example) = given.and_then(example_of) {
        info[part] = example.clone();
        required.push(part);
    }
    if let Some(parameters) = path_parameters(pattern) {
        properties["pathParams"] = parameters;
    }
    let schema = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    Some((info, schema))
}

fn put_output(extension: &mut Value, output: &Value) {
    if let Some(example) = example_of(output) {
        extension["info"]["output"] = json!({ "type": "json", "example": example });
    }
    extension["schema"]["properties"]["output"] = json!({
        "type": "object",
        "properties": { "type": { "type": "string" }, "example": output },
        "required": ["type"],
    });
}

fn query_object(schema: Option<&Value>) -> Value {
    let given = schema.and_then(Value::as_object).cloned();
    let mut typed = given.unwrap_or_else(|| Map::from_iter([("properties".to_owned(), json!({}))]));
    typed.entry("type").or_insert_with(|| json!("object"));
    Value::Object(typed)
}

fn example_of(schema: &Value) -> Option<&Value> {
    schema.get("example").or_else(|| schema.get("examples")?.get(0))
}

fn path_parameters(pattern: &Pattern) -> Option<Value> {
    let template = pattern.template();
    let names = template.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let properties: Map<String, Value> =
        names.map(|name| (name.to_owned(), json!({ "type": "string" }))).collect();
    (!properties.is_empty()).then(|| json!({ "type": "object", "properties": properties }))
}

/// `/weather/:city`; none for a route with one path only.
fn colon_template(pattern: &Pattern) -> Option<String> {
    let template = pattern.template();
    template.contains('{').then(|| template.replace('{', ":").replace('}', ""))
}
