//! How the guard is told where the server is, and who may come.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use subtle::ConstantTimeEq;
use url::Url;
use zeroize::Zeroizing;

use crate::guard::Limits;

/// A text that appears in no log and no error.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps this text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Whether this is the secret. Takes the same time however near it comes; only the length can be told from it.
    pub(super) fn is(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// An MCP server that speaks HTTP.
#[derive(Clone)]
pub struct Target {
    /// Its endpoint.
    pub(super) url: Url,
    /// What goes with every request; marked as sensitive.
    pub(super) headers: HeaderMap,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
}

impl fmt::Debug for Target {
    /// Without the query, which may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        url.set_query(None);
        f.debug_struct("Target")
            .field("url", &url.as_str())
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// The server at this URL; each of `headers` is `Name: value`, and goes with every request.
    ///
    /// # Errors
    /// [`HttpError::Url`], [`HttpError::Header`]
    pub fn new<H: AsRef<str>>(url: &str, headers: impl IntoIterator<Item = H>) -> Result<Self, HttpError> {
        let wrong = |why: &str| HttpError::Url { why: why.to_owned() };
        let url = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(wrong("it must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it holds a user name or a password; use a header instead"));
        }
        let headers = headers.into_iter().map(|text| one_header(text.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { url, headers, connect_timeout: Duration::from_secs(10) })
    }
}

/// Errors name the header, never its value.
fn one_header(text: &str) -> Result<(HeaderName, HeaderValue), HttpError> {
    let wrong = |name: &str, why| HttpError::Header { name: name.to_owned(), why };
    let Some((name, value)) = text.split_once(':') else {
        return Err(wrong("", "it is not written as 'Name: value'"));
    };
    let name = name.trim();
    let parsed: HeaderName = name.parse().map_err(|_| wrong(name, "this is no name of a header"))?;
    if RESERVED.contains(&parsed.as_str()) {
        return Err(wrong(name, "the guard sets it itself"));
    }
    let mut value = HeaderValue::from_str(value.trim())
        .map_err(|_| wrong(name, "the value has characters that a header can't hold"))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

/// Headers of the transport itself.
const RESERVED: [&str; 11] = [
    "host",
    "accept",
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "mcp-session-id",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "last-event-id",
];

/// A guard between our standard input and output and a server that speaks HTTP.
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// The server.
    pub target: Target,
    /// What the session may take.
    pub limits: Limits,
    /// How long open requests may take after the client has closed our input.
    pub grace: Duration,
}

impl BridgeConfig {
    /// The defaults: [`Limits::default`], 5 seconds of grace.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target, limits: Limits::default(), grace: Duration::from_secs(5) }
    }
}

/// What clients of [`Server`](super::Server) speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Streamable HTTP (2025-03-26 and later), at `/mcp` and at the path of the server's own URL.
    Http,
    /// HTTP with SSE (2024-11-05), at `/sse` and `/messages`.
    Sse,
}

/// A guard that listens for clients, in front of a server that speaks HTTP.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// The server.
    pub target: Target,
    /// Where clients connect.
    pub bind: SocketAddr,
    /// What they speak.
    pub transport: Transport,
    /// Names, with or without a port, by which clients may call us beside the loopback names and the bound address.
    pub allow_hosts: Vec<String>,
    /// Web origins (`https://app.example`) whose pages may call us, beside those of this machine.
    pub allow_origins: Vec<String>,
    /// The bearer token that clients must show. Needed where other machines can connect.
    pub token: Option<Secret>,
    /// Whether a client's own `Authorization` is passed to the server. Never if `token` is set or the target has one.
    pub pass_authorization: bool,
    /// What a session may take.
    pub limits: Limits,
    /// The most sessions; then the one that was idle longest goes.
    pub max_sessions: usize,
    /// For how long a session may be idle.
    pub idle: Duration,
    /// How long open requests may take after the shutdown has begun.
    pub grace: Duration,
}

impl ServeConfig {
    /// The defaults: streamable HTTP, no further hosts and origins, no token, the client's authorization is passed,
    /// [`Limits::default`], 256 sessions, one hour, 5 seconds of grace.
    #[must_use]
    pub fn new(target: Target, bind: SocketAddr) -> Self {
        Self {
            target,
            bind,
            transport: Transport::Http,
            allow_hosts: Vec::new(),
            allow_origins: Vec::new(),
            token: None,
            pass_authorization: true,
            limits: Limits::default(),
            max_sessions: 256,
            idle: Duration::from_secs(3600),
            grace: Duration::from_secs(5),
        }
    }

    /// Whether it is safe to listen so.
    pub(super) fn check(&self) -> Result<(), HttpError> {
        match &self.token {
            Some(token) if token.is_empty() => Err(HttpError::EmptyToken),
            None if !self.bind.ip().is_loopback() => Err(HttpError::NeedsToken { bind: self.bind }),
            _ => Ok(()),
        }
    }

    /// Whether a client's `Authorization` goes on to the server.
    ///
    /// Never `Payment`: that is a payment (MPP) whose terms nobody has judged.
    pub(super) fn passes(&self, authorization: &HeaderValue) -> bool {
        let ours = self.target.headers.contains_key(header::AUTHORIZATION);
        let scheme = authorization.as_bytes().split(u8::is_ascii_whitespace).find(|word| !word.is_empty());
        let pays = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"payment"));
        self.pass_authorization && self.token.is_none() && !ours && !pays
    }
}

/// Why the guard could not run, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server's URL.
    #[error("the server's URL can't be used: {why}")]
    Url {
        /// What is wrong with it.
        why: String,
    },
    /// A header for the server.
    #[error("the header {name:?} can't be used: {why}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Other machines could use the guard.
    #[error(
        "{bind} can be reached from other machines: set a token that clients must show, or bind to 127.0.0.1"
    )]
    NeedsToken {
        /// Where it was to listen.
        bind: SocketAddr,
    },
    /// The token is empty.
    #[error("the token that clients must show is empty")]
    EmptyToken,
    /// The address is not to be had.
    #[error("can't listen on {bind}")]
    Bind {
        /// Where it was to listen.
        bind: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// TLS can't be spoken.
    #[error(transparent)]
    Tls(#[from] farthing_http::TlsError),
    /// The process could not be set up for it.
    #[error("can't set up the guard")]
    Setup(#[from] io::Error),
    /// There is no randomness.
    #[error(transparent)]
    Entropy(#[from] farthing_ambient::NoEntropy),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_in_a_header_goes_nowhere() {
        let target = Target::new("http://127.0.0.1:1/mcp", Vec::<String>::new()).unwrap();
        let config = ServeConfig::new(target, SocketAddr::from(([127, 0, 0, 1], 0)));
        for (value, passes) in
            [("Bearer x", true), ("Payment x", false), (" payment\tx", false), ("PAYMENT", false)]
        {
            assert_eq!(config.passes(&HeaderValue::from_static(value)), passes, "{value}");
        }
    }

    #[test]
    fn urls_and_headers_are_checked_and_values_are_kept_secret() {
        for url in ["", "ftp://a/", "http:", "https://me:pass@a/mcp", "/mcp"] {
            assert!(Target::new(url, [""; 0]).is_err(), "{url}");
        }
        for header in ["novalue", "Bad Name: x", "Host: a", "MCP-Session-Id: a", "X: \u{1}s3cret"] {
            let error = Target::new("http://a/mcp", [header]).unwrap_err();
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        let target = Target::new("http://a/mcp?key=s3cret", ["Authorization: Bearer s3cret"]).unwrap();
        assert!(!format!("{target:?}").contains("s3cret"));
        assert!(!format!("{:?}", Secret::new("s3cret".to_owned())).contains("s3cret"));
        assert!(Secret::new("a".to_owned()).is("a") && !Secret::new("a".to_owned()).is("b"));
    }

    #[test]
    fn other_machines_need_a_token() {
        let target = Target::new("http://a/mcp", [""; 0]).unwrap();
        let local = ServeConfig::new(target.clone(), ([127, 0, 0, 1], 0).into());
        assert!(local.check().is_ok() && local.passes(&HeaderValue::from_static("Bearer x")));
        let mut open = ServeConfig::new(target, ([0, 0, 0, 0], 0).into());
        assert!(matches!(open.check(), Err(HttpError::NeedsToken { .. })));
        open.token = Some(Secret::new(String::new()));
        assert!(matches!(open.check(), Err(HttpError::EmptyToken)));
        open.token = Some(Secret::new("x".to_owned()));
        assert!(open.check().is_ok() && !open.passes(&HeaderValue::from_static("Bearer x")));
    }
}
