//! What holds for every request, before any page is asked: who may ask, and what a browser may do with the answer.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::door::{Key, Visitor, place_in};
use crate::pages::Alone;
use crate::pages::door::locked;
use crate::server::Shared;

/// The session's cookie.
pub(crate) const COOKIE: &str = "farthing";

/// What a page may load, send and be shown in.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// With every answer that does not say otherwise itself.
const HEADERS: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // With `no-referrer` browsers would send forms from `Origin: null`.
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=()"),
];

/// Refuses what does not come from a page of ours in a browser that was led here by our address.
pub(crate) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let place = place_in(request.uri().path()).map(str::to_owned);
    let mut response = match refusal(&shared.authority, request.method(), request.headers()) {
        Some((status, why)) => (status, format!("{why}\n")).into_response(),
        None => next.run(request).await,
    };
    if let Some(alone) = response.extensions_mut().remove::<Alone>() {
        response = alone.written(response.status(), place.as_deref());
    }
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn refusal(authority: &str, method: &Method, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    if only(headers, &header::HOST) != Some(authority) {
        return Some((
            StatusCode::MISDIRECTED_REQUEST,
            "Nothing is served under this name: use the link that farthing ui printed.",
        ));
    }
    if matches!(*method, Method::GET | Method::HEAD) || is_ours(authority, headers) {
        return None;
    }
    Some((StatusCode::FORBIDDEN, "This was not sent by one of Farthing's pages, so nothing was done."))
}

/// Whether a browser says that one of our own pages sent this.
fn is_ours(authority: &str, headers: &HeaderMap) -> bool {
    let origin = only(headers, &header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    origin == Some(authority) && site.is_none_or(|site| site == b"same-origin")
}

/// A header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Somebody with a session. Who has none is shown the door, and nothing of where sessions are.
pub(crate) struct Entered(pub(crate) Visitor);

impl FromRequestParts<Arc<Shared>> for Entered {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let visitor = session_key(parts).and_then(|key| shared.door.visitor(&key));
        visitor.map(Self).ok_or_else(locked)
    }
}

/// The session's key that a browser shows: in its path, and in its cookie.
pub(crate) fn session_key(parts: &Parts) -> Option<Key> {
    let (place, cookie) = (place_in(parts.uri.path())?, cookie(&parts.headers)?);
    Some(Key { place: place.to_owned(), cookie: cookie.to_owned() })
}

/// The cookie's value, if there is exactly one: two are none.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter_map(|(name, value)| (name == COOKIE).then_some(value));
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1:4021";

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in list.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    fn status(method: &Method, list: &[(&'static str, &'static str)]) -> Option<u16> {
        refusal(HERE, method, &headers(list)).map(|(status, _)| status.as_u16())
    }

    #[test]
    fn one_name_is_answered() {
        assert_eq!(status(&Method::GET, &[("host", HERE)]), None);
        for host in
            ["localhost:4021", "127.0.0.1", "127.0.0.1:4022", "evil.example:4021", "127.0.0.1:4021.", ""]
        {
            assert_eq!(status(&Method::GET, &[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(status(&Method::GET, &[]), Some(421));
        assert_eq!(status(&Method::GET, &[("host", HERE), ("host", HERE)]), Some(421));
    }

    #[test]
    fn forms_come_from_our_pages() {
        let ours = ("origin", "http://127.0.0.1:4021");
        assert_eq!(status(&Method::POST, &[("host", HERE), ours]), None);
        assert_eq!(status(&Method::POST, &[("host", HERE), ours, ("sec-fetch-site", "same-origin")]), None);
        for other in [
            &[("host", HERE)][..],
            &[("host", HERE), ("origin", "null")],
            &[("host", HERE), ("origin", "https://127.0.0.1:4021")],
            &[("host", HERE), ("origin", "http://127.0.0.1:3000")],
            &[("host", HERE), ("origin", "http://evil.example")],
            &[("host", HERE), ours, ("origin", "http://evil.example")],
            &[("host", HERE), ours, ("sec-fetch-site", "same-site")],
            &[("host", HERE), ours, ("sec-fetch-site", "cross-site")],
        ] {
            assert_eq!(status(&Method::POST, other), Some(403), "{other:?}");
        }
    }

    #[test]
    fn one_cookie_is_shown() {
        for (cookies, value) in [
            (&[("cookie", "farthing=abc")][..], Some("abc")),
            (&[("cookie", "theme=dark; farthing=abc; x=y")], Some("abc")),
            (&[("cookie", "farthing=abc; farthing=def")], None),
            (&[("cookie", "farthing=abc"), ("cookie", "farthing=def")], None),
            (&[("cookie", "notfarthing=abc")], None),
            (&[], None),
        ] {
            assert_eq!(cookie(&headers(cookies)), value, "{cookies:?}");
        }
    }
}
