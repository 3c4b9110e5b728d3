//! What the transport must know of a message to the server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use farthing_policy::json::Json;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;

use crate::guard::id::Id;
use crate::guard::{Form, Scan};

/// Where a request says which revision it is written for (2026-07-28 and later).
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
/// The header that says so too.
pub(super) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The method of the request, for who routes it (2026-07-28).
pub(super) const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// What it is about: a tool, a prompt or a resource (2026-07-28).
pub(super) const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A message to the server.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) bytes: Bytes,
    /// The requests in it.
    pub(super) ids: Vec<Id>,
    pub(super) kind: Kind,
    /// Of 2026-07-28 or later: what the headers say.
    pub(super) modern: Option<Modern>,
}

/// What the order of messages, and the session, depend on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initialize,
    Initialized,
    /// The cancellation of this request.
    Cancel(Id),
    /// With other requests in it.
    Request,
    /// Notifications and answers.
    Notice,
}

/// A request that needs no session: it says of itself what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Modern {
    pub(super) version: String,
    pub(super) method: String,
    pub(super) name: Option<String>,
    /// The call's arguments.
    pub(super) arguments: Option<Json>,
}

impl Outgoing {
    pub(super) fn read(message: Vec<u8>) -> Self {
        let shape = Scan::of(&message);
        let modern = Modern::of(&message);
        let (ids, kind) = match (shape.form, shape.method.as_deref()) {
            (Form::List, _) => batch(&message),
            (_, Some(method)) => match (shape.id.as_ref().and_then(Id::of), method) {
                (Some(id), "initialize") => (vec![id], Kind::Initialize),
                (Some(id), _) => (vec![id], Kind::Request),
                (None, "notifications/initialized") => (Vec::new(), Kind::Initialized),
                (None, "notifications/cancelled") => (Vec::new(), cancel(&message)),
                _ => (Vec::new(), Kind::Notice),
            },
            _ => (Vec::new(), Kind::Notice),
        };
        Self { bytes: message.into(), ids, kind, modern }
    }
}

fn batch(message: &[u8]) -> (Vec<Id>, Kind) {
    let Ok(Json::Array(members)) = Json::parse(message) else { return (Vec::new(), Kind::Notice) };
    let requests = members.iter().filter(|member| member.get("method").is_some());
    let ids: Vec<_> = requests.filter_map(|member| Id::of(member.get("id")?)).collect();
    let kind = if ids.is_empty() { Kind::Notice } else { Kind::Request };
    (ids, kind)
}

fn cancel(message: &[u8]) -> Kind {
    let json = Json::parse(message).ok();
    let id = json.as_ref().and_then(|json| Id::of(json.get("params")?.get("requestId")?));
    id.map_or(Kind::Notice, Kind::Cancel)
}

impl Modern {
    /// What a message of this form says; none for one that names no revision.
    pub(super) fn of(message: &[u8]) -> Option<Self> {
        // The tree is made only where it is needed. An escaped key is not seen; our own writer escapes none.
        memmem::find(message, VERSION_KEY.as_bytes())?;
        let json = Json::parse(message).ok()?;
        let params = json.get("params")?;
        let version = params.get("_meta")?.get(VERSION_KEY)?.as_str()?.to_owned();
        let method = json.get("method")?.as_str()?.to_owned();
        let key = match method.as_str() {
            "tools/call" | "prompts/get" => "name",
            "resources/read" => "uri",
            _ => "",
        };
        let name = params.get(key).and_then(Json::as_str).map(str::to_owned);
        let arguments = params.get("arguments").filter(|_| method == "tools/call").cloned();
        Some(Self { version, method, name, arguments })
    }

    /// Sets the headers that say the same as the body.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let entries =
            [(VERSION, Some(&self.version)), (METHOD, Some(&self.method)), (NAME, self.name.as_ref())];
        for (name, value) in entries {
            headers.remove(&name);
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(encode(value)).ok()) {
                headers.insert(name, value);
            }
        }
    }

    /// Whether the headers that the client sent say nothing else than the body. A parameter's header must hold the
    /// value of some argument: which one, only the server knows, and checks.
    pub(super) fn agrees(&self, headers: &HeaderMap) -> Result<(), String> {
        for (name, value) in
            [(VERSION, Some(&self.version)), (METHOD, Some(&self.method)), (NAME, self.name.as_ref())]
        {
            for shown in headers.get_all(&name) {
                if decode(shown).as_ref() != value {
                    return Err(format!("the header {name} differs from the message"));
                }
            }
        }
        for (name, shown) in headers.iter().filter(|(name, _)| is_parameter(name)) {
            let found = decode(shown).is_some_and(|shown| {
                self.arguments.as_ref().is_some_and(|arguments| holds(arguments, &shown))
            });
            if !found {
                return Err(format!("the header {name} holds no argument of the message"));
            }
        }
        Ok(())
    }
}

/// Whether a header repeats an argument (`x-mcp-header` in the tool's schema).
pub(super) fn is_parameter(name: &HeaderName) -> bool {
    name.as_str().starts_with("mcp-param-")
}

fn holds(json: &Json, text: &str) -> bool {
    match json {
        Json::Object(object) => object.iter().any(|(_, value)| holds(value, text)),
        Json::String(value) => value == text,
        Json::Bool(value) => text == if *value { "true" } else { "false" },
        Json::Number(number) => {
            let exact = Json::parse(text.as_bytes()).ok().and_then(|json| Id::of(&json));
            exact.is_some() && exact == Id::of(&Json::Number(number.clone()))
        }
        // Parameters are reached through properties alone.
        Json::Array(_) | Json::Null => false,
    }
}

const BEGIN: &str = "=?base64?";
const END: &str = "?=";

/// As the specification (2026-07-28, "Value Encoding") has it.
pub(super) fn encode(value: &str) -> String {
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
        && value.trim_matches([' ', '\t']) == value
        && !(value.starts_with(BEGIN) && value.ends_with(END));
    if plain { value.to_owned() } else { format!("{BEGIN}{}{END}", STANDARD.encode(value)) }
}

fn decode(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    match text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Outgoing {
        Outgoing::read(text.as_bytes().to_vec())
    }

    #[test]
    fn kinds_and_ids() {
        let one = || vec![Id::Text("1".to_owned())];
        for (text, ids, kind) in [
            (r#"{"id":"1","method":"initialize"}"#, one(), Kind::Initialize),
            (r#"{"id":"1","method":"ping"}"#, one(), Kind::Request),
            (r#"{"method":"notifications/initialized"}"#, vec![], Kind::Initialized),
            (
                r#"{"method":"notifications/cancelled","params":{"requestId":"1"}}"#,
                vec![],
                Kind::Cancel(one().remove(0)),
            ),
            (r#"{"id":"1","result":{}}"#, vec![], Kind::Notice),
            (r#"[{"method":"a"},{"id":"1","method":"b"},{"id":"2","result":1}]"#, one(), Kind::Request),
            (r#"[{"method":"a"}]"#, vec![], Kind::Notice),
        ] {
            let outgoing = read(text);
            assert_eq!((outgoing.ids, outgoing.kind, outgoing.modern), (ids, kind, None), "{text}");
        }
    }

    #[test]
    fn headers_say_what_the_body_says() {
        let text = r#"{"id":1,"method":"tools/call","params":{"name":"käse","arguments":{"a":{"n":4.20,"s":"x"}},
            "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let modern = read(text).modern.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(NAME, HeaderValue::from_static("other"));
        assert!(modern.agrees(&headers).is_err());
        modern.write(&mut headers);
        assert_eq!(headers[NAME], "=?base64?a8Okc2U=?=");
        assert_eq!(
            (&headers[METHOD], &headers[VERSION]),
            (&"tools/call".parse().unwrap(), &"2026-07-28".parse().unwrap())
        );
        for (value, fits) in
            [("4.2", true), ("x", true), ("=?base64?eA==?=", true), ("5", false), ("", false)]
        {
            headers.insert("mcp-param-a", value.parse().unwrap());
            assert_eq!(modern.agrees(&headers).is_ok(), fits, "{value}");
        }
    }

    #[test]
    fn values_are_encoded_as_in_the_specification() {
        for (value, encoded) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encode(value), encoded);
            assert_eq!(decode(&encoded.parse().unwrap()).unwrap(), value);
        }
    }
}
