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
/// An earlier call paid for this answer.
const RESENT: HeaderName = HeaderName::from_static("farthing-resent");
/// Where a redirect leads that is not to be followed.
const LEADS: HeaderName = HeaderName::from_static("farthing-location");
/// SDKs that Stainless makes (OpenAI's, Anthropic's) do what it says instead of trying again by themselves.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// No page may read what comes through us, whatever a seller thinks of it.
const CORS: &str = "access-control-";

/// How what we say begins. Nobody else says it, and who says it to us means us.
const OURS: [&str; 2] = ["farthing-", "x-farthing-"];

/// Headers by which a seller knows a caller.
const CREDENTIALS: [HeaderName; 4] =
    [AUTHORIZATION, COOKIE, HeaderName::from_static("x-api-key"), HeaderName::from_static("api-key")];

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
    let max_price = max_price(headers)?;
    if let Some(name) = headers.keys().find(|name| is_ours(name)) {
        return refused(
            name.as_str(),
            "only `Farthing-Max-Price` is understood, and a limit must not go unheard",
        );
    }
    remove_hop_by_hop(headers);
    for name in [HOST, CONTENT_LENGTH, EXPECT] {
        headers.remove(name);
    }
    let credentials = CREDENTIALS.iter().any(|name| headers.contains_key(name));
    Ok(Wishes { max_price, credentials })
}

fn is_ours(name: &HeaderName) -> bool {
    OURS.iter().any(|ours| name.as_str().starts_with(ours))
}

/// Takes the caller's limit out. Of two nobody knows which one is meant.
fn max_price(headers: &mut HeaderMap) -> Result<Option<Usd>, Problem> {
    if headers.get_all(&MAX_PRICE).iter().count() > 1 {
        return Err(Problem::bad_request("header_refused", "`Farthing-Max-Price` is there more than once")
            .hint("send one"));
    }
    headers.remove(&MAX_PRICE).map(|value| price(&value)).transpose()
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

/// What a redirect has to be judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) form: Form,
    /// Something went along by which the seller knows the caller.
    pub(super) credentials: bool,
    /// The caller's token came in a header that its client sends wherever it is led.
    pub(super) token_travels: bool,
}

/// Cleans the seller's headers for the caller. `url` was called.
pub(super) fn for_caller(headers: &mut HeaderMap, url: &Url, way: Way) {
    remove_hop_by_hop(headers);
    // It asks for money, and the caller has nobody to ask.
    headers.remove(x402::PAYMENT_REQUIRED);
    let stays = |name: &HeaderName| !is_ours(name) && !name.as_str().starts_with(CORS);
    *headers = headers.iter().filter(|(name, _)| stays(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    // To a caller who gives the address in the path all sellers are one site: what is meant for one site would reach the
    // others.
    if way.form == Form::Path {
        for name in [SET_COOKIE, STRICT_TRANSPORT_SECURITY, ALT_SVC] {
            headers.remove(name);
        }
    }
    lead(headers, url, way);
}

/// Sees to it that a client that follows a redirect shows nobody what is not for him: what leads elsewhere is told beside.
fn lead(headers: &mut HeaderMap, url: &Url, way: Way) {
    let Some(location) = headers.get(LOCATION).cloned() else { return };
    let next = location.to_str().ok().and_then(|location| url.join(location).ok());
    let leads = match way.form {
        Form::Path => next.as_ref().and_then(|next| back(next, url, way.credentials)),
        // Its client knows the sites apart, and keeps from one what is the other's. Only a token it takes for the
        // seller's.
        Form::Absolute => {
            let safe = !way.token_travels || next.as_ref().is_some_and(|next| next.origin() == url.origin());
            safe.then(|| location.clone())
        }
    };
    match leads {
        Some(leads) => drop(headers.insert(LOCATION, leads)),
        None => {
            headers.remove(LOCATION);
            let told = next.and_then(|next| HeaderValue::try_from(String::from(next)).ok());
            headers.insert(LEADS, told.unwrap_or(location));
        }
    }
}

/// The redirect in the form in which the proxy is asked, so that the next call is judged as well. None to another site
/// when credentials went along: to the caller's client the site is still the proxy, so that it would send them there,
/// too. And none that would not come by here: the client would take its token along.
fn back(next: &Url, url: &Url, credentials: bool) -> Option<HeaderValue> {
    let goes = matches!(next.scheme(), "http" | "https") && (!credentials || same_site(next, url));
    goes.then(|| HeaderValue::try_from(format!("/{next}")).ok()).flatten()
}

/// Whether it is the same site, or the same by TLS.
fn same_site(next: &Url, url: &Url) -> bool {
    let (from, to) = (url.port_or_known_default(), next.port_or_known_default());
    let by_tls = (url.scheme(), from, next.scheme(), to) == ("http", Some(80), "https", Some(443));
    next.host() == url.host() && ((next.scheme() == url.scheme() && from == to) || by_tls)
}

/// Says what was paid, and what is left; or that an earlier call paid for it, and this one nothing.
pub(super) fn tell_payment(headers: &mut HeaderMap, status: StatusCode, paid: &PaidCall, resent: bool) {
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
    match resent {
        true => say(RESENT, "1"),
        false if paid.used.is_empty() => {}
        false => say(REMAINING, &remaining(&paid.used)),
    }
    // Whatever the seller thinks of it: it is the caller's money.
    if !status.is_success() {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
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

    const PATH: Way = Way { form: Form::Path, credentials: false, token_travels: false };

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
        ] {
            assert!(for_seller(&mut headers(&[(name, value)])).is_err(), "{name}");
        }
        let socket = for_seller(&mut headers(&[("upgrade", "websocket"), ("connection", "upgrade")]));
        assert_eq!(socket.unwrap_err().status, StatusCode::NOT_IMPLEMENTED);
    }

    #[test]
    fn no_limit_goes_unheard() {
        let max = ("farthing-max-price", "$0.05");
        for (list, code) in [
            (vec![("farthing-max-price", "lots")], "bad_limit"),
            (vec![("farthing-max-price", "$0.05, $0.01")], "bad_limit"),
            (vec![max, ("farthing-max-price", "$0.01")], "header_refused"),
            (vec![max, ("farthing-max-cost", "$0.01")], "header_refused"),
            (vec![("x-farthing-max-price", "$0.01")], "header_refused"),
            (vec![("farthing-price", "$0.01")], "header_refused"),
        ] {
            assert_eq!(for_seller(&mut headers(&list)).unwrap_err().code, code, "{list:?}");
        }
    }

    #[test]
    fn the_caller_gets_no_bill_and_nothing_that_is_forged() {
        let from_seller = [
            ("payment-required", "e30="),
            ("payment-response", "e30="),
            ("farthing-price", "$0"),
            ("farthing-resent", "1"),
            ("farthing-location", "https://b.example/"),
            ("access-control-allow-origin", "*"),
            ("connection", "close"),
            ("set-cookie", "a=b"),
            ("alt-svc", "h3=\":443\""),
            ("content-encoding", "gzip"),
        ];
        let url: Url = "https://a.example/".parse().unwrap();
        let mut given = headers(&from_seller);
        for_caller(&mut given, &url, PATH);
        assert_eq!(names(&given), ["content-encoding", "payment-response"]);
        let mut given = headers(&from_seller);
        for_caller(&mut given, &url, Way { form: Form::Absolute, ..PATH });
        assert_eq!(names(&given), ["alt-svc", "content-encoding", "payment-response", "set-cookie"]);
    }

    /// Where the caller's client is led, and what it is told.
    fn led(url: &str, location: &[u8], way: Way) -> (Option<String>, Option<String>) {
        let mut given = headers(&[("farthing-location", "https://forged.example/")]);
        given.insert(LOCATION, HeaderValue::from_bytes(location).unwrap());
        given.append(LOCATION, HeaderValue::from_static("https://second.example/"));
        for_caller(&mut given, &url.parse().unwrap(), way);
        let text = |name| given.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        assert!(given.get_all(LOCATION).iter().all(|value| value != "https://second.example/"));
        (text(LOCATION), text(LEADS))
    }

    #[test]
    fn redirects_lead_back_through_the_proxy() {
        let known = Way { credentials: true, ..PATH };
        for (location, way, written) in [
            ("/login", PATH, "/https://a.example/login"),
            ("z", known, "/https://a.example/v1/z"),
            ("https://a.example/v2", known, "/https://a.example/v2"),
            ("//b.example/v2", PATH, "/https://b.example/v2"),
        ] {
            let led = led("https://a.example/v1/x?y", location.as_bytes(), way);
            assert_eq!(led, (Some(written.to_owned()), None), "{location}");
        }
        let by_tls = led("http://a.example/x", b"https://a.example/x", known);
        assert_eq!(by_tls.0.as_deref(), Some("/https://a.example/x"));
    }

    #[test]
    fn no_redirect_takes_a_secret_to_somebody_else() {
        let known = Way { credentials: true, ..PATH };
        for (location, way) in [
            ("https://b.example/v2", known),
            ("//b.example/v2", known),
            ("https://a.example:8443/v2", known),
            ("http://a.example/v2", known),
            ("mailto:a@b.example", PATH),
            ("ftp://b.example/", PATH),
            ("https://b.example:99999/", PATH),
            ("https://b.example/", Way { form: Form::Absolute, token_travels: true, ..PATH }),
            ("http://a.example/", Way { form: Form::Absolute, token_travels: true, ..PATH }),
        ] {
            let (followed, told) = led("https://a.example/v1/x", location.as_bytes(), way);
            assert_eq!(followed, None, "{location}");
            assert!(told.is_some_and(|told| told.ends_with(location)), "{location}");
        }
        let unread = led("https://a.example/", b"https://b.example/\xff", PATH);
        assert!(unread.0.is_none() && unread.1.is_some(), "{unread:?}");
    }

    #[test]
    fn a_client_that_knows_a_proxy_follows_as_it_is_used_to() {
        let plain = Way { form: Form::Absolute, credentials: true, ..PATH };
        for (location, way) in [
            ("https://b.example/", plain),
            ("/login", Way { token_travels: true, ..plain }),
            ("https://a.example/login", Way { token_travels: true, ..plain }),
        ] {
            let led = led("https://a.example/", location.as_bytes(), way);
            assert_eq!(led, (Some(location.to_owned()), None));
        }
    }
}
