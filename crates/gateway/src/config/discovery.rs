//! `discovery` of `gateway.yaml`, and what a route says about itself.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::units::Time;
use crate::{Config, ConfigError};

/// The longest title, version, contact or tag, in bytes.
const MAX_NAME_BYTES: usize = 200;
/// The longest description or guidance, in bytes.
const MAX_TEXT_BYTES: usize = 16_000;
/// The most tags of a route.
const MAX_TAGS: usize = 16;

/// The key `discovery` as it stands in the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DiscoveryText {
    pub(crate) enabled: bool,
    /// Ours also where the upstream has such a file.
    pub(crate) replace: bool,
    pub(crate) title: Option<Spanned<String>>,
    pub(crate) version: Option<Spanned<String>>,
    pub(crate) description: Option<Spanned<String>>,
    pub(crate) contact: ContactText,
    pub(crate) guidance: Option<Spanned<String>>,
    pub(crate) upstream_document: Option<Spanned<String>>,
    refresh: Time,
}

/// Whom a buyer can ask.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ContactText {
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) email: Option<Spanned<String>>,
    pub(crate) url: Option<Spanned<String>>,
}

impl Default for DiscoveryText {
    fn default() -> Self {
        Self {
            enabled: true,
            replace: false,
            title: None,
            version: None,
            description: None,
            contact: ContactText::default(),
            guidance: None,
            upstream_document: None,
            refresh: Time(Duration::from_secs(300)),
        }
    }
}

/// Where the upstream's own document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Url(url::Url),
    File(PathBuf),
}

impl Config {
    /// Where the upstream's document is, and how often it is looked at; none where no document is named.
    pub(crate) fn document_source(&self) -> Result<Option<(Source, Duration)>, ConfigError> {
        let discovery = &self.text.discovery;
        let Some(Spanned { value: text, referenced: at, .. }) = &discovery.upstream_document else {
            return Ok(None);
        };
        let url = if text.starts_with('/') {
            self.upstream()?.join(text)
        } else if text.contains("://") {
            url::Url::parse(text)
        } else {
            return Ok(Some((Source::File(self.beside(text.as_ref())), discovery.refresh.0)));
        };
        let url = url.ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let why = "must be a path of the upstream such as /openapi.json, an http or https address, or a file";
        let url = url.ok_or_else(|| self.error(*at, why))?;
        Ok(Some((Source::Url(url), discovery.refresh.0)))
    }

    pub(super) fn check_discovery(&self) -> Result<(), ConfigError> {
        let discovery = &self.text.discovery;
        let ContactText { name, email, url } = &discovery.contact;
        for text in [&discovery.title, &discovery.version, name, email, url].into_iter().flatten() {
            self.check_text(text, MAX_NAME_BYTES)?;
        }
        for text in [&discovery.description, &discovery.guidance].into_iter().flatten() {
            self.check_text(text, MAX_TEXT_BYTES)?;
        }
        for route in &self.text.routes.value {
            self.check_about(route)?;
        }
        self.document_source().map(drop)
    }

    fn check_about(&self, route: &super::RouteText) -> Result<(), ConfigError> {
        for text in route.summary.iter().chain(&route.tags) {
            self.check_text(text, MAX_NAME_BYTES)?;
        }
        if route.tags.len() > MAX_TAGS {
            let why = format!("has {} tags; at most {MAX_TAGS} are told", route.tags.len());
            return Err(self.error(route.pattern.referenced, why));
        }
        for schema in [&route.input, &route.output].into_iter().flatten() {
            check_schema(&schema.value).map_err(|why| self.error(schema.referenced, why))?;
        }
        Ok(())
    }

    fn check_text(&self, text: &Spanned<String>, most_bytes: usize) -> Result<(), ConfigError> {
        let why = match text.value.len() {
            0 => "is empty: leave the key out instead".to_owned(),
            bytes if bytes > most_bytes => {
                format!("has {bytes} bytes; at most {most_bytes} are told to buyers")
            }
            _ => return Ok(()),
        };
        Err(self.error(text.referenced, why))
    }
}

/// A schema is copied into documents where what it refers to would be something else.
fn check_schema(schema: &Value) -> Result<(), &'static str> {
    if !schema.is_object() {
        return Err("must be a JSON Schema such as {type: object, properties: {city: {type: string}}}");
    }
    match refers(schema) {
        true => {
            Err("has `$ref` or `$id`: write the schema out, or take it from `discovery.upstream_document`")
        }
        false => Ok(()),
    }
}

fn refers(value: &Value) -> bool {
    match value {
        Value::Object(map) => {
            ["$ref", "$id", "$dynamicRef"].iter().any(|key| map.get(*key).is_some_and(Value::is_string))
                || map.values().any(refers)
        }
        Value::Array(items) => items.iter().any(refers),
        _ => false,
    }
}
