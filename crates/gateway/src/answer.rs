//! Answers that the layer gives itself, and the body that knows whether it was delivered.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use farthing_protocol::x402::{SettleResponse, encode_header};
use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Either;

use crate::streamed::Streamed;

/// What a browser's script may read of our headers.
pub(crate) const EXPOSED: &str = "PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE";

/// How much of a body goes out at once: so that a slow reader's progress is seen.
const PIECE_BYTES: usize = 64 * 1024;

/// A body that is in memory, and tells whether it went out whole.
pub struct Held {
    bytes: Option<Bytes>,
    /// The connection has it. Before that even an empty body was not delivered.
    taken: bool,
    on_end: Option<Box<dyn OnEnd>>,
}

/// What is to happen when a held body has gone out, or was dropped before.
pub(crate) trait OnEnd: Send + Sync {
    /// Called once. `delivered`: the last byte was handed to the connection.
    fn end(self: Box<Self>, delivered: bool);
}

/// The layer's answers: the inner service's body as it comes, or one that was held back.
pub type GatewayBody<B> = Either<Streamed<B>, Held>;

pub(crate) type Answer = Response<Held>;
/// A call that ends here. Boxed, because it travels in `Err`.
pub(crate) type Refusal = Box<Answer>;

pub(crate) fn held(bytes: Bytes) -> Held {
    Held { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), taken: false, on_end: None }
}

impl Held {
    pub(crate) fn on_end(mut self, on_end: Box<dyn OnEnd>) -> Self {
        self.on_end = Some(on_end);
        self
    }

    pub(crate) fn taken(mut self) -> Self {
        self.taken = true;
        self
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held")
            .field("bytes", &self.bytes.as_ref().map_or(0, Bytes::len))
            .finish_non_exhaustive()
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(mut bytes) = self.bytes.take() else { return Poll::Ready(None) };
        let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
        self.bytes = Some(bytes).filter(|rest| !rest.is_empty());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let delivered = self.taken && self.bytes.is_none();
        if let Some(on_end) = self.on_end.take() {
            on_end.end(delivered);
        }
    }
}

/// An error with a code for programs and a sentence for people.
pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({ "error": code, "message": message }).to_string();
    let mut answer = Response::new(held(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    no_store(answer.headers_mut());
    answer
}

/// As [`error`], where the same request may be sent again.
pub(crate) fn try_again(status: StatusCode, code: &str, message: &str) -> Answer {
    let mut answer = error(status, code, message);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    answer
}

/// Takes out what speaks to one kind of cache alone, and there outweighs `Cache-Control` (RFC 9213 and its forerunners).
fn untarget(headers: &mut HeaderMap) {
    let targeted = |name: &&HeaderName| {
        let name = name.as_str();
        name.ends_with("cdn-cache-control") || ["surrogate-control", "x-accel-expires"].contains(&name)
    };
    let names: Vec<HeaderName> = headers.keys().filter(targeted).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

pub(crate) fn no_store(headers: &mut HeaderMap) {
    untarget(headers);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// A paid answer belongs to who paid: no shared cache may keep it.
pub(crate) fn make_private(headers: &mut HeaderMap) {
    untarget(headers);
    let values: Vec<HeaderValue> = headers.get_all(CACHE_CONTROL).iter().cloned().collect();
    let mut kept: Vec<&str> = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|directive| !directive.is_empty() && !is_shared(directive))
        .collect();
    if !kept.iter().any(|d| d.eq_ignore_ascii_case("private") || d.eq_ignore_ascii_case("no-store")) {
        kept.insert(0, "private");
    }
    let value = HeaderValue::from_str(&kept.join(", "));
    headers.insert(CACHE_CONTROL, value.unwrap_or(HeaderValue::from_static("private")));
}

fn is_shared(directive: &str) -> bool {
    let name = directive.split('=').next().unwrap_or(directive).trim();
    ["public", "s-maxage", "proxy-revalidate"].iter().any(|shared| name.eq_ignore_ascii_case(shared))
}

/// Attaches the settlement, under the header's name in the payment's version.
pub(crate) fn attach(headers: &mut HeaderMap, name: &'static str, settled: &SettleResponse) {
    let value = encode_header(settled).ok().and_then(|value| HeaderValue::try_from(value).ok());
    match value {
        Some(value) => {
            headers.insert(name, value);
            headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
        None => tracing::error!("a settlement could not be written into {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paid_answers_are_private() {
        for (given, wanted) in [
            (&[][..], "private"),
            (&["public, max-age=60"], "private, max-age=60"),
            (&["Public", "s-maxage=9"], "private"),
            (&["no-store"], "no-store"),
            (&["private, max-age=5"], "private, max-age=5"),
            (&["max-age=5", "PUBLIC"], "private, max-age=5"),
        ] {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(value));
            }
            make_private(&mut headers);
            let values: Vec<_> = headers.get_all(CACHE_CONTROL).iter().collect();
            assert_eq!(values, [wanted], "{given:?}");
        }
    }

    #[test]
    fn no_single_cache_is_told_otherwise() {
        for change in [make_private, no_store] {
            let mut headers = HeaderMap::new();
            for name in
                ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control", "x-accel-expires"]
            {
                headers.insert(name, HeaderValue::from_static("max-age=600"));
            }
            change(&mut headers);
            assert_eq!(headers.keys().collect::<Vec<_>>(), ["cache-control"]);
        }
    }
}
