//! How what is recorded is said: times with their zone, text from outside, amounts below each other.

use farthing_ambient::Timestamp;
use farthing_ledger::PurchaseState;

/// What stands in the place of a secret.
pub(crate) const HIDDEN: &str = "[hidden]";

/// Ends of names of query parameters that hold secrets, in lower case and without `-` and `_`: `api_key`,
/// `X-Amz-Signature`, `sessionToken`.
const SECRET_ENDS: [&str; 10] =
    ["key", "token", "secret", "password", "passwd", "pwd", "signature", "sig", "credential", "auth"];

/// `2026-11-21 03:27:29 UTC`.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Text from outside, whole, with what does not print written out: nothing in it turns the direction of the text
/// around it or hides a part of it.
pub(crate) fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| if matches!(c, '"' | '\'' | '\\') { vec![c] } else { c.escape_debug().collect() })
        .collect()
}

/// An address to be shown to others, too: without the values of query parameters that are named as secrets are.
pub(crate) fn address(url: &str) -> String {
    let Some((place, query)) = url.split_once('?') else { return visible(url) };
    let parts: Vec<String> = query.split('&').map(without_secret).collect();
    visible(&format!("{place}?{}", parts.join("&")))
}

fn without_secret(part: &str) -> String {
    match part.split_once('=') {
        Some((name, value)) if !value.is_empty() && names_secret(name) => format!("{name}={HIDDEN}"),
        _ => part.to_owned(),
    }
}

fn names_secret(name: &str) -> bool {
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    SECRET_ENDS.iter().any(|end| name.ends_with(end))
}

/// The host of an address, with its port where there is one.
pub(crate) fn host(url: &str) -> String {
    let host = url::Url::parse(url).ok().and_then(|url| {
        let host = url.host_str()?.to_owned();
        Some(url.port().map_or(host.clone(), |port| format!("{host}:{port}")))
    });
    visible(&host.unwrap_or_else(|| url.to_owned()))
}

/// A state in words.
pub(crate) fn state(state: PurchaseState) -> &'static str {
    match state {
        PurchaseState::Paid => "paid",
        PurchaseState::NotPaid => "not paid",
        PurchaseState::Reserved => "reserved",
        PurchaseState::Signed => "signed",
        PurchaseState::Unknown => "unknown",
    }
}

/// Amounts of one column, filled up at the end so that their points stand below each other where digits are of one
/// width: U+2007 is a space as wide as a digit.
pub(crate) fn aligned(amounts: &[String]) -> Vec<String> {
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, decimals)| decimals.chars().count() + 1);
    let most = amounts.iter().map(|amount| decimals(amount)).max().unwrap_or_default();
    let filled = |amount: &String| {
        let missing = most - decimals(amount);
        let point = if decimals(amount) == 0 && missing > 0 { "\u{2008}" } else { "" };
        let digits = "\u{2007}".repeat(missing.saturating_sub(usize::from(!point.is_empty())));
        format!("{amount}{point}{digits}")
    };
    amounts.iter().map(filled).collect()
}

/// `1 purchase`, `2 purchases`.
pub(crate) fn count(many: u64, one: &str) -> String {
    format!("{many} {one}{}", if many == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_in_queries_are_hidden_and_the_rest_stays_as_it_is() {
        for (url, shown) in [
            ("https://a.b/c", "https://a.b/c"),
            ("https://a.b/c?city=Berlin&key=s3cret", "https://a.b/c?city=Berlin&key=[hidden]"),
            (
                "https://a.b/?api_key=x&X-Amz-Signature=y",
                "https://a.b/?api_key=[hidden]&X-Amz-Signature=[hidden]",
            ),
            ("https://a.b/?keyword=rust&token=&tokens=3", "https://a.b/?keyword=rust&token=&tokens=3"),
            ("https://a.b/?sessionToken=a=b&flag", "https://a.b/?sessionToken=[hidden]&flag"),
        ] {
            assert_eq!(address(url), shown);
        }
    }

    #[test]
    fn nothing_turns_the_text_around_it() {
        assert_eq!(visible("a\u{202e}b\n\u{200b}\"c\\'"), "a\\u{202e}b\\n\\u{200b}\"c\\'");
        assert_eq!(visible("café 東京"), "café 東京");
    }

    #[test]
    fn points_stand_below_each_other() {
        let amounts = ["$1.00", "$0.0025", "$12"].map(str::to_owned);
        let filled = aligned(&amounts);
        let decimals = |text: &String| text.chars().rev().position(|c| matches!(c, '.' | '\u{2008}'));
        assert!(filled.iter().all(|text| decimals(text) == Some(4)), "{filled:?}");
        assert_eq!(aligned(&["$1.00".to_owned()]), ["$1.00"]);
    }

    #[test]
    fn hosts_keep_their_port() {
        assert_eq!(host("http://127.0.0.1:8080/a"), "127.0.0.1:8080");
        assert_eq!(host("https://api.example.com/a?b"), "api.example.com");
        assert_eq!(host("<script>"), "<script>");
    }

    proptest! {
        #[test]
        fn no_value_of_a_secret_parameter_is_shown(value in "[A-Za-z0-9%]{8,20}", name in "(api|my|x)[-_]?(key|Token|SECRET)") {
            let shown = address(&format!("https://a.b/?q=1&{name}={value}#f"));
            prop_assert!(!shown.contains(&value), "{}", shown);
        }
    }
}
