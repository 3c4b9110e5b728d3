//! The largest inputs that are read at all, in the shapes that cost most: time grows with their size, not faster. What
//! grew with the square would take several times the limit, unoptimised as this is.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use farthing_facilitator::FacilitatorConfig;
use farthing_gateway::{Config, Pricing, canonical_path};
use farthing_policy::Policy;
use farthing_protocol::x402::{FacilitatorRequest, Payment};
use farthing_protocol::{Challenge, MAX_BODY_BYTES, MAX_HEADER_BYTES};

/// Of the processor's time, so that other tests beside this one do not count. Linear work takes up to 3 s of it.
const LIMIT: Duration = Duration::from_secs(8);
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

fn soon<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let started = busy();
    let done = work();
    let took = busy() - started;
    assert!(took < LIMIT, "{what} took {took:?}");
    done
}

/// How long this thread has been on a processor, where the system tells; else how late it is.
fn busy() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let start = *START;
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

#[test]
fn a_gateway_of_many_routes() {
    let head = "pay_to: \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"\naccepts: [base]\nroutes:\n";
    let text = filled(MAX_FILE_BYTES, head, |n| format!("  - {{match: GET /{n}, free: true}}\n"), "");
    let pricing = soon("routes", || Pricing::new(&Config::parse("g.yaml", &text).unwrap()).unwrap());
    assert!(pricing.describe().len() > 25_000);
}

#[test]
fn a_route_of_many_offers_is_refused() {
    let head =
        "pay_to: \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"\nroutes:\n  - match: GET /a\n    accepts:\n";
    let accept = |n| format!("      - {{network: base, price: {} base units}}\n", n + 1);
    let text = filled(MAX_FILE_BYTES / 4, head, accept, "");
    let error = soon("offers", || Pricing::new(&Config::parse("g.yaml", &text).unwrap()).unwrap_err());
    assert!(error.message.contains("at most 100"), "{error}");
}

#[test]
fn a_facilitator_of_many_keys() {
    let head = "networks: {base: {signers: [{env: A}]}}\nkeys:\n";
    let key = |n| format!("  - {{name: k{n}, sha256: {n:064x}}}\n");
    let text = filled(MAX_FILE_BYTES - 1000, head, key, "");
    let config = soon("keys", || FacilitatorConfig::parse("f.yaml", &text).unwrap());
    assert!(config.keys.len() > 8_000);
    let twice = format!("{text}  - {{name: k7, sha256: {:064x}}}\n", 1_000_000);
    let error = soon("keys", || FacilitatorConfig::parse("f.yaml", &twice).unwrap_err());
    assert!(error.message.contains("`k7` stands twice"), "{error}");
}

#[test]
fn a_policy_of_many_hosts() {
    let head = "version: 1\npayments:\n  max: none\n  hosts: {allow: [";
    let text = filled(Policy::MAX_BYTES, head, |n| format!("a{n}.x,"), "b]}");
    let policy = soon("hosts", || Policy::parse(&text).unwrap());
    assert!(policy.explain()[2].len() > 100_000);
    let head = "version: 1\npayments:\n  max: none\n  hosts: {deny: [b.b], allow: [";
    let text = filled(Policy::MAX_BYTES, head, |n| format!("a{n}.x,"), "b]}");
    let policy = soon("both lists", || Policy::parse(&text).unwrap());
    assert_eq!(policy.warnings().len(), 1);
}

#[test]
fn a_policy_of_many_agents() {
    let head = "version: 1\npayments: {max: none}\nagents:\n  t: {tools: [x]}\n";
    let agent = |n| format!("  a{n}: {{parent: t, tools: [x, y]}}\n");
    let policy = soon("agents", || Policy::parse(&filled(Policy::MAX_BYTES, head, agent, "")).unwrap());
    assert!(policy.warnings().len() > 5_000);
    let under =
        |n| if n == 0 { "  a0: {}\n".to_owned() } else { format!("  a{n}: {{parent: a{}}}\n", n - 1) };
    let deep = filled(Policy::MAX_BYTES, "version: 1\nagents:\n", under, "");
    let error = soon("a long chain", || Policy::parse(&deep).unwrap_err());
    assert!(error.message.contains("more than 8 agents"), "{error}");
}

#[test]
fn bodies_of_many_keys_and_of_many_levels() {
    let half = MAX_BODY_BYTES / 2;
    let keys = filled(
        MAX_BODY_BYTES,
        "{\"x402Version\":1,\"accepts\":[{\"a\":1",
        |n| format!(",\"k{n}\":{n}"),
        "}]}",
    );
    soon("keys", || drop(Challenge::read(None, keys.as_bytes())));
    let deep = "[".repeat(half - 100) + &"]".repeat(half - 100);
    let body = format!("{{\"paymentPayload\":{deep},\"paymentRequirements\":{{}}}}");
    soon("levels", || FacilitatorRequest::read(body.as_bytes()).unwrap_err());
    let escapes = format!("{{\"{}\":1}}", "\\u00e4".repeat(half / 6));
    soon("escapes", || FacilitatorRequest::read(escapes.as_bytes()).unwrap_err());
}

#[test]
fn headers_and_paths() {
    let header = "e30".repeat(MAX_HEADER_BYTES / 3);
    soon("a header", || Payment::from_header("PAYMENT-SIGNATURE", header.as_bytes()).unwrap_err());
    for part in ["%25", "%c3%bc", "a/", "%2e", "/", "ü", "%25%32", "%20b/"] {
        let path = filled(8 * 1024, "/", |_| part.to_owned(), "");
        soon(part, || drop(canonical_path(&path)));
    }
}
