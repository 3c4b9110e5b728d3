use farthing_protocol::x402::ResourceInfo;
use serde_json::{Map, Value, json};
use serde_saphyr::Spanned;

use crate::config::{ContactText, RouteText};
use crate::{Config, ConfigError};

/// The longest name of a service that x402 carries, in ASCII characters.
const MAX_SERVICE_NAME: usize = 32;
/// The most tags of a resource that x402 carries.
const MAX_RESOURCE_TAGS: usize = 5;

/// What the documents say about the service as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) public_url: String,
    title: Option<String>,
    version: Option<String>,
    description: Option<String>,
    contact: Map<String, Value>,
    pub(crate) guidance: Option<String>,
    /// Ours also where the upstream has such a file.
    pub(crate) replace: bool,
    /// The upstream's document is to be merged into ours.
    pub(crate) merges: bool,
}

impl Site {
    /// None where the documents are not to be served.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>, ConfigError> {
        let text = &config.text.discovery;
        if !text.enabled {
            return Ok(None);
        }
        Ok(Some(Self {
            public_url: config.public_url()?,
            title: plain(&text.title),
            version: plain(&text.version),
            description: plain(&text.description),
            contact: contact(&text.contact),
            guidance: plain(&text.guidance),
            replace: text.replace,
            merges: text.upstream_document.is_some(),
        }))
    }

    pub(crate) fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.public_url)
    }

    /// OpenAPI's `info`: what the configuration says, over what the upstream says of itself.
    pub(crate) fn info(&self, upstream: Map<String, Value>) -> Value {
        let mut info = upstream;
        let host = self.public_url.split_once("://").map_or(&*self.public_url, |(_, host)| host);
        let said = [
            ("title", &self.title, Some(host)),
            ("version", &self.version, Some("1")),
            ("description", &self.description, None),
            ("x-guidance", &self.guidance, None),
        ];
        for (key, said, otherwise) in said {
            match (said, otherwise) {
                (Some(text), _) => drop(info.insert(key.to_owned(), json!(text))),
                (None, Some(text)) if !info.get(key).is_some_and(Value::is_string) => {
                    info.insert(key.to_owned(), json!(text));
                }
                (None, _) => {}
            }
        }
        if !self.contact.is_empty() {
            info.insert("contact".to_owned(), Value::Object(self.contact.clone()));
        }
        Value::Object(info)
    }

    /// The service's name where x402 can carry it.
    pub(crate) fn service_name(&self) -> Option<String> {
        self.title.clone().filter(|title| title.len() <= MAX_SERVICE_NAME && is_printable_ascii(title))
    }
}

/// What a route says about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) summary: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) mime_type: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) input: Option<Value>,
    pub(crate) output: Option<Value>,
}

impl About {
    pub(crate) fn of(route: &RouteText) -> Self {
        let schema = |schema: &Option<Spanned<Value>>| schema.as_ref().map(|schema| schema.value.clone());
        Self {
            summary: plain(&route.summary),
            description: route.description.clone(),
            mime_type: route.mime_type.clone(),
            tags: route.tags.iter().map(|tag| tag.value.clone()).collect(),
            input: schema(&route.input),
            output: schema(&route.output),
        }
    }

    /// What the answer is: JSON where it has a schema and nothing else is said.
    pub(crate) fn media_type(&self) -> Option<String> {
        let json = self.output.as_ref().map(|_| "application/json".to_owned());
        self.mime_type.clone().or(json)
    }

    /// The resource as a 402 describes it, without its URL.
    pub(crate) fn resource(&self, site: Option<&Site>) -> ResourceInfo {
        let tags = self.tags.iter().filter(|tag| tag.len() <= MAX_SERVICE_NAME && is_printable_ascii(tag));
        let tags: Vec<String> = tags.take(MAX_RESOURCE_TAGS).cloned().collect();
        ResourceInfo {
            description: self.description.clone().or_else(|| self.summary.clone()),
            mime_type: self.media_type(),
            service_name: site.and_then(Site::service_name),
            tags: Some(tags).filter(|tags| !tags.is_empty()),
            ..ResourceInfo::new("")
        }
    }
}

fn is_printable_ascii(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn plain(text: &Option<Spanned<String>>) -> Option<String> {
    text.as_ref().map(|text| text.value.clone())
}

fn contact(text: &ContactText) -> Map<String, Value> {
    let ContactText { name, email, url } = text;
    let said = [("name", name), ("email", email), ("url", url)];
    said.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(plain(text)?)))).collect()
}
