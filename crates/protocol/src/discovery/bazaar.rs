//! The bazaar extension of a 402: what a call takes and gives, for who lists it.

use serde::Serialize;
use serde_json::{Value, json};

use super::node::cut;
use super::schema::{Budget, bounded};
use super::{Input, Output};
use crate::{Challenge, StrictValue};

/// What the extension says. It is the seller's word, as the rest of the 402 is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Bazaar {
    /// `http` or `mcp`.
    pub kind: String,
    /// Upper case, for HTTP.
    pub method: Option<String>,
    /// The tool's name, for MCP.
    pub tool: Option<String>,
    /// The route that the request is one of: `/users/:userId`.
    pub route_template: Option<String>,
    /// What it takes.
    pub input: Input,
    /// What it gives.
    pub output: Output,
}

impl Bazaar {
    /// The extension of a 402 in version 2, or what version 1 had in its place (`outputSchema` of an offer).
    #[must_use]
    pub fn of(challenge: &Challenge) -> Option<Self> {
        let read = |raw: &str| serde_json::from_str::<StrictValue>(raw).ok().map(|StrictValue(value)| value);
        let extensions = challenge.extensions.as_ref().and_then(|raw| read(raw.get()));
        let from_v1 = || {
            let (mut budget, mut offers) =
                (Budget::default(), challenge.offers.iter().filter_map(|offer| read(offer.raw.get())));
            offers.find_map(|offer| Self::of_output_schema_within(offer.get("outputSchema")?, &mut budget))
        };
        extensions.and_then(|extensions| Self::of_extensions(&extensions)).or_else(from_v1)
    }

    /// From `extensions`: `bazaar.info` has examples, `bazaar.schema` is the JSON Schema of `info`.
    #[must_use]
    pub fn of_extensions(extensions: &Value) -> Option<Self> {
        Self::of_extensions_within(extensions, &mut Budget::default())
    }

    /// The same, of one of many entries that together may be no larger than a document.
    pub(super) fn of_extensions_within(extensions: &Value, budget: &mut Budget) -> Option<Self> {
        let bazaar = bounded(extensions.get("bazaar")?, budget);
        let input = bazaar.pointer("/info/input")?;
        let schemas = bazaar.pointer("/schema/properties/input/properties");
        let schema = |key: &str| schemas.and_then(|schemas| schemas.get(key)).cloned();
        let mut read = Self::of_input(input)?;
        read.route_template = text(&bazaar, "routeTemplate").filter(|template| template.starts_with('/'));
        let tool_schema = input.get("inputSchema").cloned();
        read.input = Input {
            query: schema("queryParams"),
            path: schema("pathParams"),
            headers: schema("headers"),
            body: tool_schema.or_else(|| schema("body")),
            body_type: text(input, "bodyType"),
            example: ["body", "queryParams", "example"].iter().find_map(|key| example(input, key)),
        };
        read.output = Output {
            media_type: bazaar.pointer("/info/output").and_then(|output| text(output, "type")),
            schema: bazaar.pointer("/schema/properties/output/properties/example").cloned(),
            example: bazaar.pointer("/info/output/example").cloned(),
        };
        Some(read)
    }

    /// From version 1's `outputSchema`: `{"input": {"type", "method", "queryParams", "bodyFields"}, "output": …}`, where
    /// each parameter stands with its schema.
    #[must_use]
    pub fn of_output_schema(schema: &Value) -> Option<Self> {
        Self::of_output_schema_within(schema, &mut Budget::default())
    }

    pub(super) fn of_output_schema_within(schema: &Value, budget: &mut Budget) -> Option<Self> {
        let schema = bounded(schema, budget);
        let input = schema.get("input")?;
        let mut read = Self::of_input(input)?;
        let properties = |keys: [&str; 2]| {
            let found = keys.iter().find_map(|key| input.get(key)).filter(|found| found.is_object())?;
            Some(json!({"type": "object", "properties": found}))
        };
        read.input = Input {
            query: properties(["queryParams", "query"]),
            headers: properties(["headerFields", "headers"]),
            body: properties(["bodyFields", "body"]),
            body_type: text(input, "bodyType"),
            ..Input::default()
        };
        read.output.schema = schema.get("output").filter(|output| !output.is_null()).cloned();
        Some(read)
    }

    fn of_input(input: &Value) -> Option<Self> {
        let kind = text(input, "type")?;
        let method = text(input, "method").map(|method| method.to_ascii_uppercase());
        // The specification says `tool`, the package `toolName`.
        let tool = text(input, "toolName").or_else(|| text(input, "tool"));
        Some(Self { kind, method, tool, ..Self::default() })
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(|text| cut(text, 500))
}

fn example(input: &Value, key: &str) -> Option<Value> {
    let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    input.get(key).filter(|value| !empty(value)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_of_a_tool_are_read() {
        for key in ["tool", "toolName"] {
            let schema = json!({"type": "object"});
            let input = json!({"type": "mcp", key: "search", "inputSchema": schema, "example": {"q": "x"}});
            let read = Bazaar::of_extensions(&json!({"bazaar": {"info": {"input": input}}})).unwrap();
            assert_eq!((read.kind.as_str(), read.tool.as_deref()), ("mcp", Some("search")));
            assert_eq!(read.input.body, Some(schema));
            assert_eq!(read.input.example, Some(json!({"q": "x"})));
        }
    }

    #[test]
    fn what_version_1_said_is_read() {
        let read = Bazaar::of_output_schema(&json!({
            "input": {"type": "http", "method": "get", "queryParams": {"city": {"type": "string"}}},
            "output": {"type": "object"},
        }))
        .unwrap();
        assert_eq!(read.method.as_deref(), Some("GET"));
        assert_eq!(read.input.query.unwrap()["properties"]["city"]["type"], "string");
        assert_eq!(read.output.schema, Some(json!({"type": "object"})));
        assert_eq!(Bazaar::of_output_schema(&json!({"input": 1})), None);
    }
}
