//! What a proxy takes away from messages that pass it.

use farthing_protocol::x402;
use http::header::{FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Tells the upstream who paid.
pub(crate) const PAYER: HeaderName = HeaderName::from_static("farthing-payer");
/// Tells the upstream what was paid, in base units.
pub(crate) const AMOUNT: HeaderName = HeaderName::from_static("farthing-amount");
/// Tells the upstream what it was paid in: CAIP-2 network and token address.
pub(crate) const ASSET: HeaderName = HeaderName::from_static("farthing-asset");

pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// By these a client could have the upstream serve another method or path than was paid for.
const OVERRIDES: [&str; 7] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
    "x-forwarded-prefix",
];

/// Our own words, which nobody else may speak.
const OURS: &str = "farthing-";

/// Cleans a request for the upstream.
pub(crate) fn clean_request(headers: &mut HeaderMap, trust_forwarded: bool) {
    clean(headers);
    OVERRIDES.iter().for_each(|name| {
        headers.remove(*name);
    });
    // `farthing_payer` and `farthing.payer` are other headers by name; CGI, WSGI and PHP make the same variable of them
    // and `farthing-payer`. nginx drops what is no letter, digit or dash, too.
    let plain =
        |name: &HeaderName| name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let confusable: Vec<HeaderName> = headers.keys().filter(|name| !plain(name)).cloned().collect();
    for name in confusable {
        headers.remove(name);
    }
    headers.remove(HOST);
    headers.remove(FORWARDED);
    if !trust_forwarded {
        [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST].iter().for_each(|name| {
            headers.remove(name);
        });
        // Other spellings of the client's address and of the public name.
        ["x-real-ip", "x-forwarded-port", "x-forwarded-server", "true-client-ip"].iter().for_each(|name| {
            headers.remove(*name);
        });
    }
}

/// Cleans an answer of the upstream, which must not speak of payments either.
pub(crate) fn clean_response(headers: &mut HeaderMap) {
    clean(headers);
}

fn clean(headers: &mut HeaderMap) {
    farthing_http::remove_hop_by_hop(headers);
    x402::HEADERS.iter().for_each(|name| {
        headers.remove(*name);
    });
    let ours: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(OURS)).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
}

/// Adds a value to a comma-separated header.
pub(crate) fn append_listed(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    let listed = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let listed = listed.chain([value]).collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::try_from(listed) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_what_concerns_the_upstream_goes_through() {
        let mut request = headers(&[
            ("accept", "*/*"),
            ("authorization", "Bearer buyer"),
            ("connection", "keep-alive, X-Secret-Hop"),
            ("connection", "close"),
            ("x-secret-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "x"),
            ("payment-signature", "x"),
            ("x-payment", "x"),
            ("settlement-overrides", "{}"),
            ("extension-responses", "x"),
            ("sign-in-with-x", "x"),
            ("farthing-payer", "0xforged"),
            ("farthing_payer", "0xforged"),
            ("farthing.payer", "0xforged"),
            ("payment_signature", "x"),
            ("x-http-method-override", "DELETE"),
            ("x-original-url", "/admin"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("host", "evil.example"),
        ]);
        clean_request(&mut request, false);
        let mut names: Vec<_> = request.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "authorization"]);
    }

    #[test]
    fn a_trusted_front_keeps_its_word() {
        let mut request = headers(&[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")]);
        clean_request(&mut request, true);
        append_listed(&mut request, &FORWARDED_FOR, "10.0.0.1");
        assert_eq!(request[FORWARDED_FOR], "1.2.3.4, 10.0.0.1");
        assert_eq!(request[FORWARDED_PROTO], "https");
    }

    #[test]
    fn an_upstream_cannot_speak_of_payments() {
        let mut response = headers(&[
            ("content-type", "text/plain"),
            ("payment-response", "forged"),
            ("x-payment-response", "forged"),
            ("payment-required", "forged"),
            ("extension-responses", "forged"),
            ("settlement-overrides", "{}"),
            ("farthing-resent", "1"),
            ("connection", "x-a"),
            ("x-a", "1"),
        ]);
        clean_response(&mut response);
        assert_eq!(response.keys().collect::<Vec<_>>(), ["content-type"]);
    }
}
