//! Everything that the server has, used once by every client.

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::Client;
use crate::world::World;

/// An index that lists one API; its host.
pub(super) async fn index(listed: String) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let router = Router::new().fallback(move |request: Request| {
        let offer = json!({"scheme": "exact", "network": "eip155:84532", "amount": "2000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "payTo": "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
            "maxTimeoutSeconds": 60});
        let found = json!({"resources": [{"resource": listed, "type": "http", "x402Version": 2, "accepts": [offer],
            "description": "The weather of a city"}]});
        async move {
            match request.uri().path() {
                "/discovery/search" => axum::Json(found).into_response(),
                _ => StatusCode::NOT_FOUND.into_response(),
            }
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    host
}

pub(super) async fn everything(client: &mut Client, world: &World) {
    it_knows_the_server(client).await;
    it_finds_and_checks(client, world).await;
    it_pays_and_looks_back(client, world).await;
    it_reads_and_is_prompted(client).await;
}

async fn it_knows_the_server(client: &mut Client) {
    let revision = client.sdk.revision();
    let hello = client.ask("hello", json!({})).await;
    assert_eq!(
        (&hello["revision"], &hello["server"]["name"]),
        (&json!(revision), &json!("farthing")),
        "{}",
        client.who
    );
    assert!(hello["instructions"].as_str().unwrap().contains("fetch_again"), "{}: {hello}", client.who);
    for capability in ["tools", "resources", "prompts"] {
        assert!(hello["capabilities"][capability].is_object(), "{}: {hello}", client.who);
    }
    let listed = client.ask("tools", json!({})).await;
    let tools = listed["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 9, "{}: {listed}", client.who);
    let spending = |tool: &&Value| tool["annotations"]["destructiveHint"] == true;
    let spending: Vec<&Value> = tools.iter().filter(spending).map(|tool| &tool["name"]).collect();
    assert_eq!(spending, ["pay"], "{}", client.who);
}

async fn it_finds_and_checks(client: &mut Client, world: &World) {
    let found = client.ok("search", json!({"query": "weather", "max_price": "$0.01"})).await;
    assert_eq!(
        (&found["results"][0]["price"], &found["indexes"][0]["error"]),
        (&json!("$0.002"), &Value::Null)
    );
    let described = client.ok("discover", json!({"origin": world.url})).await;
    assert!(described["resources"].to_string().contains("/weather/{city}"), "{}: {described}", client.who);
    let described = client.ok("discover", json!({"origin": world.url, "path": "/weather/{city}"})).await;
    assert_eq!(described["resources"].as_array().unwrap().len(), 1, "{}: {described}", client.who);
    let checked = client.ok("check", json!({"url": world.at("/weather/bern")})).await;
    assert_eq!((&checked["allowed"], &checked["price"]), (&json!(true), &json!("$0.002")), "{}", client.who);
}

async fn it_pays_and_looks_back(client: &mut Client, world: &World) {
    let earned = world.earned().await;
    let result = client.call("pay", json!({"url": world.at("/weather/bern"), "max_amount": "$0.01"})).await;
    let paid = &result["structuredContent"];
    assert_eq!(
        (&paid["payment"]["state"], &paid["body"]["text"], world.earned().await),
        (&json!("paid"), &json!(r#"{"path":"/weather/bern"}"#), earned + 2_000),
        "{}: {result}",
        client.who
    );
    let told: Vec<&str> =
        result["progress"].as_array().unwrap().iter().filter_map(|told| told["message"].as_str()).collect();
    assert!(
        told.contains(&"asking the seller") && told.contains(&"paying $0.002"),
        "{}: {told:?}",
        client.who
    );

    let purchase = &paid["payment"]["purchase"];
    let again = client.ok("fetch_again", json!({"purchase": purchase})).await;
    assert_eq!((&again["body"]["text"], world.earned().await), (&paid["body"]["text"], earned + 2_000));
    let history = client.ok("history", json!({"limit": 1, "unresolved": false})).await;
    assert_eq!(&history["purchases"][0]["payment"]["purchase"], purchase, "{}", client.who);
    let balance = client.ok("balance", json!({})).await;
    assert_eq!(balance["balances"][0]["amount"], world.held().await.to_string(), "{}: {balance}", client.who);
    assert_eq!(client.ok("budget", json!({})).await["budgets"][0]["rule"], "ever", "{}", client.who);
    let fund = client.ok("fund", json!({})).await;
    assert_eq!(fund["addresses"][0]["address"], world.wallet.address, "{}: {fund}", client.who);

    let uri = format!("farthing://receipts/{}", purchase.as_str().unwrap());
    let receipt = client.ask("read", json!({"uri": uri})).await;
    assert!(
        receipt["contents"][0]["text"].as_str().unwrap().contains("\"paid\""),
        "{}: {receipt}",
        client.who
    );
    let resources = client.ask("resources", json!({})).await;
    assert!(resources["resources"].to_string().contains(&uri), "{}: {resources}", client.who);
    let body = client.ask("read", json!({"uri": paid["body"]["resource"]})).await;
    assert_eq!(body["contents"][0]["text"], paid["body"]["text"], "{}: {body}", client.who);
}

async fn it_reads_and_is_prompted(client: &mut Client) {
    let templates = client.ask("templates", json!({})).await;
    assert_eq!(templates["resourceTemplates"].as_array().unwrap().len(), 2, "{}: {templates}", client.who);
    let policy = client.ask("read", json!({"uri": "farthing://policy"})).await;
    assert!(policy["contents"][0]["text"].as_str().unwrap().contains("$100"), "{}: {policy}", client.who);
    let prompts = client.ask("prompts", json!({})).await;
    assert_eq!(prompts["prompts"][0]["name"], "buy_data", "{}: {prompts}", client.who);
    let arguments = json!({"topic": "weather", "budget": "$0.05"});
    let prompt = client.ask("prompt", json!({"name": "buy_data", "arguments": arguments})).await;
    let text = prompt["messages"][0]["content"]["text"].as_str().unwrap();
    assert!(text.contains("at most $0.05"), "{}: {prompt}", client.who);
}

pub(super) async fn it_is_told_of_mistakes(client: &mut Client, world: &World) {
    let wrong = client.call("pay", json!({"url": world.at("/echo"), "max_amout": "$1"})).await;
    assert_eq!(wrong["structuredContent"]["error"]["code"], "bad_arguments", "{}: {wrong}", client.who);
    let refused = client.call("pay", json!({"url": world.at("/weather/x"), "max_amount": "$0.001"})).await;
    assert_eq!(refused["structuredContent"]["error"]["code"], "denied", "{}: {refused}", client.who);
    let unknown = client.call("approve", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32602, "{}: {unknown}", client.who);
    let unknown = client.ask("read", json!({"uri": "farthing://keys"})).await;
    assert_eq!(unknown["error"]["data"]["uri"], "farthing://keys", "{}: {unknown}", client.who);
    let unknown = client.ask("prompt", json!({"name": "spend", "arguments": {}})).await;
    assert_eq!(unknown["error"]["code"], -32602, "{}: {unknown}", client.who);
}
