use farthing_protocol::Object;
use farthing_protocol::discovery::{MAX_DOCUMENT_BYTES, local_pointer, server_url};
use serde_json::{Map, Value};
use url::Url;

use super::clean::cleaned;
use crate::canonical_path;

/// The OpenAPI document of the API that is being sold, read and bounded.
///
/// What is taken from it into the gateway's own document: the operations that the gateway lets through, with their
/// schemas and what these refer to. Operations that it refuses are not told, nor are addresses by which a buyer would get
/// around it, nor extensions that are not for buyers.
///
/// ```
/// use farthing_gateway::UpstreamDocument;
///
/// assert!(UpstreamDocument::parse(br#"{"openapi": "3.0.3", "paths": {"/weather": {"get": {}}}}"#).is_ok());
/// assert!(UpstreamDocument::parse(br#"{"swagger": "2.0", "paths": {}}"#).is_err());
/// ```
#[derive(Debug, Clone)]
pub struct UpstreamDocument {
    /// What others may know of it.
    root: Map<String, Value>,
    /// What stands before every path: the path of `servers[0].url`.
    base: String,
}

/// Why an upstream's document is not merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It is larger than 4 MiB.
    #[error("it is larger than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
    /// It is not JSON, is nested too deeply, or has a key twice.
    #[error("it is not usable JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It is JSON, and not an OpenAPI document of version 3.
    #[error("it is no OpenAPI 3 document: {0}")]
    NotOpenApi(&'static str),
    /// It could not be fetched.
    #[error("{0}")]
    Unreachable(String),
}

impl UpstreamDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// [`DocumentError`]
    pub fn parse(json: &[u8]) -> Result<Self, DocumentError> {
        if json.len() > MAX_DOCUMENT_BYTES {
            return Err(DocumentError::TooLarge);
        }
        let Object(root) = serde_json::from_slice(json)?;
        if !root.get("openapi").and_then(Value::as_str).is_some_and(|version| version.starts_with("3.")) {
            return Err(DocumentError::NotOpenApi("`openapi` is not 3.x"));
        }
        if !root.get("paths").is_some_and(Value::is_object) {
            return Err(DocumentError::NotOpenApi("`paths` is missing, or no object"));
        }
        let base = base_path(&root);
        Ok(Self { root: cleaned(root), base })
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.root.get(key)
    }

    /// Its entries besides those that are made anew.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.root.iter()
    }

    /// What stands under each path, with its template as the gateway sees it; without, where the gateway would refuse every
    /// request for it.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, Option<String>, &Map<String, Value>)> {
        let paths = self.root.get("paths").and_then(Value::as_object).into_iter().flatten();
        paths.filter_map(|(path, item)| {
            let template = canonical_template(&format!("{}{path}", self.base));
            Some((&**path, template, self.resolved(item)?))
        })
    }

    /// A path's item, also where it stands among the components.
    fn resolved<'a>(&'a self, item: &'a Value) -> Option<&'a Map<String, Value>> {
        let item = item.as_object()?;
        let Some(target) = item.get("$ref") else { return Some(item) };
        let (section, name) = component_of(target.as_str()?)?;
        self.root.get("components")?.get(section)?.get(name)?.as_object()
    }
}

/// The section and the name of the component that a reference leads to.
pub(super) fn component_of(reference: &str) -> Option<(String, String)> {
    let pointer = local_pointer(reference)?;
    let mut parts = pointer.strip_prefix("/components/")?.split('/');
    let plain = |part: &str| part.replace("~1", "/").replace("~0", "~");
    Some((plain(parts.next()?), plain(parts.next()?)))
}

/// The path of `servers[0].url`, which may be one of the upstream's own, whose host does not matter here.
fn base_path(root: &Map<String, Value>) -> String {
    let server = root.get("servers").and_then(|servers| servers.get(0));
    let url = server.zip(Url::parse("http://upstream.invalid/").ok());
    let url = url.and_then(|(server, base)| server_url(server, &base).ok());
    url.map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default()
}

/// A template whose fixed parts are in the form in which paths are matched; none for what the gateway would refuse.
fn canonical_template(template: &str) -> Option<String> {
    let mut canonical = String::new();
    for part in template.strip_prefix('/')?.split('/') {
        canonical.push('/');
        match part.contains('{') {
            true => canonical.push_str(part),
            false => canonical.push_str(canonical_path(&format!("/{part}")).ok()?.get(1..)?),
        }
    }
    (!canonical.contains("//")).then_some(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stand_where_the_gateway_sees_them() {
        for (servers, path, seen) in [
            (r#"[{"url": "/"}]"#, "/weather", Some("/weather")),
            (r#"[{"url": "/v1/"}]"#, "/weather/{city}", Some("/v1/weather/{city}")),
            (r#"[{"url": "https://api.example.com/v1"}]"#, "/a", Some("/v1/a")),
            (r#"[{"url": "https://api.example.com"}]"#, "/a", Some("/a")),
            (r#"[]"#, "/zürich", Some("/z%C3%BCrich")),
            (r#"{}"#, "/a/../b", None),
            (r#"[{"url": 7}]"#, "/a//b", None),
            (r#"[{"url": "v1"}]"#, "/a", Some("/v1/a")),
            (r#"[{"url": "/x"}]"#, "a", Some("/xa")),
            (
                r#"[{"url": "https://{host}/{base}", "variables": {"host": {"default": "h"}, "base": {"default": "v1"}}}]"#,
                "/a",
                Some("/v1/a"),
            ),
            (r#"[{"url": "https://{host}/v1"}]"#, "/a", Some("/v1/a")),
            (r#"[{"url": "https://[host/v1"}]"#, "/a", Some("/a")),
        ] {
            let json = format!(r#"{{"openapi":"3.1.0","servers":{servers},"paths":{{"{path}":{{}}}}}}"#);
            let document = UpstreamDocument::parse(json.as_bytes()).unwrap();
            let found = document.paths().next().and_then(|(_, template, _)| template);
            assert_eq!(found.as_deref(), seen, "{servers} {path}");
        }
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for json in [
            "",
            "<html>",
            "[]",
            "null",
            r#"{"swagger":"2.0","paths":{}}"#,
            r#"{"openapi":"3.0.0"}"#,
            r#"{"openapi":"3.0.0","paths":[]}"#,
            r#"{"openapi":3,"paths":{}}"#,
            r#"{"openapi":"3.0.0","paths":{},"paths":{}}"#,
        ] {
            assert!(UpstreamDocument::parse(json.as_bytes()).is_err(), "{json}");
        }
        let deep = format!(r#"{{"openapi":"3.0.0","paths":{}{}}}"#, "[".repeat(99), "]".repeat(99));
        assert!(UpstreamDocument::parse(deep.as_bytes()).is_err());
        let large = vec![b' '; MAX_DOCUMENT_BYTES + 1];
        assert!(matches!(UpstreamDocument::parse(&large), Err(DocumentError::TooLarge)));
    }
}
