//! A server of an OpenAPI document.

use serde_json::Value;
use url::Url;

/// The address of an entry of `servers`, as the document at `base` means it: its variables have their defaults, and what is
/// no whole address is one of `base`'s.
///
/// # Errors
/// What is no address even so.
///
/// ```
/// use farthing_protocol::discovery::server_url;
/// use serde_json::json;
///
/// let base = "https://api.example.com".parse()?;
/// let server = json!({"url": "/{version}", "variables": {"version": {"default": "v1"}}});
/// assert_eq!(server_url(&server, &base)?.as_str(), "https://api.example.com/v1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn server_url(server: &Value, base: &Url) -> Result<Url, url::ParseError> {
    let mut filled = String::new();
    let mut rest = server.get("url").and_then(Value::as_str).unwrap_or_default();
    while let Some((before, name, after)) = variable(rest) {
        filled.push_str(before);
        match default_of(server, name) {
            Some(default) => filled.push_str(default),
            None => filled.extend(["{", name, "}"]),
        }
        rest = after;
    }
    filled.push_str(rest);
    base.join(&filled)
}

/// What stands before the first variable, its name, and what follows.
fn variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

fn default_of<'a>(server: &'a Value, name: &str) -> Option<&'a str> {
    server.get("variables")?.get(name)?.get("default")?.as_str()
}
