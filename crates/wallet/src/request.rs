use std::fmt;

use bytes::Bytes;
use farthing_protocol::x402;
use http::{HeaderMap, Method, header};
use sha2::{Digest, Sha256};
use url::Url;

use crate::FetchError;

/// Headers that say where a request goes or where it ends: they follow from the address and the body. The policy looks
/// at the address's host, so no other host may be asked.
const FRAMING: [header::HeaderName; 7] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];

/// A request that may have to be paid for. It is sent at most a few times, and every time the same. Its debug output
/// leaves the headers' values and the body out.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The address, `http` or `https`, without credentials in it.
    pub url: Url,
    /// The caller's headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// Stands in the method's place for a call of an MCP server's tool. The address's fragment is the tool.
    pub const MCP: &str = "MCP";

    /// A call of a tool of the MCP server at this address; its arguments are the body.
    ///
    /// # Errors
    /// [`FetchError::BadUrl`]
    pub fn mcp(url: &str, tool: &str, arguments: Bytes) -> Result<Self, FetchError> {
        let bad = |why: String| FetchError::BadUrl { url: shown(url), why };
        let method = Method::from_bytes(Self::MCP.as_bytes()).map_err(|error| bad(error.to_string()))?;
        let mut request = Self::new(method, url)?;
        request.url.set_fragment(Some(tool));
        request.body = arguments;
        Ok(request)
    }

    /// A `GET` request.
    ///
    /// # Errors
    /// [`FetchError::BadUrl`]
    pub fn get(url: &str) -> Result<Self, FetchError> {
        Self::new(Method::GET, url)
    }

    /// A request without headers and body.
    ///
    /// # Errors
    /// [`FetchError::BadUrl`] for anything but an `http` or `https` address with a host and no credentials.
    pub fn new(method: Method, url: &str) -> Result<Self, FetchError> {
        let bad = |why: &str| FetchError::BadUrl { url: shown(url), why: why.to_owned() };
        let parsed = Url::parse(url).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => bad("it has no scheme; write https://… in front"),
            error => bad(&error.to_string()),
        })?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad("only http and https addresses can be called"));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(bad(
                "credentials in an address end up in records; pass them with -H 'Authorization: …'",
            ));
        }
        if parsed.host_str().is_none_or(str::is_empty) {
            return Err(bad("it has no host"));
        }
        Ok(Self { method, url: parsed, headers: HeaderMap::new(), body: Bytes::new() })
    }

    /// Refuses headers that the wallet writes itself.
    pub(crate) fn check_headers(&self) -> Result<(), FetchError> {
        let bad = |name: &header::HeaderName, why| Err(FetchError::BadHeader { name: name.to_string(), why });
        for name in self.headers.keys() {
            if FRAMING.contains(name) {
                return bad(name, "it follows from the address and the body");
            }
            if x402::HEADERS.contains(&name.as_str()) {
                return bad(name, "payment headers are written by the wallet");
            }
        }
        Ok(())
    }

    /// The host as policies name it: lower case, with a port that is not the scheme's own.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    /// Whether the address is this machine itself.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        farthing_ambient::is_this_machine(&self.url)
    }

    /// The address as it is recorded: without the fragment, which is never sent, unless it names a tool.
    #[must_use]
    pub fn recorded_url(&self) -> String {
        let mut url = self.url.clone();
        if self.method.as_str() != Self::MCP {
            url.set_fragment(None);
        }
        url.into()
    }

    /// SHA-256 over method, address and body: what makes a retry the same request. Headers stay out, because dates,
    /// trace ids and tokens differ from one try to the next.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for part in [self.method.as_str().as_bytes(), self.recorded_url().as_bytes(), &self.body] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hex::encode(hasher.finalize())
    }

    /// SHA-256 of the body, as a policy's terms have it; `None` where there is no body.
    #[must_use]
    pub fn body_digest(&self) -> Option<String> {
        (!self.body.is_empty()).then(|| format!("sha256:{}", hex::encode(Sha256::digest(&self.body))))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.recorded_url())
            .field("headers", &self.headers.keys().map(header::HeaderName::as_str).collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// The address without credentials, for messages.
fn shown(url: &str) -> String {
    let cut: String = url.chars().take(200).flat_map(char::escape_debug).collect();
    match cut.split_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_web_addresses() {
        for url in [
            "",
            "example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "https://u:p@example.com",
            "http://",
        ] {
            assert!(matches!(Request::get(url), Err(FetchError::BadUrl { .. })), "{url:?}");
        }
        let error = Request::get("https://user:secret@example.com/").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn host_is_canonical() {
        assert_eq!(Request::get("https://API.Example.com:443/x").unwrap().host(), "api.example.com");
        assert_eq!(Request::get("http://127.0.0.1:8080/").unwrap().host(), "127.0.0.1:8080");
        assert_eq!(Request::get("https://example.com./").unwrap().host(), "example.com");
    }

    #[test]
    fn digest_tells_requests_apart() {
        let a = Request::get("https://example.com/a").unwrap();
        let mut b = a.clone();
        assert_eq!(a.digest(), b.digest());
        b.body = Bytes::from_static(b"x");
        assert_ne!(a.digest(), b.digest());
        assert_eq!(a.digest(), Request::get("https://example.com/a#part").unwrap().digest());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let mut request = Request::get("https://example.com/a").unwrap();
        request.headers.insert("authorization", http::HeaderValue::from_static("Bearer s3cret"));
        request.body = Bytes::from_static(b"s3cret");
        let shown = format!("{request:?}");
        assert!(shown.contains("authorization") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn loopback_is_recognised() {
        for (url, loopback) in [
            ("http://127.0.0.1:1/", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("http://10.0.0.1/", false),
            ("http://localhost.example.com/", false),
        ] {
            assert_eq!(Request::get(url).unwrap().is_loopback(), loopback, "{url}");
        }
    }
}
