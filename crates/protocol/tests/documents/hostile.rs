//! What must be survived.

use std::time::Duration;

use farthing_money::Registry;
use farthing_protocol::discovery::{
    AuthMode, Bazaar, Code, Document, Listing, MAX_DOCUMENT_BYTES, MAX_FINDINGS, MAX_OPERATIONS, WellKnown,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::busy::busy;
use crate::common::{ORIGIN, at, codes, read, selling};

/// Of the processor's time, for what takes a few seconds of it, unoptimised: what multiplies takes for ever.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn amounts_that_are_none_are_left_out_and_named() {
    for amount in [
        json!("1e3"),
        json!("-1"),
        json!("NaN"),
        json!("9".repeat(80)),
        json!(0.02),
        json!(true),
        json!([]),
        json!("0x10"),
        json!(""),
        json!("1,5"),
        json!("٣"),
        json!("0.0000000000000000001"),
    ] {
        let document = read(&selling(
            json!({"price": {"mode": "fixed", "amount": amount}, "protocols": [{"x402": {}}]}),
        ));
        assert_eq!(document.operations[0].price, None, "{amount}");
        assert!(document.operations[0].auth.unwrap().is_paid(), "it is still sold");
        assert_eq!(
            at(&document.findings, Code::MalformedPrice),
            ["/openapi.json#/paths/~1a/get/x-payment-info/price/amount"],
            "{amount}"
        );
        let bounds = json!({"mode": "dynamic", "min": "0.01", "max": amount});
        let document = read(&selling(json!({"price": bounds, "protocols": [{"x402": {}}]})));
        assert_eq!(document.operations[0].price, None, "no bound is made of a broken one: {amount}");
    }
    for amount in [json!("1.5"), json!("-1"), json!("007"), json!(5), json!("9".repeat(80))] {
        let document =
            read(&selling(json!({"offers": [{"intent": "charge", "method": "x402", "amount": amount}]})));
        assert!(document.operations[0].offers.is_empty(), "{amount}");
        assert_eq!(at(&document.findings, Code::MalformedPrice).len(), 1, "{amount}");
    }
}

#[test]
fn one_bad_operation_never_loses_the_rest() {
    for bad in [
        json!(7),
        json!([]),
        json!({"x-payment-info": "dear"}),
        json!({"parameters": {"a": 1}, "summary": []}),
        json!({"responses": 5, "security": "x", "requestBody": []}),
        json!({"x-payment-info": {"offers": {}, "protocols": 1}}),
    ] {
        let mut document =
            selling(json!({"price": {"mode": "fixed", "amount": "0.02"}, "protocols": [{"x402": {}}]}));
        document["paths"]["/0"] = json!({"get": bad, "post": {"summary": "B", "security": []}});
        let read = read(&document);
        let paths: Vec<_> = read.operations.iter().map(|operation| operation.key("")).collect();
        assert!(
            paths.contains(&" GET /a".to_owned()) && paths.contains(&" POST /0".to_owned()),
            "{bad}: {paths:?}"
        );
        assert!(
            read.findings.iter().any(|finding| finding.place.starts_with("/openapi.json#/paths/~10/get")),
            "{bad}"
        );
    }
}

#[test]
fn references_end_whatever_they_lead_to() {
    let mut document =
        selling(json!({"price": {"mode": "fixed", "amount": "0.02"}, "protocols": [{"x402": {}}]}));
    let body = |name: &str| json!({"content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{name}")}}}});
    document["components"] = json!({"schemas": {
        "Tree": {"type": "object", "properties": {"left": {"$ref": "#/components/schemas/Tree"}}},
        "Self": {"$ref": "#/components/schemas/Self"},
        "Gone": {"$ref": "#/components/schemas/Nowhere"},
        "Far": {"$ref": "https://evil.example/schema.json"},
        "Odd~name/x": {"type": "string"},
    }});
    for (path, name) in
        [("/tree", "Tree"), ("/self", "Self"), ("/gone", "Gone"), ("/far", "Far"), ("/odd", "Odd~0name~1x")]
    {
        document["paths"][path] = json!({"post": {"requestBody": body(name), "security": []}});
    }
    let read = read(&document);
    let body = |path: &str| {
        let operation = read.operations.iter().find(|operation| operation.path == path).unwrap();
        operation.input.as_ref().and_then(|input| input.body.clone()).unwrap()
    };
    assert_eq!(body("/tree")["properties"]["left"], json!({"$ref": "#/components/schemas/Tree"}));
    assert_eq!(body("/self"), json!({"$ref": "#/components/schemas/Self"}));
    assert_eq!(body("/odd"), json!({"type": "string"}));
    assert_eq!(at(&read.findings, Code::BrokenReference).len(), 2);
}

/// Each level has ten times the one below: ten to the twentieth in a document of a few kilobytes.
#[test]
fn references_that_multiply_are_cut() {
    let mut schemas = serde_json::Map::new();
    for level in 0..20 {
        let next = json!({"$ref": format!("#/components/schemas/L{}", level + 1)});
        let properties: serde_json::Map<_, _> = (0..10).map(|n| (format!("p{n}"), next.clone())).collect();
        schemas.insert(format!("L{level}"), json!({"type": "object", "properties": properties}));
    }
    schemas.insert("L20".into(), json!({"type": "string", "description": "x".repeat(1000)}));
    let operation = json!({"security": [], "requestBody": {"content": {"application/json": {
        "schema": {"$ref": "#/components/schemas/L0"}}}}});
    let paths: serde_json::Map<_, _> =
        (0..500).map(|n| (format!("/{n}"), json!({"post": operation}))).collect();
    let began = busy();
    let read = read(&json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": paths,
        "components": {"schemas": schemas}}));
    assert!(busy() - began < LIMIT, "{:?}", busy() - began);
    assert_eq!(read.operations.len(), 500);
    let bytes: usize = read.operations.iter().map(|operation| json!(operation.input).to_string().len()).sum();
    assert!(bytes < 64 << 20, "{bytes}");
    assert!(codes(&read.findings).contains(&"schema-cut"));
}

/// A long list behind many references.
#[test]
fn long_lists_are_cut() {
    let body = json!({"content": {"application/json": {"schema": {"$ref": "#/components/schemas/L"}}}});
    let operation = json!({"security": [], "requestBody": body});
    let paths: serde_json::Map<_, _> =
        (0..1000).map(|n| (format!("/{n}"), json!({"post": operation}))).collect();
    let read = read(&json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": paths,
        "components": {"schemas": {"L": {"enum": vec![1; 1_000_000]}}}}));
    let bytes: usize = read.operations.iter().map(|operation| json!(operation.input).to_string().len()).sum();
    assert!(bytes < 1 << 20, "{bytes}");
}

/// A long reference stands once in the document, and is looked for thousands of times.
#[test]
fn long_references_cost_what_they_weigh() {
    for length in [900, 2_000_000] {
        let schemas = json!({"L": {"$ref": format!("#/{}", "x".repeat(length))}});
        let many = vec![json!({"$ref": "#/components/schemas/L"}); 2_500];
        let body = json!({"content": {"application/json": {"schema": {"allOf": many}}}});
        let operation = json!({"security": [], "requestBody": body});
        let paths: serde_json::Map<_, _> =
            (0..20).map(|n| (format!("/{n}"), json!({"post": operation}))).collect();
        let began = busy();
        let read = read(&json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": paths,
            "components": {"schemas": schemas}}));
        assert!(busy() - began < LIMIT, "{length}: {:?}", busy() - began);
        assert!(codes(&read.findings).contains(&"broken-reference"), "{length}");
        let told = json!([read.operations, read.findings]).to_string().len();
        assert!(told < 8 << 20, "{length}: {told}");
    }
    // A path's own reference, which the place of all that stands under it begins with.
    let long = "x".repeat(100_000);
    let item = json!({"get": {"parameters": vec![1; 2_000], "security": []}});
    let mut document = json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"},
        "paths": {"/a": {"$ref": format!("#/{long}")}}});
    document[&long] = item;
    assert_eq!(at(&read(&document).findings, Code::BrokenReference), ["/openapi.json#/paths/~1a"]);
}

/// The same in a 402, and in every entry of an index's answer.
#[test]
fn what_others_list_is_bounded_too() {
    let long = format!("#/{}", "x".repeat(120_000));
    let schema = json!({"l": {"$ref": long}, "input": {"type": "http", "method": "GET"},
        "s": vec![json!({"$ref": "#/l"}); 3_000]});
    let began = busy();
    let read = Bazaar::of_output_schema(&schema).unwrap();
    assert!(busy() - began < LIMIT, "{:?}", busy() - began);
    assert!(json!(read).to_string().len() < 1 << 20);

    let level = |next: &str| json!(vec![json!({"$ref": next}); 30]);
    let input = json!({"type": "http", "method": "GET", "body": {"$ref": "#/a"}});
    let bazaar =
        json!({"info": {"input": input}, "a": level("#/b"), "b": level("#/c"), "c": level("#/d"), "d": {}});
    let entry = json!({"resource": "https://a.example/", "extensions": {"bazaar": bazaar}});
    let answer = json!({"items": vec![entry; 500]}).to_string();
    let listing = Listing::read(answer.as_bytes(), &Registry::builtin()).unwrap();
    let told: usize = listing.resources.iter().map(|listed| json!(listed).to_string().len()).sum();
    assert!(listing.resources.len() == 500 && told < 16 << 20, "{told}");
}

/// Many that are only worth knowing hide none that matters.
#[test]
fn the_worst_findings_are_kept() {
    let mut paths: serde_json::Map<_, _> =
        (0..600).map(|n| (format!("/{n:04}"), json!({"get": {}}))).collect();
    let price = json!({"price": {"mode": "fixed", "amount": 0.02}});
    paths.insert("/z".into(), json!({"get": {"x-payment-info": price}}));
    let read = read(&json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": paths}));
    assert_eq!(read.findings.len(), MAX_FINDINGS);
    let price = read.findings.iter().find(|finding| finding.code == Code::MalformedPrice).unwrap();
    assert_eq!(price.resource.as_deref(), Some("https://api.example.com GET /z"));
    let more = read.findings.iter().find(|finding| finding.code == Code::MoreFindings).unwrap();
    let kept = read.findings.len() - 1;
    let counts = more.message.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<usize>().ok());
    let left_out: usize = counts.sum();
    assert!(more.message.contains("missing-auth"), "{}", more.message);
    assert!(left_out + kept >= 1_200, "{} and {kept}", more.message);
}

/// What is large stands once in the document, and behind thousands of references.
#[test]
fn what_is_large_is_not_told_again_and_again() {
    let text = "x".repeat(1_000_000);
    let many: serde_json::Map<_, _> = (0..100_000).map(|n| (format!("s{n}"), json!([]))).collect();
    for (key, large) in [
        ("get", json!(text)),
        ("get", json!({"x-payment-info": {"price": {"mode": "fixed", "amount": vec![1; 500_000]}}})),
        ("get", json!({"parameters": vec![1; 500_000], "security": []})),
        ("get", json!({"security": [many]})),
        ("parameters", json!(vec![1; 500_000])),
        (&text, json!({})),
    ] {
        let reference = json!({"$ref": "#/x"});
        let mut paths: serde_json::Map<_, _> =
            (0..400).map(|n| (format!("/{n}"), reference.clone())).collect();
        paths.insert(format!("/{text}"), json!({"get": {"x-payment-info": {}}, "post": {"summary": 7}}));
        let mut item = json!({"post": {"security": []}});
        item[key] = large;
        let began = busy();
        let read = read(
            &json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": paths, "x": item}),
        );
        let shown: usize = read.findings.iter().map(|finding| json!(finding).to_string().len()).sum();
        assert!(shown < 2 << 20, "{key:.10}: {shown}");
        assert!(busy() - began < LIMIT, "{key:.10}: {:?}", busy() - began);
        assert!(read.operations.len() >= 400, "{key:.10}: {}", read.operations.len());
    }
}

#[test]
fn counts_and_sizes_are_bounded() {
    let paths: serde_json::Map<_, _> =
        (0..MAX_OPERATIONS + 10).map(|n| (format!("/{n}"), json!({"get": {"summary": 1}}))).collect();
    let document = read(&json!({"openapi": "3.1.0", "info": {}, "paths": paths}));
    assert_eq!(document.operations.len(), MAX_OPERATIONS);
    assert_eq!(document.findings.len(), MAX_FINDINGS);
    let long = vec![b' '; MAX_DOCUMENT_BYTES + 1];
    let refused = Document::read(&long, ORIGIN, &Registry::builtin()).unwrap_err();
    assert_eq!(refused.code, Code::TooLarge);
    let resources: Vec<String> = (0..MAX_OPERATIONS + 10).map(|n| format!("GET /{n}")).collect();
    let read = WellKnown::read_x402(json!({"resources": resources}).to_string().as_bytes(), ORIGIN).unwrap();
    assert_eq!(read.resources.len(), MAX_OPERATIONS);
}

#[test]
fn what_is_no_document_is_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in ["", "{", "[]", "7", "openapi: 3.1.0", "<html>", &deep] {
        let refused = Document::read(text.as_bytes(), ORIGIN, &Registry::builtin()).unwrap_err();
        assert!(matches!(refused.code, Code::NotJson | Code::WrongType), "{refused:?}");
    }
    let twice = br#"{"openapi": "3.1.0", "info": {"title": "A", "title": "B", "version": "1"}, "paths": {}}"#;
    let read = Document::read(twice, ORIGIN, &Registry::builtin()).unwrap();
    assert_eq!(read.title.as_deref(), Some("B"), "as JavaScript reads it");
    assert!(codes(&read.findings).contains(&"duplicate-key"));
}

/// Any JSON, with keys that mean something.
fn any_json() -> impl Strategy<Value = Value> {
    const KEYS: [&str; 40] = [
        "openapi",
        "info",
        "title",
        "version",
        "paths",
        "/a",
        "/b/{c}",
        "get",
        "post",
        "x-payment-info",
        "price",
        "offers",
        "protocols",
        "mode",
        "amount",
        "min",
        "max",
        "currency",
        "intent",
        "method",
        "security",
        "servers",
        "url",
        "parameters",
        "in",
        "name",
        "schema",
        "$ref",
        "requestBody",
        "content",
        "application/json",
        "responses",
        "200",
        "components",
        "securitySchemes",
        "resources",
        "endpoints",
        "path",
        "payment",
        "bazaar",
    ];
    const TEXTS: [&str; 16] = [
        "3.1.0",
        "fixed",
        "dynamic",
        "0.02",
        "-1",
        "1e3",
        "charge",
        "x402",
        "query",
        "path",
        "#/paths",
        "#",
        "#/info",
        "GET https://api.example.com/a",
        "USD",
        "https://api.example.com",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        proptest::sample::select(&TEXTS[..]).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(7, 120, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((proptest::sample::select(&KEYS[..]), inner), 0..8).prop_map(
                |entries| {
                    Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
                }
            ),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(value in any_json(), paths in any_json()) {
        let registry = Registry::builtin();
        let document = json!({"openapi": "3.1.0", "paths": {"/a": paths}});
        for text in [value.to_string(), document.to_string()] {
            if let Ok(document) = Document::read(text.as_bytes(), ORIGIN, &registry) {
                prop_assert!(document.findings.len() <= MAX_FINDINGS);
                for operation in &document.operations {
                    prop_assert!(operation.path.starts_with('/'));
                    let priced = operation.price.is_some() || !operation.offers.is_empty();
                    prop_assert!(!priced || operation.auth.is_some_and(AuthMode::is_paid));
                }
            }
            let _ = WellKnown::read_x402(text.as_bytes(), ORIGIN);
            let _ = WellKnown::read_mpp(text.as_bytes(), &registry);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        let _ = Document::read(text.as_bytes(), ORIGIN, &Registry::builtin());
    }

    #[test]
    fn a_price_that_is_read_is_exact(cents in 0u64.., decimals in 0usize..=18) {
        let text = match decimals {
            0 => cents.to_string(),
            _ => format!("{}.{:0decimals$}", cents % 1000, cents % 10u64.pow(u32::try_from(decimals.min(18)).unwrap())),
        };
        let document = read(&selling(json!({"price": {"mode": "fixed", "amount": text}, "protocols": [{"x402": {}}]})));
        let price = document.operations[0].price.as_ref().unwrap();
        let usd = farthing_money::Usd::from_decimal(text.parse().unwrap()).unwrap();
        prop_assert_eq!(price.dollars(), Some((Some(usd), Some(usd))));
        prop_assert!(price.promised(usd));
        let more = farthing_money::Usd::new(usd.get() + 1);
        prop_assert!(!price.promised(more));
    }
}
