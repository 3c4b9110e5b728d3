use std::fmt;

use serde::{Serialize, Serializer};
use url::Url;

use crate::ask::printable;

/// An origin that can be asked: a scheme, a host and a port, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site(Url);

/// Why something is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no origin: {why}")]
pub struct BadSite {
    /// What was given, without credentials, escaped and cut.
    pub text: String,
    /// What is wrong.
    pub why: String,
}

impl Site {
    /// Reads `https://api.example.com`, or a host alone: then https, or http for this machine. A path is left out.
    ///
    /// # Errors
    /// [`BadSite`]
    pub fn parse(text: &str) -> Result<Self, BadSite> {
        let text = text.trim();
        let bad = |why: &str| BadSite { text: shown(text), why: why.to_owned() };
        let read = |text: &str| Url::parse(text).map_err(|error| bad(&error.to_string()));
        let url = match text.contains("://") {
            true => read(text)?,
            false => {
                let plain = read(&format!("http://{text}"))?;
                let here = farthing_ambient::is_this_machine(&plain);
                if here { plain } else { read(&format!("https://{text}"))? }
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("leave out the credentials: nothing is asked with them"));
        }
        Self::of(&url).ok_or_else(|| bad("only http and https addresses can be asked"))
    }

    /// The origin of an address; `None` for one that is not of the web.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        let web = matches!(url.scheme(), "http" | "https") && url.has_host();
        web.then(|| Url::parse(&url.origin().ascii_serialization()).ok().map(Self)).flatten()
    }

    /// An address on it.
    #[must_use]
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }

    /// Whether an address is on it.
    #[must_use]
    pub fn has(&self, url: &Url) -> bool {
        url.origin() == self.0.origin()
    }
}

impl fmt::Display for Site {
    /// Without a slash at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl Serialize for Site {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text without credentials, for messages.
fn shown(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("…@{}", printable(rest)),
        None => printable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_addresses_are_origins() {
        for (text, origin) in [
            ("api.example.com", "https://api.example.com"),
            (" https://API.example.com/v1?x#y ", "https://api.example.com"),
            ("api.example.com:8443/x", "https://api.example.com:8443"),
            ("http://api.example.com:80", "http://api.example.com"),
            ("localhost:8080", "http://localhost:8080"),
            ("127.0.0.1", "http://127.0.0.1"),
            ("[::1]:99", "http://[::1]:99"),
        ] {
            assert_eq!(Site::parse(text).unwrap().to_string(), origin, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_without_its_secrets() {
        let long = format!("https://u:s3cret{}@a.example", "x".repeat(300));
        for text in
            ["", "https://", "ftp://a.example", "javascript://x", "a b", "https://u:s3cret@a.example", &long]
        {
            let error = Site::parse(text).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
