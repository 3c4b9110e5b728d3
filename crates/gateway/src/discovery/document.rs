use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::answer::{Answer, held};

/// Five minutes: what mpp-specs' draft-payment-discovery-00 recommends.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// Which document, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    OpenApi,
    X402,
    Llms,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::OpenApi, Self::X402, Self::Llms];

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::OpenApi => "/openapi.json",
            Self::X402 => "/.well-known/x402",
            Self::Llms => "/llms.txt",
        }
    }

    const fn content_type(self) -> HeaderValue {
        match self {
            Self::OpenApi | Self::X402 => HeaderValue::from_static("application/json"),
            Self::Llms => HeaderValue::from_static("text/plain; charset=utf-8"),
        }
    }
}

/// A document as it is given out.
#[derive(Debug, Clone)]
pub struct Document {
    kind: Kind,
    body: Bytes,
    etag: HeaderValue,
}

impl Document {
    pub(super) fn new(kind: Kind, text: String) -> Self {
        let digest = hex::encode(&Sha256::digest(text.as_bytes())[..16]);
        // Quotes and hex digits always make a header.
        let etag = HeaderValue::try_from(format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { kind, body: Bytes::from(text), etag }
    }

    /// Where it is served: `/openapi.json`.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.kind.path()
    }

    /// Its media type, for a server that gives it out itself.
    #[must_use]
    pub fn content_type(&self) -> HeaderValue {
        self.kind.content_type()
    }

    /// The document itself: UTF-8.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The answer to a GET or HEAD request with these headers: 200, or 304 for who has it already.
    pub(crate) fn answer(&self, asked: &HeaderMap) -> Answer {
        let known = is_known(asked, &self.etag);
        let mut answer = Response::new(held(if known { Bytes::new() } else { self.body.clone() }));
        let headers = answer.headers_mut();
        headers.insert(ETAG, self.etag.clone());
        headers.insert(CACHE_CONTROL, CACHED);
        // Anybody may read it, from any page: it is the same for all.
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        if known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            return answer;
        }
        headers.insert(CONTENT_TYPE, self.content_type());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        answer
    }
}

/// RFC 9110, section 13.1.2: compared weakly.
fn is_known(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    let values = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}
