//! Searching over indexes.

use farthing_discovery::{Found, Query};
use serde_json::{Value, json};
use url::Url;

use crate::server::{Answer, Server, USDC, discovery};

fn entry(url: &str, units: &str, description: &str) -> Value {
    json!({"resource": url, "type": "http", "x402Version": 2, "description": description, "accepts": [
        {"scheme": "exact", "network": "eip155:8453", "amount": units, "asset": USDC, "payTo": "0x1", "maxTimeoutSeconds": 60}],
        "extensions": {"bazaar": {"info": {"input": {"type": "http", "method": "GET"}}, "schema": {}}}})
}

fn query(text: &str) -> Query {
    Query { text: text.to_owned(), limit: 20, max_price: None, network: None }
}

async fn search(query: &Query, servers: &[&Server]) -> Found {
    let indexes: Vec<Url> = servers.iter().map(|server| Url::parse(&server.at("/x402/")).unwrap()).collect();
    discovery().search(query, &indexes).await
}

fn urls(found: &Found) -> Vec<&str> {
    found.results.iter().map(|hit| hit.listed.url.as_str()).collect()
}

#[tokio::test]
async fn results_of_several_indexes_are_one_list_in_turn() {
    let (a, b) = (Server::start().await, Server::start().await);
    let of = |entries: &[(&str, &str)]| {
        let entries: Vec<Value> = entries.iter().map(|(url, units)| entry(url, units, "Weather")).collect();
        Answer::json(&json!({"x402Version": 2, "resources": entries, "partialResults": true}))
    };
    a.put(
        "/x402/discovery/search",
        of(&[("https://a.example/1", "1000"), ("https://both.example/", "2500")]),
    );
    b.put(
        "/x402/discovery/search",
        of(&[
            ("https://b.example/1", "90000"),
            ("https://both.example/", "2500"),
            ("https://b.example/2", "1"),
        ]),
    );
    let found = search(&query("weather & more"), &[&a, &b]).await;
    assert_eq!(
        urls(&found),
        ["https://a.example/1", "https://b.example/1", "https://both.example/", "https://b.example/2"]
    );
    assert_eq!(found.results[2].sources, [a.at("/x402"), b.at("/x402")]);
    assert_eq!(found.results[2].listed.price.unwrap().to_string(), "$0.0025");
    assert!(
        found.indexes.iter().all(|asked| asked.way == "search" && asked.partial && asked.error.is_none())
    );
    assert_eq!(a.paths(), ["GET /x402/discovery/search?query=weather+%26+more&limit=20"]);

    let cheap = Query { max_price: Some("0.001".parse().unwrap()), ..query("weather") };
    assert_eq!(urls(&search(&cheap, &[&a, &b]).await), ["https://a.example/1", "https://b.example/2"]);
    let elsewhere = Query { network: Some("base-sepolia".parse().unwrap()), ..query("weather") };
    assert!(search(&elsewhere, &[&a, &b]).await.results.is_empty());
    let one = Query { limit: 1, ..query("weather") };
    assert_eq!(search(&one, &[&a, &b]).await.results.len(), 1);
}

/// An offer that is cheap on one network is no reason to show what is dear on another.
#[tokio::test]
async fn one_offer_is_within_all_limits() {
    let server = Server::start().await;
    let mut two = entry("https://a.example/", "5000000", "Weather");
    let cheap = json!({"scheme": "exact", "network": "eip155:84532", "amount": "1000",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "payTo": "0x1", "maxTimeoutSeconds": 60});
    two["accepts"].as_array_mut().unwrap().push(cheap);
    server.put("/x402/discovery/search", Answer::json(&json!({"resources": [two]})));
    let price = async |network: Option<&str>, most: Option<&str>| {
        let network = network.map(|network| network.parse().unwrap());
        let max_price = most.map(|most| most.parse().unwrap());
        let found = search(&Query { network, max_price, ..query("weather") }, &[&server]).await;
        found.results.first().map(|hit| hit.listed.price.unwrap().to_string())
    };
    assert_eq!(price(None, Some("0.01")).await.as_deref(), Some("$0.001"));
    assert_eq!(price(Some("base"), Some("0.01")).await, None);
    assert_eq!(price(Some("base"), None).await.as_deref(), Some("$5.00"));
    assert_eq!(price(Some("base"), Some("5")).await.as_deref(), Some("$5.00"));
    assert_eq!(price(Some("base-sepolia"), Some("0.01")).await.as_deref(), Some("$0.001"));
}

#[tokio::test]
async fn an_index_that_only_lists_is_filtered_here() {
    let server = Server::start().await;
    let mut entries: Vec<Value> =
        (0..100).map(|n| entry(&format!("https://n.example/{n}"), "1", "Numbers")).collect();
    entries[7]["description"] = json!("Weather in numbers");
    let page = |entries: &[Value]| {
        Answer::json(
            &json!({"x402Version": 2, "items": entries, "pagination": {"limit": 100, "offset": 0, "total": 102}}),
        )
    };
    server.put("/x402/discovery/resources?limit=100&offset=0", page(&entries));
    let mut named = entry("https://w.example/", "1", "Numbers");
    named["serviceName"] = json!("The Weather");
    server.put(
        "/x402/discovery/resources?limit=100&offset=100",
        page(&[named, entry("https://x.example/weather", "1", "No")]),
    );
    let found = search(&query("weather NUMBERS"), &[&server]).await;
    // A name counts more than a description; every word has to be somewhere.
    assert_eq!(urls(&found), ["https://w.example/", "https://n.example/7"]);
    assert_eq!((found.indexes[0].way, found.indexes[0].partial), ("list", false));
    assert_eq!(server.paths().len(), 3);
}

#[tokio::test]
async fn one_index_that_fails_loses_nobody_elses_results() {
    let (good, page, broken) = (Server::start().await, Server::start().await, Server::start().await);
    good.put(
        "/x402/discovery/search",
        Answer::json(&json!({"resources": [entry("https://a.example/", "1", "A")]})),
    );
    page.put("/x402/discovery/search", Answer::of(200, "<html>").with("content-type", "text/html"));
    broken.put("/x402/discovery/search", Answer::of(500, ""));
    let nobody = Url::parse("http://127.0.0.1:1/key?api_key=s3cret").unwrap();
    let mut indexes: Vec<Url> =
        [&page, &broken, &good].iter().map(|server| Url::parse(&server.at("/x402")).unwrap()).collect();
    indexes.insert(0, nobody);
    let found = discovery().search(&query("a"), &indexes).await;
    assert_eq!(urls(&found), ["https://a.example/"]);
    let errors: Vec<bool> = found.indexes.iter().map(|asked| asked.error.is_some()).collect();
    assert_eq!(errors, [true, true, true, false]);
    assert!(!serde_json::to_string(&found).unwrap().contains("s3cret"));
}
