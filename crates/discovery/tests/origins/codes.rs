//! Every finding that has a name is told of something.

use std::collections::BTreeSet;

use farthing_discovery::{Code, Config, Discovery, Origin, Site};
use farthing_http::Reach;
use farthing_money::Registry;
use farthing_protocol::discovery::{MAX_DOCUMENT_BYTES, MAX_OPERATIONS};
use farthing_protocol::x402;
use serde_json::{Map, Value, json};

use crate::server::{Answer, Server, USDC, discovery, document, free, nobody, sold};

/// An origin without fault, but for what is changed in its document.
fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut document = document(&json!({"/a": {"get": sold("0.01")}}));
    change(&mut document);
    document
}

fn priced(info: Value) -> Value {
    changed(|document| document["paths"]["/a"]["get"]["x-payment-info"] = info)
}

fn at_price(price: Value) -> Value {
    priced(json!({"price": price, "protocols": [{"x402": {}}]}))
}

fn with(pointer: &str, value: Value) -> Value {
    changed(|document| {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap()[key.replace("~1", "/")] = value;
    })
}

fn operations(count: usize) -> Value {
    let paths: Map<_, _> = (0..count).map(|n| (format!("/{n}"), json!({"get": {}}))).collect();
    document(&paths.into())
}

/// (what is told, of which /openapi.json)
fn documents() -> Vec<(Vec<Code>, Value)> {
    use Code::*;
    let get = "/paths/~1a/get";
    let in_get = |key: &str, value: Value| with(&format!("{get}/{key}"), value);
    let one = |code: Code, document: Value| (vec![code], document);
    let long_enum = json!([{"in": "query", "name": "q", "schema": {"enum": vec!["x".repeat(1_000); 100]}}]);
    let broken = json!([{"$ref": "#/components/parameters/none"}]);
    vec![
        one(WrongType, with("/servers", json!(7))),
        one(MissingField, with("/info/title", Value::Null)),
        one(UnsupportedVersion, with("/openapi", json!("2.0"))),
        one(NoOperations, with("/paths", json!({}))),
        one(NoPricedOperations, with("/paths", json!({"/f": {"get": free()}}))),
        (vec![TooManyOperations, MoreFindings], operations(MAX_OPERATIONS + 1)),
        one(MissingContact, with("/info/contact", Value::Null)),
        one(UnverifiedOwnership, with("/x-agentcash-provenance", json!({"ownershipProofs": ["0xabc"]}))),
        one(GuidanceTooLong, with("/info/x-guidance", json!("long ".repeat(1_000)))),
        one(GuidanceElsewhere, with("/x-agentcash-guidance", json!({"llmsTxtUrl": "https://b.example/"}))),
        one(MalformedServerUrl, with("/servers", json!([{"url": "https://[x"}]))),
        one(ServerOfAnotherOrigin, with("/servers", json!([{"url": "https://other.example"}]))),
        one(BrokenReference, in_get("parameters", broken)),
        one(SchemaCut, in_get("parameters", long_enum)),
        one(
            DuplicateResource,
            with("/paths", json!({"/a": {"get": sold("0.01")}, "/a/": {"get": sold("0.01")}})),
        ),
        one(MissingSummary, in_get("summary", Value::Null)),
        one(MissingAuth, with("/paths", json!({"/a": {"get": {"summary": "A"}}}))),
        one(UndefinedSecurityScheme, in_get("security", json!([{"key": []}]))),
        one(MissingPrice, priced(json!({"protocols": [{"x402": {}}]}))),
        one(MalformedPrice, at_price(json!({"mode": "fixed", "amount": 0.01}))),
        one(ReversedRange, at_price(json!({"mode": "dynamic", "min": "2", "max": "1"}))),
        one(PriceWithoutMax, at_price(json!({"mode": "dynamic", "min": "2"}))),
        one(UnknownPricingMode, at_price(json!({"mode": "auction", "amount": "0.01"}))),
        one(UnknownCurrency, at_price(json!({"mode": "fixed", "amount": "0.01", "currency": "EUR"}))),
        one(
            PricesDisagree,
            priced(json!({"price": {"mode": "fixed", "amount": "0.02"}, "offers": [
                {"intent": "charge", "method": "x402", "amount": "10000", "currency": USDC, "network": "base"}]})),
        ),
        one(
            LegacyPaymentInfo,
            priced(json!({"pricingMode": "fixed", "price": "0.01", "protocols": ["x402"]})),
        ),
        one(MissingProtocols, priced(json!({"price": {"mode": "fixed", "amount": "0.01"}}))),
        one(
            MalformedProtocol,
            priced(json!({"price": {"mode": "fixed", "amount": "0.01"}, "protocols": [{"mpp": {}}]})),
        ),
        one(
            UnknownProtocol,
            priced(json!({"price": {"mode": "fixed", "amount": "0.01"}, "protocols": [{"cash": {}}]})),
        ),
        one(Missing402Response, in_get("responses", json!({"200": {}}))),
        one(MissingInputSchema, in_get("parameters", Value::Null)),
        one(MissingOutputSchema, in_get("responses", json!({"402": {}}))),
    ]
}

/// (what is told, of which answer to a request for /openapi.json)
fn answers() -> Vec<(Vec<Code>, Answer)> {
    let json = |text: Vec<u8>| Answer::of(200, text).with("content-type", "application/json");
    let twice = document(&json!({})).to_string().replacen('{', r#"{"openapi": "3.0.0","#, 1);
    vec![
        (vec![Code::TooLarge], json(vec![b' '; MAX_DOCUMENT_BYTES + 1])),
        (vec![Code::NotJson], json(b"openapi: 3.1.0".to_vec())),
        (vec![Code::DuplicateKey], json(twice.into_bytes())),
        (vec![Code::RedirectElsewhere], Answer::to(302, "https://other.example/openapi.json")),
        (vec![Code::TooManyRedirects], Answer::to(302, "/openapi.json")),
        (vec![Code::ServerError], Answer::of(500, "")),
        (
            vec![Code::WrongContentType, Code::NoDocument],
            Answer::of(200, "<html>").with("content-type", "text/html"),
        ),
    ]
}

fn offer(changes: &Value) -> Value {
    let mut offer = json!({"scheme": "exact", "network": "eip155:8453", "amount": "10000", "asset": USDC,
        "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C", "maxTimeoutSeconds": 60,
        "extra": {"name": "USD Coin", "version": "2"}});
    offer.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    offer
}

fn asking(changes: &Value, resource: &Value) -> Answer {
    let required = json!({"x402Version": 2, "resource": resource, "accepts": [offer(changes)]});
    Answer::of(402, "{}").with("payment-required", &x402::encode_header(&required).unwrap())
}

/// (what is told, of which answer to a call that is said to cost a cent)
fn calls(url: &str) -> Vec<(Vec<Code>, Answer)> {
    use Code::*;
    let own = json!({"url": url});
    let changed = |changes: Value| asking(&changes, &own);
    let one = |code: Code, answer: Answer| (vec![code], answer);
    vec![
        one(MissingBazaarSchema, changed(json!({}))),
        one(PriceMismatch, changed(json!({"amount": "10001"}))),
        one(PricedButMissing, Answer::of(404, "")),
        one(PricedButFree, Answer::of(200, "{}")),
        one(NotProbed, Answer::of(400, "")),
        one(Unreadable402, Answer::of(402, "pay me")),
        one(UnreadableOffer, changed(json!({"amount": "1.5"}))),
        one(MissingResourceUrl, asking(&json!({}), &json!({}))),
        one(ResourceUrlOfAnotherOrigin, asking(&json!({}), &json!({"url": "https://other.example/a"}))),
        one(ResourceUrlOfAnotherPath, asking(&json!({}), &json!({"url": "/b"}))),
        one(UnknownAsset, changed(json!({"asset": "0x0000000000000000000000000000000000000001"}))),
        one(WrongEip712Domain, changed(json!({"extra": {"name": "Dollars", "version": "2"}}))),
    ]
}

fn told(origin: &Origin) -> BTreeSet<Code> {
    origin.findings.iter().map(|finding| finding.code).collect()
}

/// What is told in all, after what has to be told of each was.
#[derive(Default)]
struct Told(BTreeSet<Code>);

impl Told {
    fn of(&mut self, origin: &Origin, expected: &[Code]) {
        let told = told(origin);
        for code in expected {
            assert!(told.contains(code), "{code}: {told:?}");
        }
        self.0.extend(told);
    }
}

#[tokio::test]
async fn every_code_is_told_of_something() {
    let mut all = Told::default();
    let server = Server::start().await;
    server.put("/a", Answer::priced("10000", &server.at("/a")));
    server.put("/openapi.json", Answer::json(&changed(|_| {})));
    assert_eq!(told(&server.probed().await), BTreeSet::new(), "without a change nothing is wrong");
    for (expected, document) in documents() {
        server.put("/openapi.json", Answer::json(&document));
        all.of(&server.discovered().await, &expected);
    }
    for (expected, answer) in answers() {
        server.put("/openapi.json", answer);
        all.of(&server.discovered().await, &expected);
    }
    server.put("/openapi.json", Answer::json(&changed(|_| {})));
    for (expected, answer) in calls(&server.at("/a")) {
        server.put("/a", answer);
        all.of(&server.probed().await, &expected);
    }
    protocols_and_offers(&server, &mut all).await;
    of_legacy_documents(&mut all).await;
    of_the_way(&mut all).await;
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !all.0.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// What is said of the way of paying, and of a call that is said to be free, or of which nothing is said.
async fn protocols_and_offers(server: &Server, all: &mut Told) {
    server.put("/a", asking(&json!({}), &json!({"url": server.at("/a")})));
    let elsewhere = json!([{"intent": "charge", "method": "x402", "amount": "10000", "network": "eip155:1",
        "currency": USDC}]);
    let protocols = json!([{"mpp": {"method": "tempo", "intent": "charge", "currency": "USD"}}]);
    let info = json!({"offers": elsewhere, "protocols": protocols});
    server.put("/openapi.json", Answer::json(&priced(info)));
    all.of(&server.probed().await, &[Code::OfferNotOffered, Code::ProtocolNotOffered]);
    server.put("/openapi.json", Answer::json(&document(&json!({"/a": {"get": free()}}))));
    let origin = server.probed().await;
    all.of(&origin, &[Code::FreeButPriced]);
    let unsaid = server.at("/unsaid").parse().unwrap();
    let found = origin.judge("GET", &unsaid, 402, None, None, &Registry::builtin());
    assert!(found.is_empty(), "a 402 that nobody has read");
    let nothing = farthing_protocol::Challenge::read(None, b"pay me");
    let found = origin.judge("GET", &unsaid, 402, Some(nothing.as_ref()), None, &Registry::builtin());
    assert_eq!(found[0].code, Code::Undocumented);
    all.0.insert(Code::Undocumented);
}

async fn of_legacy_documents(all: &mut Told) {
    let server = Server::start().await;
    let resources = json!(["FETCH /y", "GET https://other.example/z"]);
    server.put("/.well-known/x402", Answer::json(&json!({"version": 1, "resources": resources})));
    let expected = [Code::LegacyWellKnown, Code::MalformedResource, Code::ResourceOfAnotherOrigin];
    all.of(&server.discovered().await, &expected);
}

/// Nobody answers, nobody may be asked, and what is asked in the open.
async fn of_the_way(all: &mut Told) {
    let nobody = nobody();
    let site = Site::parse(&nobody.local_addr().unwrap().to_string()).unwrap();
    all.of(&discovery().discover(&site).await, &[Code::Unreachable]);
    let careful = Config { reach: Reach::public(), ..discovery().config().clone() };
    let site = Site::parse("http://10.0.0.1").unwrap();
    let origin = Discovery::new(careful).unwrap().discover(&site).await;
    all.of(&origin, &[Code::OutOfReach, Code::PlainHttp]);
}
