//! `discover`, `search` and `check` against our own gateway in front of a real API, and against a seller whose document
//! says one thing and whose routes another.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use farthing_devnet::BASE_SEPOLIA;
use farthing_devnet::accounts::PAYEE;
use farthing_protocol::x402::encode_header;
use serde_json::{Value, json};

use crate::world::World;

/// Base Sepolia's USDC.
const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";

/// What reached a server: method, path, headers.
type Asked = Arc<Mutex<Vec<(String, String, HeaderMap)>>>;

/// A seller with a document, and an index of it.
pub(crate) struct Market {
    pub(crate) url: String,
    asked: Asked,
}

impl Market {
    pub(crate) async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Asked::default();
        let router = Router::new().fallback(answer).with_state((url.clone(), asked.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked }
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

async fn answer(State((url, asked)): State<(String, Asked)>, request: Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    asked.lock().unwrap().push((request.method().to_string(), path.clone(), request.headers().clone()));
    match path.as_str() {
        "/openapi.json" => axum::Json(document()).into_response(),
        "/right" | "/dear" | "/hidden" => priced(&format!("{url}{path}"), &json!({})),
        "/token" => {
            priced(&format!("{url}{path}"), &json!({"asset": "0x0000000000000000000000000000000000000001"}))
        }
        "/domain" => priced(&format!("{url}{path}"), &json!({"extra": {"name": "Dollars", "version": "2"}})),
        "/unreadable" => (StatusCode::PAYMENT_REQUIRED, "pay me").into_response(),
        "/moved" => (StatusCode::FOUND, [("location", "https://a.example/")]).into_response(),
        "/gratis" => "for nothing".into_response(),
        "/discovery/search" => {
            axum::Json(json!({"x402Version": 2, "resources": [listed(&url)]})).into_response()
        }
        "/render" if request.method() == "POST" => priced(&format!("{url}/render"), &json!({})),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn document() -> Value {
    let sold = |amount: &str, summary: &str| {
        let price = json!({"mode": "fixed", "amount": amount, "currency": "USD"});
        json!({"summary": summary, "parameters": [], "x-payment-info": {"price": price, "protocols": [{"x402": {}}]},
            "responses": {"200": {"content": {"application/json": {"example": {}}}}, "402": {}}})
    };
    let mut render = sold("0.002", "Renders \u{1b}[31m");
    let schema = json!({"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]});
    render["requestBody"] = json!({"content": {"application/json": {"schema": schema}}});
    json!({"openapi": "3.1.0", "info": {"title": "Market", "version": "1", "contact": {"email": "a@a.example"},
        "x-guidance": "Ask for one size.\n\u{1b}[31mThen for another."},
    "paths": {
        "/token": {"get": sold("0.002", "In another token")}, "/domain": {"get": sold("0.002", "Misnamed")},
        "/unreadable": {"get": sold("0.002", "Unreadable")}, "/moved": {"post": sold("0.002", "Moved")},
        "/right": {"get": sold("0.002", "As it says")}, "/dear": {"get": sold("0.001", "Cheaper than it is")},
        "/gratis": {"get": sold("0.002", "Dearer than it is")}, "/gone": {"get": sold("0.002", "Not there")},
        "/render": {"post": render}, "/health": {"get": {"summary": "Up", "security": []}},
    }})
}

fn offer(changes: &Value) -> Value {
    let mut offer = json!({"scheme": "exact", "network": format!("eip155:{BASE_SEPOLIA}"), "amount": "2000", "asset": USDC,
        "payTo": PAYEE.address.to_string(), "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2"}});
    offer.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    offer
}

fn priced(url: &str, changes: &Value) -> Response {
    let required = json!({"x402Version": 2, "resource": {"url": url}, "accepts": [offer(changes)]});
    let header = [("payment-required", encode_header(&required).unwrap())];
    (StatusCode::PAYMENT_REQUIRED, header, "{}").into_response()
}

fn listed(url: &str) -> Value {
    json!({"resource": format!("{url}/right"), "type": "http", "description": "Weather", "accepts": [offer(&json!({}))]})
}

/// The codes of findings, with the last part of what they are about.
fn found(findings: &Value) -> Vec<(String, String)> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let mut found: Vec<_> = findings
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] == "error")
        .map(|finding| {
            (
                text(finding, "code"),
                text(finding, "resource").rsplit('/').next().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    found.sort();
    found
}

fn pair(code: &str, about: &str) -> (String, String) {
    (code.to_owned(), about.to_owned())
}

/// What our gateway says of itself is what it charges.
#[tokio::test]
async fn a_gateway_of_ours_is_as_it_says() {
    let world = World::start().await;
    let told = world.wallet.json(&["discover", &world.url, "--live"], 0).await;
    let origin = &told["origins"][0];
    assert_eq!(found(&origin["findings"]), [], "{origin}");
    let resources = origin["resources"].as_array().unwrap();
    let weather = resources.iter().find(|resource| resource["path"] == "/weather/{city}").unwrap();
    assert_eq!((&weather["price"]["text"], &weather["live"]["price"]), (&json!("$0.002"), &json!("$0.002")));
    assert_eq!(weather["live"]["status"], 402);
    let echo = resources.iter().find(|resource| resource["path"] == "/echo").unwrap();
    assert_eq!((&echo["method"], &echo["live"]["state"]), (&json!("POST"), &json!("unknown")));
    let checked = world.wallet.json(&["check", &world.at("/weather/oslo")], 0).await;
    assert_eq!(checked["document"]["resources"][0]["path"], "/weather/{city}");
    assert_eq!(found(&checked["document"]["findings"]), []);
    assert_eq!((world.earned().await, world.upstream.served()), (0, 0));
}

#[tokio::test]
async fn a_document_is_held_against_its_routes() {
    let world = World::start().await;
    let market = Market::open().await;
    let told = world.wallet.json(&["discover", &market.url], 0).await;
    let origin = &told["origins"][0];
    assert_eq!(origin["origin"], market.url);
    assert_eq!(origin["resources"].as_array().unwrap().len(), 10);
    assert_eq!(found(&origin["findings"]), []);
    let right =
        origin["resources"].as_array().unwrap().iter().find(|resource| resource["path"] == "/right").unwrap();
    assert_eq!(right["key"], format!("{} GET /right", market.url));
    assert_eq!(right["price"]["text"], "$0.002");
    assert_eq!(right["live"], Value::Null);

    let told = world.wallet.json(&["discover", &market.url, "--live"], 0).await;
    let wrong = [
        pair("price-mismatch", "dear"),
        pair("priced-but-free", "gratis"),
        pair("priced-but-missing", "gone"),
        pair("unreadable-402", "unreadable"),
        pair("wrong-eip712-domain", "domain"),
    ];
    assert_eq!(found(&told["origins"][0]["findings"]), wrong);
    let warned = told["origins"][0]["findings"].as_array().unwrap().iter();
    let unknown = warned.filter(|finding| finding["code"] == "unknown-asset");
    assert_eq!(unknown.map(|finding| &finding["severity"]).collect::<Vec<_>>(), ["warning"]);
    let shown = String::from_utf8(world.wallet.ok(&["discover", &market.url, "--live"]).await).unwrap();
    for part in ["METHOD", "/dear", "$0.001", "$0.002", "price-mismatch", "priced-but-missing"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains('\u{1b}') && !shown.contains("/health"), "{shown}");

    let shown = String::from_utf8(world.wallet.ok(&["discover", &market.url, "--all"]).await).unwrap();
    for part in ["/health", "POST /render  body: size* integer", "Ask for one size.", "[31mThen for another."]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "{shown}");

    let asked = market.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|(method, ..)| method == "GET"), "{asked:?}");
    for (_, path, headers) in asked {
        let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "host", "user-agent"], "{path}");
    }
    assert_eq!(world.earned().await, 0);
}

#[tokio::test]
async fn a_check_knows_what_is_advertised() {
    let world = World::start().await;
    let market = Market::open().await;
    let check = async |path: &str, more: &[&str], code: i32| {
        world.wallet.json(&[&["check", &market.at(path)], more].concat(), code).await
    };
    let right = check("/right", &[], 0).await;
    assert_eq!((&right["priced"], &right["allowed"]), (&json!(true), &json!(true)));
    assert_eq!(right["document"]["resources"][0]["price"]["text"], "$0.002");
    assert_eq!(found(&right["document"]["findings"]), []);
    assert_eq!(
        found(&check("/dear", &[], 0).await["document"]["findings"]),
        [pair("price-mismatch", "dear")]
    );
    assert_eq!(
        found(&check("/gratis", &[], 0).await["document"]["findings"]),
        [pair("priced-but-free", "gratis")]
    );
    assert_eq!(
        found(&check("/gone", &[], 7).await["document"]["findings"]),
        [pair("priced-but-missing", "gone")]
    );
    // What its documents say stands beside a 402 that nobody can read.
    let unreadable = check("/unreadable", &[], 5).await;
    assert_eq!(unreadable["document"]["resources"][0]["price"]["text"], "$0.002");
    assert_eq!(found(&unreadable["document"]["findings"]), [pair("unreadable-402", "unreadable")]);
    assert!(unreadable["error"]["message"].is_string());
    let moved = check("/moved", &[], 0).await;
    assert_eq!((&moved["listed_under"], &moved["location"]), (&json!("POST"), &json!("https://a.example/")));
    let hidden = check("/hidden", &[], 0).await;
    assert_eq!(hidden["document"]["findings"][0]["code"], "undocumented");

    // Sold under POST, which is not sent unasked.
    let render = check("/render", &[], 0).await;
    assert_eq!((&render["priced"], &render["listed_under"]), (&json!(false), &json!("POST")));
    assert_eq!(render["document"]["resources"][0]["input"]["body"]["required"], json!(["size"]));
    assert!(market.asked.lock().unwrap().iter().all(|(method, ..)| method == "GET"));
    let asked = check("/render", &["-d", "{\"size\": 1}"], 0).await;
    assert_eq!((&asked["priced"], found(&asked["document"]["findings"])), (&json!(true), vec![]));
    let shown = String::from_utf8(world.wallet.ok(&["check", &market.at("/render")]).await).unwrap();
    assert!(shown.contains("POST /render $0.002") && shown.contains("body: size* integer"), "{shown}");
    assert_eq!(world.earned().await, 0);
}

#[tokio::test]
async fn indexes_are_asked_only_when_one_searches() {
    let world = World::start().await;
    let market = Market::open().await;
    let config = world.wallet.home.join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}indexes: [\"{}\"]\n", market.url)).unwrap();
    world.wallet.ok(&["config", "show"]).await;
    world.wallet.ok(&["check", &world.at("/weather/berlin")]).await;
    assert!(market.asked.lock().unwrap().is_empty());
    let told = world.wallet.json(&["search", "weather", "now"], 0).await;
    assert_eq!(told["results"][0]["url"], market.at("/right"));
    assert_eq!(told["results"][0]["price"], "$0.002");
    assert_eq!(told["results"][0]["sources"], json!([market.url]));
    let cheap = world.wallet.json(&["search", "weather", "--max-price", "$0.001"], 0).await;
    assert_eq!(cheap["results"], json!([]));
    let both = ["search", "weather", "--index", &market.url, "--index", "http://127.0.0.1:1"];
    let told = world.wallet.json(&both, 0).await;
    assert_eq!((told["results"].as_array().unwrap().len(), &told["indexes"][1]["found"]), (1, &json!(0)));
    assert!(told["indexes"][1]["error"].is_string());
    world.wallet.json(&["search", "weather", "--index", "http://127.0.0.1:1"], 3).await;
    world.wallet.json(&["search", "weather", "--index", "ftp://a.example"], 2).await;
    let shown = String::from_utf8(world.wallet.ok(&["search", "weather"]).await).unwrap();
    assert!(shown.contains("$0.002") && shown.contains("/right"), "{shown}");
}

#[tokio::test]
async fn what_cannot_be_discovered_is_an_error() {
    let world = World::start().await;
    world.wallet.json(&["discover", "http://127.0.0.1:1"], 3).await;
    world.wallet.json(&["discover", "ftp://a.example"], 2).await;
    let secret = world.wallet.json(&["discover", "https://u:s3cret@a.example"], 2).await;
    assert!(!secret.to_string().contains("s3cret"), "{secret}");
    // One that can be described is enough.
    let market = Market::open().await;
    let told = world.wallet.json(&["discover", &market.url, "http://127.0.0.1:1", &market.url], 0).await;
    assert_eq!(told["origins"].as_array().unwrap().len(), 2, "the same origin is asked once");
}
