//! What is read of a document, and what is missing of it.

use farthing_money::{Asset, Network, Registry};
use farthing_protocol::discovery::{AuthMode, Code, Document, Input, WellKnown};
use serde_json::{Value, json};

use crate::common::{ORIGIN, USDC, at, codes, read, selling};

#[test]
fn what_a_gateway_of_ours_publishes_is_without_fault() {
    let offer = json!({"intent": "charge", "method": "x402", "amount": "20000", "currency": USDC,
        "network": "eip155:8453", "scheme": "exact"});
    let price = json!({"mode": "fixed", "amount": "0.02", "currency": "USD"});
    let document = read(&selling(json!({"price": price, "offers": [offer], "protocols": [{"x402": {}}]})));
    assert!(document.findings.is_empty(), "{:?}", document.findings);
    let operation = &document.operations[0];
    assert_eq!(operation.price.as_ref().unwrap().to_string(), "$0.02");
    assert_eq!(operation.offers[0].value.unwrap().to_string(), "$0.02");
    assert_eq!(operation.auth, Some(AuthMode::Paid));
    assert_eq!(operation.place, "/openapi.json#/paths/~1a/get");
}

/// The document of draft-payment-discovery-00's example, in short.
#[test]
fn the_drafts_example_is_read() {
    let offers = json!([
        {"intent": "charge", "method": "tempo", "amount": "500", "currency": "0x20c0000000000000000000000000000000000000"},
        {"intent": "charge", "method": "stripe", "amount": "8", "currency": "usd"},
    ]);
    let schema =
        json!({"type": "object", "properties": {"model": {"type": "string"}}, "required": ["model"]});
    let document = read(&json!({
        "openapi": "3.1.0", "info": {"title": "Example AI API", "version": "1.0.0"},
        "x-service-info": {"categories": ["compute"], "docs": {"llms": "https://api.example.com/llms.txt"}},
        "paths": {
            "/v1/chat/completions": {"post": {"summary": "Chat", "x-payment-info": {"offers": offers},
                "requestBody": {"content": {"application/json": {"schema": schema}}},
                "responses": {"200": {"description": "OK"}, "402": {"description": "Payment Required"}}}},
            "/v1/embeddings": {"post": {"summary": "Embeddings", "x-payment-info": {"intent": "charge",
                "method": "tempo", "amount": null, "description": "Varies"}, "responses": {"402": {}}}},
        }
    }));
    assert_eq!(document.categories, ["compute"]);
    assert_eq!(document.llms_txt.as_deref(), Some("https://api.example.com/llms.txt"));
    let [chat, embeddings] = document.operations.as_slice() else { panic!("{:?}", document.operations) };
    assert_eq!(chat.price.as_ref().unwrap().to_string(), "$0.08", "of the offer whose worth is known");
    assert_eq!(chat.offers.len(), 2);
    assert_eq!(chat.protocols.iter().map(|protocol| &*protocol.name).collect::<Vec<_>>(), ["mpp", "mpp"]);
    assert_eq!(chat.input.as_ref().unwrap().body, Some(schema));
    assert_eq!(embeddings.price.as_ref().unwrap().to_string(), "varies");
    assert_eq!(at(&document.findings, Code::PriceWithoutMax).len(), 1);
    assert_eq!(
        at(&document.findings, Code::MissingInputSchema),
        ["/openapi.json#/paths/~1v1~1embeddings/post"]
    );
}

#[test]
fn what_is_missing_is_named() {
    let read = read(&json!({"paths": {"/a": {"get": {"x-payment-info": {}}}}}));
    for code in [
        "missing-field",
        "missing-price",
        "missing-protocols",
        "missing-summary",
        "missing-402-response",
        "missing-input-schema",
        "missing-output-schema",
        "missing-contact",
    ] {
        assert!(codes(&read.findings).contains(&code), "{code}: {:?}", codes(&read.findings));
    }
    let missing = at(&read.findings, Code::MissingField);
    assert_eq!(
        missing,
        ["/openapi.json#/openapi", "/openapi.json#/info/title", "/openapi.json#/info/version"]
    );
    let about = read.findings.iter().filter(|finding| finding.resource.is_some()).count();
    assert_eq!(about, 6, "the rest is about the document");
}

#[test]
fn a_server_elsewhere_gives_its_path_only() {
    let mut document =
        selling(json!({"price": {"mode": "fixed", "amount": "1"}, "protocols": [{"x402": {}}]}));
    document["servers"] = json!([{"url": "https://other.example/v2"}]);
    let elsewhere = read(&document);
    assert_eq!(elsewhere.operations[0].key(ORIGIN), "https://api.example.com GET /v2/a");
    assert_eq!(codes(&elsewhere.findings), ["server-of-another-origin"]);
    document["servers"] = json!([{"url": "https://[region].example"}]);
    assert!(codes(&read(&document).findings).contains(&"malformed-server-url"));
}

#[test]
fn a_path_is_the_same_however_it_is_written() {
    let mut document =
        selling(json!({"price": {"mode": "fixed", "amount": "1"}, "protocols": [{"x402": {}}]}));
    document["servers"] = json!([{"url": "/{version}", "variables": {"version": {"default": "v1"}}}]);
    document["paths"]["/zürich/{straße}"] = json!({"get": {"summary": "Z", "security": []}});
    document["paths"]["/z%c3%bcrich/{straße}"] = json!({"get": {"summary": "Z", "security": []}});
    let read = read(&document);
    let paths: Vec<_> = read.operations.iter().map(|operation| operation.path.as_str()).collect();
    assert_eq!(paths, ["/v1/a", "/v1/z%C3%BCrich/{straße}"]);
    assert_eq!(at(&read.findings, Code::DuplicateResource).len(), 1);
    let text = json!({"resources": ["GET https://api.example.com/zürich/{x}"]}).to_string();
    let legacy = WellKnown::read_x402(text.as_bytes(), ORIGIN).unwrap();
    assert_eq!(legacy.resources[0].path, "/z%C3%BCrich/{x}");
}

#[test]
fn legacy_documents_are_read() {
    let text = json!({"version": 1, "resources": ["GET https://api.example.com/weather/{city}", "/search/", "post /x",
        "FETCH /y", "https://other.example/z", 7, "ftp://api.example.com/"], "instructions": "Be quick.",
        "ownershipProofs": ["0xabc"]});
    let read = WellKnown::read_x402(text.to_string().as_bytes(), ORIGIN).unwrap();
    let listed: Vec<_> =
        read.resources.iter().map(|entry| (entry.method.as_deref(), entry.path.as_str())).collect();
    assert_eq!(listed, [(Some("GET"), "/weather/{city}"), (None, "/search"), (Some("POST"), "/x")]);
    assert_eq!(read.instructions.as_deref(), Some("Be quick."));
    assert_eq!(at(&read.findings, Code::MalformedResource), ["/.well-known/x402#/resources/3"]);
    assert_eq!(at(&read.findings, Code::ResourceOfAnotherOrigin).len(), 2);
    assert!(codes(&read.findings).contains(&"unverified-ownership"));

    let text = json!({"name": "M", "endpoints": [
        {"method": "get", "path": "/a", "payment": {"amount": "20000"}},
        {"method": "POST", "path": "b", "payment": {"intent": "charge", "method": "x402", "amount": "10000", "currency": USDC}},
        {"path": "/c"},
    ]});
    let read = WellKnown::read_mpp(text.to_string().as_bytes(), &Registry::builtin()).unwrap();
    let prices: Vec<_> =
        read.resources.iter().map(|entry| entry.price.as_ref().unwrap().to_string()).collect();
    assert_eq!(prices, ["$0.02", "$0.01"]);
}

/// A message may stand on a terminal.
#[test]
fn what_a_message_quotes_is_escaped() {
    let price = json!({"mode": "fixed", "amount": "1", "currency": "\u{1b}[31mEUR"});
    let document = read(&selling(json!({"price": price, "protocols": [{"\u{1b}[2J": {}}]})));
    assert_eq!(document.operations[0].price.as_ref().unwrap().to_string(), "1 \\u{1b}[31MEUR");
    assert!(document.findings.len() >= 2);
    for finding in document.findings {
        assert!(!finding.message.contains('\u{1b}'), "{}", finding.message);
    }
}

#[test]
fn one_address_of_two_tokens_is_worth_nothing_that_is_known() {
    let mut registry = Registry::builtin();
    let twin = Asset {
        network: Network::evm(1),
        address: USDC.to_owned(),
        symbol: "X".to_owned(),
        decimals: 8,
        eip712: None,
    };
    registry.add(twin).unwrap();
    let offer = |network: Value| json!({"intent": "charge", "method": "x402", "amount": "20000", "currency": USDC, "network": network});
    let value = |network: Value| {
        let text = selling(json!({"offers": [offer(network)]})).to_string();
        let document = Document::read(text.as_bytes(), ORIGIN, &registry).unwrap();
        document.operations[0].offers[0].value.map(|value| value.to_string())
    };
    assert_eq!(value(json!(null)), None);
    assert_eq!(value(json!("eip155:8453")).as_deref(), Some("$0.02"));
    assert_eq!(value(json!("eip155:1")).as_deref(), Some("$0.0002"));
}

#[test]
fn parameters_become_a_schema() {
    let mut document =
        selling(json!({"price": {"mode": "fixed", "amount": "1"}, "protocols": [{"x402": {}}]}));
    document["paths"]["/a"]["parameters"] =
        json!([{"name": "city", "in": "query", "schema": {"type": "integer"}}]);
    document["paths"]["/a"]["get"]["parameters"] = json!([
        {"name": "city", "in": "query", "required": true, "example": "Oslo", "schema": {"type": "string"}},
        {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
        {"name": "PAYMENT-SIGNATURE", "in": "header", "schema": {"type": "string"}},
        {"name": "X-Units", "in": "header", "schema": {"type": "string"}},
        {"in": "query"}, 7,
    ]);
    let read = read(&document);
    let Input { query, headers, .. } = read.operations[0].input.clone().unwrap();
    let (query, headers) = (query.unwrap(), headers.unwrap());
    assert_eq!(query["properties"], json!({"city": {"type": "string", "example": "Oslo"}}));
    assert_eq!(query["required"], json!(["city"]));
    assert_eq!(headers["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), ["X-Units"]);
}
