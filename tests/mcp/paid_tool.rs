//! Tools of paid MCP servers: x402 over MCP's own transport. No seller of that kind is to be had on npm, so the server in here
//! speaks the protocol by hand; who verifies and settles is our facilitator, on the chain.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use farthing_devnet::accounts::PAYEE;
use serde_json::{Value, json};

use crate::session::{Session, allow_hosts};
use crate::world::{World, free_port, networks, start_server};

const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";

/// A server that sells one tool.
#[derive(Clone)]
struct Shop {
    facilitator: Arc<str>,
    amount: &'static str,
}

impl Shop {
    async fn open(facilitator: &str, amount: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shop = Self { facilitator: facilitator.into(), amount };
        let router = Router::new().route("/mcp", post(answer)).with_state(shop);
        tokio::spawn(async move { axum::serve(listener, router).await });
        host
    }

    fn requirements(&self) -> Value {
        json!({"scheme": "exact", "network": "eip155:84532", "amount": self.amount, "asset": USDC,
            "payTo": PAYEE.address.to_string(), "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2"}})
    }

    /// What the tool gives: first the price, and the forecast for a payment.
    async fn call(&self, params: &Value) -> Value {
        let required = json!({"x402Version": 2, "error": "Payment required", "accepts": [self.requirements()],
            "resource": {"url": "mcp://tool/forecast", "description": "The weather to come"}});
        let Some(payment) = params["_meta"].get("x402/payment") else {
            return json!({"isError": true, "structuredContent": required,
                "content": [{"type": "text", "text": required.to_string()}]});
        };
        assert_eq!(params["arguments"], json!({"city": "Berlin"}), "what was judged is what came");
        let body =
            json!({"x402Version": 2, "paymentPayload": payment, "paymentRequirements": self.requirements()});
        assert_eq!(self.ask("verify", &body).await["isValid"], true);
        let settled = self.ask("settle", &body).await;
        json!({"content": [{"type": "text", "text": "sunny"}], "_meta": {"x402/payment-response": settled}})
    }

    async fn ask(&self, what: &str, body: &Value) -> Value {
        let url = format!("{}/{what}", self.facilitator);
        reqwest::Client::new().post(url).json(body).send().await.unwrap().json().await.unwrap()
    }
}

async fn answer(State(shop): State<Shop>, Json(message): Json<Value>) -> Response {
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
            "serverInfo": {"name": "shop", "version": "1"}}),
        "tools/call" => shop.call(&message["params"]).await,
        _ if message.get("id").is_none() => return StatusCode::ACCEPTED.into_response(),
        method => {
            let error = json!({"code": -32601, "message": format!("no method {method}")});
            return Json(json!({"jsonrpc": "2.0", "id": message["id"], "error": error})).into_response();
        }
    };
    Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}

/// A facilitator on the world's chain.
async fn facilitator(world: &World) -> (String, tokio::process::Child) {
    let (port, config) = (free_port(), world.folder.path().join("facilitator.yaml"));
    let url = format!("http://127.0.0.1:{port}");
    std::fs::write(&config, format!("listen: 127.0.0.1:{port}\n{}\n", networks(&world.chain))).unwrap();
    let running = start_server("facilitator", &config, &url).await;
    (url, running)
}

#[tokio::test]
async fn a_tool_of_a_paid_server_is_checked_and_paid() {
    let world = World::start().await;
    let (facilitator, _running) = facilitator(&world).await;
    let host = Shop::open(&facilitator, "3000").await;
    allow_hosts(&world.wallet, &[&host]);
    let mut session = Session::start(&world.wallet).await;
    let call =
        json!({"url": format!("http://{host}/mcp"), "mcp_tool": "forecast", "body": {"city": "Berlin"}});
    let checked = session.ok("check", call.clone()).await;
    assert_eq!((&checked["allowed"], &checked["price"]), (&json!(true), &json!("$0.003")), "{checked}");
    let paid = session.ok("pay", call).await;
    assert_eq!((&paid["payment"]["state"], world.earned().await), (&json!("paid"), 3_000), "{paid}");
    assert!(paid["body"]["text"].as_str().unwrap().contains("sunny"), "{paid}");
    let again = session.ok("fetch_again", json!({"purchase": paid["payment"]["purchase"]})).await;
    assert_eq!((&again["body"]["text"], world.earned().await), (&paid["body"]["text"], 3_000));
    let bought = &session.ok("history", json!({})).await["purchases"][0];
    assert_eq!(
        (&bought["method"], &bought["url"]),
        (&json!("MCP"), &json!(format!("http://{host}/mcp#forecast")))
    );
    assert!(session.leave().await.success());
    world.wallet.assert_whole().await;
}

#[tokio::test]
async fn caps_and_bounds_hold_for_tools_too() {
    let world = World::start().await;
    let host = Shop::open("http://127.0.0.1:9", "9000000").await;
    let call = json!({"url": format!("http://{host}/mcp"), "mcp_tool": "forecast"});
    let mut outside = Session::start(&world.wallet).await;
    assert_eq!(outside.refused("pay", call.clone()).await["code"], "out_of_reach");
    allow_hosts(&world.wallet, &[&host]);
    let mut session = Session::start(&world.wallet).await;
    assert_eq!(session.refused("pay", call.clone()).await["denial"]["code"], "above_maximum");
    let mut listed = call;
    listed["body"] = json!([1]);
    assert_eq!(session.refused("pay", listed).await["code"], "bad_arguments");
}
