//! What other people's software finds out about our gateway before it buys: `@agentcash/discovery` 1.7.5, the validator of
//! the sellers' registry, and `@x402/extensions` 2.27.0, by which facilitators catalogue.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::node;
use crate::gateway_check::Shop;

const MERGING: &str = "discovery: {upstream_document: api.json}";

async fn said(mut command: Command) -> Value {
    let done = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text} {}", String::from_utf8_lossy(&done.stderr)))
}

/// The validator as its users run it: the only thing that it misses is an icon, which is the upstream's to serve.
#[tokio::test]
async fn agentcash_has_nothing_to_say_against_our_gateway() {
    let shop = Shop::complete().await;
    let mut command = node("node_modules/@agentcash/discovery/bin/discovery.js");
    command.args(["discover", &shop.url, "--json", "-v"]);
    let said = said(command).await;
    let warnings: Vec<&Value> =
        said["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
    assert_eq!(warnings, ["FAVICON_MISSING"], "{said}");
    assert_eq!((&said["ok"], &said["meta"]["guidance"]), (&json!(true), &json!("Ask for one city.")));
}

/// Of a document of the API's own, with what other readers stumble over: references to what is not sold.
#[tokio::test]
async fn agentcash_reads_a_merged_document() {
    let routes = "\n  - {match: \"GET /weather/{city}\", price: \"$0.002\", input: {type: object}}\n";
    let document = json!({"openapi": "3.0.3", "info": {"title": "Up", "version": "1"}, "paths": {
        "/weather/{place}": {"get": {"summary": "Weather", "responses": {
            "200": {"description": "ok", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}},
            "400": {"$ref": "#/paths/~1admin/post/responses/400"}, "404": {"$ref": "#/components/responses/Gone"}}}},
        "/admin": {"post": {"responses": {"400": {"description": "wrong"}}}}},
        "components": {"schemas": {"Dog": {"type": "object"},
            "Pet": {"type": "object", "discriminator": {"propertyName": "kind", "mapping": {"dog": "Dog"}}}}}});
    let more = format!("public_url: {{url}}\n{MERGING}");
    let shop = Shop::open_beside(&more, routes, &[("api.json", &document.to_string())]).await;
    // It is merged in after the start.
    let told =
        async || reqwest::get(format!("{}/openapi.json", shop.url)).await.unwrap().text().await.unwrap();
    for _ in 0..1200 {
        if told().await.contains("{place}") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut command = node("node_modules/@agentcash/discovery/bin/discovery.js");
    command.args(["discover", &shop.url, "--json", "-v"]);
    let told = said(command).await;
    assert_eq!(told["ok"], json!(true), "{told}");
    let mut command = node("discovery-client.mjs");
    command.args(["--origin", &shop.url, "--url", &format!("GET {}/weather/oslo", shop.url)]);
    let read = said(command).await;
    let endpoint = &read["discovered"]["endpoints"][0];
    assert_eq!(
        (&endpoint["path"], &endpoint["price"]),
        (&json!("/weather/{place}"), &json!("0.002 USD")),
        "{read}"
    );
}

#[tokio::test]
async fn what_buyers_and_facilitators_read_is_what_is_sold() {
    let shop = Shop::complete().await;
    let (weather, render) = (format!("GET {}/weather/oslo", shop.url), format!("POST {}/render", shop.url));
    let mut command = node("discovery-client.mjs");
    command.args(["--origin", &shop.url, "--url", &weather, "--url", &render]);
    let said = said(command).await;

    let endpoints = said["discovered"]["endpoints"].as_array().unwrap().iter();
    let told: Vec<Value> = endpoints
        .map(|endpoint| {
            json!([endpoint["method"], endpoint["path"], endpoint["authMode"], endpoint["price"]])
        })
        .collect();
    assert_eq!(
        told,
        [
            json!(["GET", "/health", "unprotected", null]),
            json!(["POST", "/render", "paid", "0.05 USD"]),
            json!(["GET", "/weather/{city}", "paid", "0.002 USD"]),
        ]
    );
    for (call, at, method) in [(0, "/weather/:city", "GET"), (1, "/render", "POST")] {
        let call = &said["calls"][call];
        assert_eq!((&call["status"], &call["issues"]), (&json!(402), &json!([])), "{call}");
        assert_eq!(
            (&call["schema"]["valid"], &call["spec"]["valid"]),
            (&json!(true), &json!(true)),
            "{call}"
        );
        let catalogued = &call["catalogued"];
        assert_eq!(catalogued["resourceUrl"], format!("{}{at}", shop.url));
        assert_eq!((&catalogued["method"], &catalogued["serviceName"]), (&json!(method), &json!("Shop")));
    }
    let output = &said["calls"][0]["catalogued"]["discoveryInfo"]["output"]["example"];
    assert_eq!(output, &json!({"celsius": 21.5}));
}
