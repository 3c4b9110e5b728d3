//! What the proxy takes away from messages, and what it says in them.

use farthing_http::remove_hop_by_hop;
use farthing_ledger::Outcome;
use farthing_money::{Price, Usd};
use farthing_policy::{Limit, Usage};
use farthing_protocol::x402;
use farthing_wallet::PaidCall;
use http::header::{
    ALT_SVC, AUTHORIZATION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, LOCATION, SET_COOKIE,
    STRICT_TRANSPORT_SECURITY, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;

use super::problem::Problem;
use super::target::Form;

/// The most that the caller wants to pay for this call.
const MAX_PRICE: HeaderName = HeaderName::from_static("farthing-max-price");
const PRICE: HeaderName = HeaderName::from_static("farthing-price");
pub(super) const PURCHASE: HeaderName = HeaderName::from_static("farthing-purchase");
const OUTCOME: HeaderName = HeaderName::from_static("farthing-outcome");
const NETWORK: HeaderName = HeaderName::from_static("farthing-network");
const TRANSACTION: HeaderName = HeaderName::from_static("farthing-transaction");
const REMAINING: HeaderName = HeaderName::from_static("farthing-remaining");
/// The code of a problem: by it a caller tells our answers from the seller's.
const ERROR: HeaderName = HeaderName::from_static("farthing-error");
/// SDKs that Stainless makes (OpenAI's, Anthropic's) do what it says instead of trying again by themselves.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// No page may read what comes through us, whatever a seller thinks of it.
const CORS: &str = "access-control-";

/// What we say, and nobody else.
const OURS: [HeaderName; 7] = [PRICE, PURCHASE, OUTCOME, NETWORK, TRANSACTION, REMAINING, ERROR];

/// What the caller says for the proxy, and nobody else.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) max_price: Option<Usd>,
    /// Something goes along by which the seller knows the caller.
    pub(super) credentials: bool,
}

/// Cleans the caller's headers for the seller.
///
/// # Errors
/// A header that the caller may not set.
pub(super) fn for_seller(headers: &mut HeaderMap) -> Result<Wishes, Problem> {
    let refused = |name: &str, why: &str| {
        Err(Problem::bad_request("header_refused", format!("the header `{name}` is refused: {why}"))
            .hint("leave it out"))
    };
    if let Some(name) = x402::HEADERS.iter().find(|name| headers.contains_key(**name)) {
        return refused(name, "payments come from the proxy's wallet alone");
    }
    if headers.get_all(AUTHORIZATION).iter().any(is_payment) {
        return refused("authorization", "it is a payment, and payments come from the proxy's wallet alone");
    }
    // An upgrade to HTTP/2 may be declined by saying nothing of it.
    if headers.get(UPGRADE).is_some_and(|to| !to.as_bytes().starts_with(b"h2c")) {
        let message = "connections are not upgraded here (WebSocket)";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "no_upgrade", message));
    }
    let max_price = headers.remove(&MAX_PRICE).map(|value| price(&value)).transpose()?;
    remove_hop_by_hop(headers);
    for name in [HOST, CONTENT_LENGTH, EXPECT].iter().chain(&OURS) {
        headers.remove(name);
    }
    let credentials = headers.contains_key(AUTHORIZATION) || headers.contains_key(COOKIE);
    Ok(Wishes { max_price, credentials })
}

/// MPP's payments come in `Authorization: Payment`.
fn is_payment(value: &HeaderValue) -> bool {
    let scheme = value.as_bytes().split(u8::is_ascii_whitespace).find(|word| !word.is_empty());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"payment"))
}

fn price(value: &HeaderValue) -> Result<Usd, Problem> {
    let price = value.to_str().ok().and_then(|text| text.parse::<Price>().ok()?.in_dollars().ok());
    price.ok_or_else(|| {
        Problem::bad_request("bad_limit", "`Farthing-Max-Price` is no amount").hint("write it as $0.05")
    })
}

/// Cleans the seller's headers for the caller. `url` was called, in this `form`; `credentials` went along.
pub(super) fn for_caller(headers: &mut HeaderMap, url: &Url, form: Form, credentials: bool) {
    remove_hop_by_hop(headers);
    // It asks for money, and the caller has nobody to ask.
    headers.remove(x402::PAYMENT_REQUIRED);
    let stays = |name: &HeaderName| !OURS.contains(name) && !name.as_str().starts_with(CORS);
    *headers = headers.iter().filter(|(name, _)| stays(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    // To a caller who gives the address in the path all sellers are one site: what is meant for one site would reach the
    // others.
    if form == Form::Path {
        for name in [SET_COOKIE, STRICT_TRANSPORT_SECURITY, ALT_SVC] {
            headers.remove(name);
        }
        lead_back(headers, url, credentials);
    }
}

/// Writes where a redirect leads in the form in which the proxy is asked, so that the next call is judged as well. One
/// to another site stays as it is when credentials went along: the caller's client would send them there too, because to
/// it the site is still the proxy.
fn lead_back(headers: &mut HeaderMap, url: &Url, credentials: bool) {
    let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) else { return };
    let Ok(next) = url.join(location) else { return };
    let same_site = next.host() == url.host() && next.port_or_known_default() == url.port_or_known_default();
    if !matches!(next.scheme(), "http" | "https") || (credentials && !same_site) {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(format!("/{next}")) {
        headers.insert(LOCATION, value);
    }
}

/// Says what was paid, and what is left.
pub(super) fn tell_payment(headers: &mut HeaderMap, status: StatusCode, paid: &PaidCall) {
    let terms = &paid.purchase.terms;
    let mut say = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    say(PRICE, &paid.asset.format(terms.amount));
    say(PURCHASE, &terms.id.0);
    say(NETWORK, &terms.network.to_string());
    match &paid.outcome {
        Outcome::Paid { transaction } => {
            say(OUTCOME, "paid");
            transaction.iter().for_each(|transaction| say(TRANSACTION, transaction));
        }
        Outcome::NotPaid { .. } => say(OUTCOME, "not_paid"),
        Outcome::Unknown { .. } => say(OUTCOME, "unknown"),
    }
    if !paid.used.is_empty() {
        say(REMAINING, &remaining(&paid.used));
    }
    if status.is_client_error() || status.is_server_error() {
        headers.entry(SHOULD_RETRY).or_insert(HeaderValue::from_static("false"));
    }
}

/// `hour="$0.998 of $1.00", day="$4.998 of $5.00"`: the rules' names as tokens.
fn remaining(used: &[(Limit, Usage)]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let left = used.iter().map(|(limit, used)| {
        format!("{}=\"{}\"", limit.rule.chars().map(plain).collect::<String>(), limit.remaining(*used))
    });
    left.collect::<Vec<_>>().join(", ")
}

/// Marks one of our own answers, so that no SDK tries again by itself where that buys once more or is in vain.
pub(super) fn tell_problem(headers: &mut HeaderMap, code: &'static str, retry: bool) {
    headers.insert(ERROR, HeaderValue::from_static(code));
    if !retry {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
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

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_seller_gets_what_is_his() {
        let mut given = headers(&[
            ("host", "127.0.0.1:4020"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("farthing-price", "$0"),
            ("farthing-max-price", "$0.05"),
            ("authorization", "Bearer sk-1"),
            ("content-type", "application/json"),
            ("idempotency-key", "k"),
        ]);
        let wishes = for_seller(&mut given).unwrap();
        assert_eq!(wishes, Wishes { max_price: Some("$0.05".parse().unwrap()), credentials: true });
        assert_eq!(names(&given), ["authorization", "content-type", "idempotency-key"]);
    }

    #[test]
    fn nobody_but_the_wallet_pays() {
        for (name, value) in [
            ("x-payment", "e30="),
            ("payment-signature", "e30="),
            ("authorization", "Payment abc"),
            ("authorization", " PAYMENT\tabc"),
            ("farthing-max-price", "lots"),
        ] {
            assert!(for_seller(&mut headers(&[(name, value)])).is_err(), "{name}");
        }
        let socket = for_seller(&mut headers(&[("upgrade", "websocket"), ("connection", "upgrade")]));
        assert_eq!(socket.unwrap_err().status, StatusCode::NOT_IMPLEMENTED);
    }

    #[test]
    fn the_caller_gets_no_bill_and_nothing_that_is_forged() {
        let from_seller = [
            ("payment-required", "e30="),
            ("payment-response", "e30="),
            ("farthing-price", "$0"),
            ("access-control-allow-origin", "*"),
            ("connection", "close"),
            ("set-cookie", "a=b"),
            ("alt-svc", "h3=\":443\""),
            ("content-encoding", "gzip"),
        ];
        let url: Url = "https://a.example/".parse().unwrap();
        let mut given = headers(&from_seller);
        for_caller(&mut given, &url, Form::Path, false);
        assert_eq!(names(&given), ["content-encoding", "payment-response"]);
        let mut given = headers(&from_seller);
        for_caller(&mut given, &url, Form::Absolute, false);
        assert_eq!(names(&given), ["alt-svc", "content-encoding", "payment-response", "set-cookie"]);
    }

    #[test]
    fn redirects_lead_back_through_the_proxy() {
        let url: Url = "https://a.example/v1/x?y".parse().unwrap();
        for (location, form, credentials, written) in [
            ("/login", Form::Path, false, "/https://a.example/login"),
            ("z", Form::Path, true, "/https://a.example/v1/z"),
            ("https://a.example/v2", Form::Path, true, "/https://a.example/v2"),
            ("//b.example/v2", Form::Path, false, "/https://b.example/v2"),
            ("https://b.example/v2", Form::Path, true, "https://b.example/v2"),
            ("https://a.example:8443/v2", Form::Path, true, "https://a.example:8443/v2"),
            ("mailto:a@b.example", Form::Path, false, "mailto:a@b.example"),
            ("https://b.example/v2", Form::Absolute, false, "https://b.example/v2"),
        ] {
            let mut given = headers(&[]);
            given.insert(LOCATION, location.parse().unwrap());
            for_caller(&mut given, &url, form, credentials);
            assert_eq!(given[LOCATION], written, "{location}");
        }
    }
}
