//! The largest inputs that are read at all, in the shapes that cost most: time grows with their size, not faster,
//! which shows when it is compared with that for a smaller one, on whatever machine.

#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "../../../crates/protocol/tests/documents/busy.rs"]
mod busy;

use std::time::Duration;

use busy::busy;
use farthing_facilitator::FacilitatorConfig;
use farthing_gateway::{Config, Pricing, canonical_path};
use farthing_policy::Policy;
use farthing_protocol::x402::{FacilitatorRequest, Payment};
use farthing_protocol::{Challenge, MAX_BODY_BYTES, MAX_HEADER_BYTES};

/// How many times as long the largest may take as one of a quarter of its size: four times is linear, sixteen times
/// goes with the square.
const MOST: u32 = 10;
/// What is over so soon is not compared: there is little to measure.
const QUICK: Duration = Duration::from_secs(1);
/// How often it is compared before it counts as too slow: a processor is not equally fast all the time.
const TRIES: usize = 3;
/// The largest configuration that is read.
const MAX_FILE_BYTES: usize = 1024 * 1024;

/// `head`, then as many parts as fit into `bytes`, then `tail`.
fn filled(bytes: usize, head: &str, part: impl Fn(usize) -> String, tail: &str) -> String {
    let mut text = head.to_owned();
    for number in 0.. {
        let part = part(number);
        if text.len() + part.len() + tail.len() > bytes {
            break;
        }
        text.push_str(&part);
    }
    text + tail
}

/// Does the work on a text of the largest size, and compares the time with that for a smaller one.
fn grows_with_size<T>(
    what: &str,
    largest: usize,
    text_of: impl Fn(usize) -> String,
    work: impl Fn(&str) -> T,
) -> T {
    let (quarter, whole) = (text_of(largest / 4), text_of(largest));
    let mut tries = 0;
    loop {
        let (less, _) = timed(|| work(&quarter));
        let (more, done) = timed(|| work(&whole));
        if more < QUICK || more < less * MOST {
            return done;
        }
        tries += 1;
        assert!(tries < TRIES, "{what}: {more:?}, and {less:?} for a quarter");
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let started = busy();
    let done = work();
    (busy() - started, done)
}

#[test]
fn a_gateway_of_many_routes() {
    let head = "pay_to: \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"\naccepts: [base]\nroutes:\n";
    let text = |bytes| filled(bytes, head, |n| format!("  - {{match: GET /{n}, free: true}}\n"), "");
    let read = |text: &str| Pricing::new(&Config::parse("g.yaml", text).unwrap()).unwrap();
    let pricing = grows_with_size("routes", MAX_FILE_BYTES, text, read);
    assert!(pricing.describe().len() > 25_000);
}

#[test]
fn a_route_of_many_offers_is_refused() {
    let head =
        "pay_to: \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"\nroutes:\n  - match: GET /a\n    accepts:\n";
    let accept = |n| format!("      - {{network: base, price: {} base units}}\n", n + 1);
    let text = |bytes| filled(bytes, head, accept, "");
    let refused = |text: &str| Pricing::new(&Config::parse("g.yaml", text).unwrap()).unwrap_err();
    let error = grows_with_size("offers", MAX_FILE_BYTES / 4, text, refused);
    assert!(error.message.contains("at most 100"), "{error}");
}

#[test]
fn a_facilitator_of_many_keys() {
    let head = "networks: {base: {signers: [{env: A}]}}\nkeys:\n";
    let key = |n| format!("  - {{name: k{n}, sha256: {n:064x}}}\n");
    let keys = |bytes| filled(bytes, head, key, "");
    let largest = MAX_FILE_BYTES - 1000;
    let read = |text: &str| FacilitatorConfig::parse("f.yaml", text).unwrap();
    let config = grows_with_size("keys", largest, keys, read);
    assert!(config.keys.len() > 8_000);
    let twice = |bytes| format!("{}  - {{name: k7, sha256: {:064x}}}\n", keys(bytes), 1_000_000);
    let refused = |text: &str| FacilitatorConfig::parse("f.yaml", text).unwrap_err();
    let error = grows_with_size("keys, one of them twice", largest, twice, refused);
    assert!(error.message.contains("`k7` stands twice"), "{error}");
}

#[test]
fn a_policy_of_many_hosts() {
    let read = |text: &str| Policy::parse(text).unwrap();
    let hosts = |head: &'static str| move |bytes| filled(bytes, head, |n| format!("a{n}.x,"), "b]}");
    let text = hosts("version: 1\npayments:\n  max: none\n  hosts: {allow: [");
    let policy = grows_with_size("hosts", Policy::MAX_BYTES, text, read);
    assert!(policy.explain()[2].len() > 100_000);
    let text = hosts("version: 1\npayments:\n  max: none\n  hosts: {deny: [b.b], allow: [");
    let policy = grows_with_size("both lists", Policy::MAX_BYTES, text, read);
    assert_eq!(policy.warnings().len(), 1);
}

#[test]
fn a_policy_of_many_agents() {
    let head = "version: 1\npayments: {max: none}\nagents:\n  t: {tools: [x]}\n";
    let agent = |n| format!("  a{n}: {{parent: t, tools: [x, y]}}\n");
    let many = |bytes| filled(bytes, head, agent, "");
    let read = |text: &str| Policy::parse(text).unwrap();
    let policy = grows_with_size("agents", Policy::MAX_BYTES, many, read);
    assert!(policy.warnings().len() > 5_000);
    let under =
        |n| if n == 0 { "  a0: {}\n".to_owned() } else { format!("  a{n}: {{parent: a{}}}\n", n - 1) };
    let deep = |bytes| filled(bytes, "version: 1\nagents:\n", under, "");
    let refused = |text: &str| Policy::parse(text).unwrap_err();
    let error = grows_with_size("a long chain", Policy::MAX_BYTES, deep, refused);
    assert!(error.message.contains("more than 8 agents"), "{error}");
}

#[test]
fn bodies_of_many_keys_and_of_many_levels() {
    let head = "{\"x402Version\":1,\"accepts\":[{\"a\":1";
    let keys = |bytes| filled(bytes, head, |n| format!(",\"k{n}\":{n}"), "}]}");
    grows_with_size("keys", MAX_BODY_BYTES, keys, |body| drop(Challenge::read(None, body.as_bytes())));
    let refused = |body: &str| FacilitatorRequest::read(body.as_bytes()).unwrap_err();
    let levels = |bytes| {
        let depth = bytes / 2 - 100;
        let deep = "[".repeat(depth) + &"]".repeat(depth);
        format!("{{\"paymentPayload\":{deep},\"paymentRequirements\":{{}}}}")
    };
    grows_with_size("levels", MAX_BODY_BYTES, levels, refused);
    let escapes = |bytes| format!("{{\"{}\":1}}", "\\u00e4".repeat(bytes / 12));
    grows_with_size("escapes", MAX_BODY_BYTES, escapes, refused);
}

#[test]
fn headers_and_paths() {
    let refused = |header: &str| Payment::from_header("PAYMENT-SIGNATURE", header.as_bytes()).unwrap_err();
    grows_with_size("a header", MAX_HEADER_BYTES, |bytes| "e30".repeat(bytes / 3), refused);
    for part in ["%25", "%c3%bc", "a/", "%2e", "/", "ü", "%25%32", "%20b/"] {
        let path = |bytes| filled(bytes, "/", |_| part.to_owned(), "");
        grows_with_size(part, 8 * 1024, path, |path| drop(canonical_path(path)));
    }
}
