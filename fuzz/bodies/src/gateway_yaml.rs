//! `gateway.yaml`.

use farthing_gateway::{Config, ConfigError, Pricing};
use http::Method;

use crate::errors::{lies_in, reads_well};
use crate::facilitator_yaml;
use crate::selling::{Outcome, Shop};

/// A text is refused with a place in it, or means the same every time. What is taken has finite bounds and URLs of scheme
/// and host alone; every price is above zero, for a payee that exists; and every route that is described as priced
/// asks for payment, or leaves it to a more specific route.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let config = match Config::parse("gateway.yaml", text) {
        Ok(config) => config,
        Err(error) => return is_placed(text, &error, true),
    };
    settings(text, &config);
    match Pricing::new(&config) {
        Ok(pricing) => {
            let again = Pricing::new(&Config::parse("gateway.yaml", text).unwrap()).unwrap();
            assert_eq!(again.describe(), pricing.describe());
            prices(pricing);
        }
        Err(error) => is_placed(text, &error, false),
    }
}

fn is_placed(text: &str, error: &ConfigError, may_be_whole: bool) {
    assert!(reads_well(error).starts_with("gateway.yaml"), "{error}");
    if error.line > 0 || !may_be_whole {
        lies_in(text, error.line, error.column);
    }
}

fn settings(text: &str, config: &Config) {
    match config.facilitator() {
        Ok(section) => {
            assert!(section.url.is_some() != section.in_process.is_some());
            section.in_process.iter().for_each(|own| facilitator_yaml::settle(&own.networks, &own.limits()));
        }
        Err(error) => is_placed(text, &error, true),
    }
    for url in [config.upstream().map(String::from), config.public_url()] {
        match url {
            Ok(url) => {
                let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap();
                assert!(!rest.trim_end_matches('/').contains(['/', '?', '#', '@']), "{url}");
            }
            Err(error) => is_placed(text, &error, true),
        }
    }
    let limits = config.limits();
    for time in [limits.upstream, limits.connect, limits.settle, limits.request_body, limits.shutdown] {
        assert!(!time.is_zero() && time.as_secs() <= 86_400, "{limits:?}");
    }
    assert!(limits.connections > 0 && limits.request_body_bytes > 0 && limits.response_buffer_bytes > 0);
}

fn prices(pricing: Pricing) {
    for terms in pricing.requirements() {
        assert!(terms.amount.get() > 0 && !terms.pay_to.is_empty() && terms.max_timeout_seconds > 0);
        assert!(!terms.extra.is_empty() && terms.scheme == "exact");
    }
    let described = pricing.describe();
    let (_, routes) = described.split_last().unwrap();
    let shop = Shop::new(pricing);
    for line in routes {
        let (method, rest) = line.split_once(' ').unwrap();
        let (pattern, price) = rest.split_once("  ").unwrap();
        let path = pattern.split('/').map(|part| if part.starts_with('{') { "farthing0" } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        let method = Method::from_bytes(if method == "*" { "PUT" } else { method }.as_bytes()).unwrap();
        let outcome = shop.ask(&method, &path);
        let met = match &outcome {
            Some(Outcome::Priced(_)) => true,
            Some(Outcome::Free(served)) => price == "free" && *served == path || has_rival(routes, line),
            Some(Outcome::Ambiguous | Outcome::Refused) => false,
            None => path.len() > 60_000,
        };
        assert!(met, "`{line}` asked as {method} {path}: {outcome:?}");
    }
}

/// Whether another route may be the more specific one for a path of this one.
fn has_rival(routes: &[String], line: &str) -> bool {
    line.contains('{') && routes.len() > 1
}
