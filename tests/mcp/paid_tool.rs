//! Tools of paid MCP servers: x402 over MCP's own transport. No seller of that kind is to be had on npm, so the server in here
//! speaks the protocol by hand; who verifies and settles is our facilitator, on the chain.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use farthing_devnet::accounts::PAYEE;
use serde_json::{Value, json};

use crate::rough::{Reply, asks_for_payment, mcp_server, settled, tool_payments};
use crate::session::{Session, allow_hosts, impatient};
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
        "tools/list" => json!({"tools": [{"name": "forecast", "inputSchema": {"type": "object"},
            "annotations": {"readOnlyHint": true}}]}),
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

fn call_of(host: &str) -> Value {
    json!({"url": format!("http://{host}/mcp"), "mcp_tool": "forecast", "body": {"city": "Berlin"}})
}

fn paid(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}], "_meta": {"x402/payment-response": settled()}})
}

fn is_paid(params: &Value) -> bool {
    params["_meta"].get("x402/payment").is_some()
}

/// A server whose connections break for the first payments.
async fn breaking(times: usize) -> crate::rough::Rough {
    let left = AtomicUsize::new(times);
    mcp_server(true, move |params| match is_paid(params) {
        false => Ok(asks_for_payment()),
        true if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() => {
            Err(Reply::Breaks)
        }
        true => Ok(paid("sunny")),
    })
    .await
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_payment_costs_nothing_more() {
    let world = World::start().await;
    let server = breaking(1).await;
    allow_hosts(&world.wallet, &[&server.host]);
    let mut session = Session::start(&world.wallet).await;
    let bought = session.ok("pay", call_of(&server.host)).await;
    assert!(bought["body"]["text"].as_str().unwrap().contains("sunny"), "{bought}");
    let payments = tool_payments(&server);
    assert!(payments.len() == 2 && payments[0] == payments[1], "{payments:?}");
}

#[tokio::test]
async fn a_lost_answer_is_fetched_again_with_the_same_payment() {
    let world = World::start().await;
    let server = breaking(3).await;
    allow_hosts(&world.wallet, &[&server.host]);
    let mut session = Session::start(&world.wallet).await;
    let lost = session.refused("pay", call_of(&server.host)).await;
    assert_eq!(
        (&lost["code"], &lost["money"]),
        (&json!("outcome_unknown"), &json!("payment_sent")),
        "{lost}"
    );
    assert!(!lost["message"].as_str().unwrap().contains("::"), "no names of Rust's types: {lost}");
    let purchase = &lost["purchase"];
    for body in [Value::Null, json!({"city": "Rome"})] {
        let refused = session.refused("fetch_again", json!({"purchase": purchase, "body": body})).await;
        assert_eq!(refused["code"], "bad_arguments", "{refused}");
    }
    let again = session.ok("fetch_again", json!({"purchase": purchase, "body": {"city": "Berlin"}})).await;
    assert_eq!(
        (&again["payment"]["purchase"], &again["payment"]["state"]),
        (purchase, &json!("paid")),
        "{again}"
    );
    assert!(again["body"]["text"].as_str().unwrap().contains("sunny"), "{again}");
    let payments = tool_payments(&server);
    assert!(payments.len() == 4 && payments.windows(2).all(|two| two[0] == two[1]), "{payments:?}");
}

#[tokio::test]
async fn a_long_result_is_kept_whole() {
    const LONG: usize = 17 << 20;
    let world = World::start().await;
    let answer =
        |params: &Value| Ok(if is_paid(params) { paid(&"s".repeat(LONG)) } else { asks_for_payment() });
    let server = mcp_server(true, answer).await;
    allow_hosts(&world.wallet, &[&server.host]);
    let mut session = Session::start(&world.wallet).await;
    let bought = session.ok("pay", call_of(&server.host)).await;
    assert_eq!((&bought["status"], &bought["payment"]["state"]), (&json!(200), &json!("paid")));
    let file = std::fs::metadata(bought["body"]["file"].as_str().unwrap()).unwrap();
    assert!(file.len() > LONG as u64);
}

#[tokio::test]
async fn an_error_in_place_of_a_result_is_kept() {
    let world = World::start().await;
    let server = mcp_server(true, |params| match is_paid(params) {
        false => Ok(asks_for_payment()),
        true => Err(Reply::json(&json!({"code": -32603, "message": "out of order"}))),
    })
    .await;
    allow_hosts(&world.wallet, &[&server.host]);
    let mut session = Session::start(&world.wallet).await;
    let bought = session.ok("pay", call_of(&server.host)).await;
    assert_eq!(
        (&bought["status"], &bought["payment"]["state"]),
        (&json!(422), &json!("unknown")),
        "{bought}"
    );
    assert!(bought["body"]["text"].as_str().unwrap().contains("out of order"), "{bought}");
}

/// Whoever only asks for a price has not called a tool that does something.
#[tokio::test]
async fn a_check_calls_no_tool_that_may_do_something() {
    let world = World::start().await;
    let harmful = mcp_server(false, |_| Ok(paid("deleted"))).await;
    let harmless = mcp_server(true, |_| Ok(asks_for_payment())).await;
    allow_hosts(&world.wallet, &[&harmful.host, &harmless.host]);
    let mut session = Session::start(&world.wallet).await;
    let checked = session.ok("check", call_of(&harmful.host)).await;
    assert_eq!((&checked["asked"], checked.get("allowed")), (&json!(false), None), "{checked}");
    let called = |server: &crate::rough::Rough| {
        server.heard().iter().filter(|heard| heard.json()["method"] == "tools/call").count()
    };
    assert_eq!(called(&harmful), 0);
    let checked = session.ok("check", call_of(&harmless.host)).await;
    assert_eq!((&checked["price"], called(&harmless)), (&json!("$0.001"), 1), "{checked}");
}

#[tokio::test]
async fn a_server_that_never_comes_to_the_point_is_given_up() {
    let world = World::start().await;
    let server = crate::rough::Rough::start(|_| Reply::Drips("text/event-stream", ": wait\n\n")).await;
    allow_hosts(&world.wallet, &[&server.host]);
    impatient(&world.wallet);
    let mut session = Session::start(&world.wallet).await;
    let begun = Instant::now();
    for tool in ["pay", "check"] {
        let refused = session.refused(tool, call_of(&server.host)).await;
        assert_eq!(
            (&refused["code"], &refused["money"]),
            (&json!("unreachable"), &json!("nothing_paid")),
            "{refused}"
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}
