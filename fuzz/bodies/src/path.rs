//! Paths of requests: which route they are, and as what they are proxied.

use std::sync::LazyLock;

use farthing_gateway::canonical_path;
use http::{Method, Uri};

use crate::errors::reads_well;
use crate::readers::{READERS, spelt, written};
use crate::selling::{Outcome, Shop};

/// Everything is free but what is priced, and a free folder beside it: where a way around a price would be.
static OPEN: LazyLock<Shop> = LazyLock::new(|| {
    Shop::selling(
        r#"
pay_to: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
accepts: [base-sepolia]
unmatched: free
routes:
  - {match: "GET /weather", price: "$0.001"}
  - {match: "GET /reports/{id}/full", price: "$0.002"}
  - {match: "* /paid/{*rest}", price: "$0.003"}
  - {match: "GET /zürich/a b", price: "$0.004"}
  - {match: "GET /paid/free/{x}", free: true}
  - {match: "* /static/{*rest}", free: true}
"#,
    )
});

/// The input is a method's letter, a path, and after a zero byte how to spell it otherwise.
///
/// What is matched is what is proxied: the canonical form, which is its own canonical form and is ASCII without anything
/// that servers read differently. The canonical form costs the same. Another spelling of the same letters is refused or
/// costs the same and is proxied as the same. And however a server reads what it gets, asking for what it then serves
/// costs no more than was asked: there is no way around a price.
pub(crate) fn run(input: &[u8]) {
    let Some((&letter, rest)) = input.split_first() else { return };
    let method = if letter == b'P' { Method::POST } else { Method::GET };
    let at = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let (raw, choices) = (&rest[..at], rest.get(at + 1..).unwrap_or_default());
    let Ok(raw) = std::str::from_utf8(raw) else { return };
    let canonical = match canonical_path(raw) {
        Ok(path) => path,
        Err(error) => return drop(reads_well(&error)),
    };
    is_canonical(&canonical);
    let outcome = OPEN.ask(&method, &canonical).expect("a canonical path is a path");
    is_served_as(&canonical, &outcome);
    if Uri::try_from(raw).is_ok_and(|uri| uri.path() == raw) {
        assert_eq!(OPEN.ask(&method, raw).as_ref(), Some(&outcome), "{raw} and {canonical}");
    }
    otherwise_spelt(&method, &canonical, choices, &outcome);
    for (server, reader) in READERS {
        if let Some(seen) = reader(&canonical).filter(|seen| seen.starts_with('/')) {
            costs_no_more(&method, &canonical, &outcome, server, &seen);
        }
    }
}

fn is_canonical(path: &str) {
    assert_eq!(canonical_path(path).as_deref(), Ok(path));
    assert!(path.starts_with('/') && path.is_ascii() && !path.contains("//"));
    assert!(!path.contains(['\\', ';', '?', '#', '"', '<', '>', ' ']) && !path.contains(char::is_control));
    assert!(!path.split('/').any(|segment| segment == "." || segment == ".."));
}

fn is_served_as(path: &str, outcome: &Outcome) {
    match outcome {
        Outcome::Free(served) => assert_eq!(served, path, "what was matched is not what was served"),
        Outcome::Priced(_) => {}
        Outcome::Ambiguous | Outcome::Refused => panic!("{path}: {outcome:?}"),
    }
}

fn otherwise_spelt(method: &Method, canonical: &str, choices: &[u8], outcome: &Outcome) {
    // Letters that need no escape: an escape of them is the same letter to every server.
    let spelling = spelt(canonical, choices);
    let same = canonical_path(&spelling).is_ok_and(|path| path == canonical);
    let unreserved = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b));
    assert!(same || !unreserved(canonical) || canonical.len() > 2_000, "{spelling} is not {canonical}");
    match OPEN.ask(method, &spelling) {
        Some(other) if same => assert_eq!(&other, outcome, "{spelling} and {canonical}"),
        _ => {}
    }
}

/// `seen` is what a server took the proxied path for. If that costs something by itself, this did too.
fn costs_no_more(method: &Method, path: &str, outcome: &Outcome, server: &str, seen: &str) {
    let Some(direct) = OPEN.ask(method, &written(seen)) else { return };
    if let Some(price) = direct.cost() {
        assert_eq!(outcome.cost(), Some(price), "{path} is {seen} to a server that reads it {server}");
    }
}
