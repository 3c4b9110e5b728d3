//! Arguments that a client must repeat in headers (2026-07-28, `x-mcp-header`), so that who routes requests need not read
//! them. A client on standard input and output has no headers: the guard sets them in its place, from the same message.

use std::collections::HashMap;

use farthing_policy::json::Json;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;

use super::outgoing::{Modern, encode};

/// What a schema marks such an argument with.
const MARK: &str = "x-mcp-header";
/// The most headers of all tools together, and how deep a schema is looked into.
const MOST: usize = 4096;
const DEEPEST: usize = 16;

/// Which arguments of which tools stand in which headers.
#[derive(Debug, Default)]
pub(super) struct Mirror(HashMap<String, Vec<(HeaderName, Vec<String>)>>);

impl Mirror {
    /// Learns from an answer to `tools/list`. What a tool said before is replaced.
    pub(super) fn learn(&mut self, answer: &[u8]) {
        let Ok(json) = Json::parse(answer) else { return };
        let tools = json.get("result").and_then(|result| result.get("tools")).and_then(Json::as_array);
        for tool in tools.unwrap_or_default() {
            let Some(name) = tool.get("name").and_then(Json::as_str) else { continue };
            self.0.remove(name);
            let mut found = Vec::new();
            if let Some(schema) = tool.get("inputSchema") {
                collect(schema, &mut Vec::new(), &mut found);
            }
            let all: usize = self.0.values().map(Vec::len).sum();
            if !found.is_empty() && all + found.len() <= MOST {
                self.0.insert(name.to_owned(), found);
            }
        }
    }

    /// Whether an answer says anything about it.
    pub(super) fn concerns(&self, answer: &[u8]) -> bool {
        !self.0.is_empty() || memmem::find(answer, MARK.as_bytes()).is_some()
    }

    /// Sets the headers of a call.
    pub(super) fn write(&self, modern: &Modern, headers: &mut HeaderMap) {
        let Some(arguments) = &modern.arguments else { return };
        let marked = modern.name.as_ref().and_then(|name| self.0.get(name));
        for (name, path) in marked.map(Vec::as_slice).unwrap_or_default() {
            let value = path.iter().try_fold(arguments, |json, key| json.get(key));
            let text = match value {
                Some(Json::String(text)) => text.clone(),
                Some(Json::Number(number)) => number.as_str().to_owned(),
                Some(Json::Bool(truth)) => truth.to_string(),
                _ => continue,
            };
            if let Ok(value) = HeaderValue::try_from(encode(&text)) {
                headers.insert(name.clone(), value);
            }
        }
    }
}

/// Only what is reached through `properties` alone counts.
fn collect(schema: &Json, path: &mut Vec<String>, found: &mut Vec<(HeaderName, Vec<String>)>) {
    let Some(properties) = schema.get("properties").and_then(Json::as_object) else { return };
    for (key, property) in properties.iter() {
        path.push(key.to_owned());
        if let Some(mark) = property.get(MARK).and_then(Json::as_str)
            && !mark.is_empty()
            && let Ok(name) = format!("mcp-param-{}", mark.to_ascii_lowercase()).parse()
        {
            found.push((name, path.clone()));
        }
        if path.len() < DEEPEST {
            collect(property, path, found);
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_arguments_stand_in_headers() {
        let mut mirror = Mirror::default();
        let list = r#"{"result":{"tools":[{"name":"t","inputSchema":{"properties":{
            "region":{"type":"string","x-mcp-header":"Region"},
            "deep":{"properties":{"n":{"type":"integer","x-mcp-header":"N"},"b":{"x-mcp-header":"B"}}},
            "absent":{"x-mcp-header":"Absent"},
            "none":{"x-mcp-header":"None"},
            "bad":{"x-mcp-header":"not a token"},
            "list":{"items":{"properties":{"x":{"x-mcp-header":"X"}}}}}}}]}}"#;
        assert!(mirror.concerns(list.as_bytes()) && !mirror.concerns(b"{}"));
        mirror.learn(list.as_bytes());
        let call = r#"{"method":"tools/call","params":{"name":"t","arguments":{"region":"nörth","deep":{"n":-7,"b":true},
            "none":null,"bad":"x","list":[{"x":"y"}]},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let modern = Modern::of(call.as_bytes()).unwrap();
        let mut headers = HeaderMap::new();
        mirror.write(&modern, &mut headers);
        assert_eq!(headers.len(), 3);
        assert_eq!(
            (&headers["mcp-param-n"], &headers["mcp-param-b"]),
            (&"-7".parse().unwrap(), &"true".parse().unwrap())
        );
        assert_eq!(headers["mcp-param-region"], "=?base64?bsO2cnRo?=");
        assert!(modern.agrees(&headers).is_ok());
        mirror.learn(br#"{"result":{"tools":[{"name":"t"}]}}"#);
        assert!(!mirror.concerns(b"{}"), "the server marks nothing any more");
    }
}
