//! Where other agent wallets fail (`reference/discovery.md`), row by row. The tests of this file hold what no other one
//! holds:
//!
//! | failure elsewhere | held by |
//! |---|---|
//! | the cap is skipped when the forced network matches no offer | `refused::a_forced_network_that_nobody_offers_pays_nothing` |
//! | the asset is not checked | `hostile::no_offer_gets_more_than_the_policy_gives` |
//! | the agent raises its own cap through a tool | `hostile::no_tool_approves_or_changes_anything`, `refused::caps_hold_and_cannot_be_talked_away` |
//! | pays twice after a response that hangs | [`a_payment_without_an_answer_is_asked_about_and_not_made_again`] |
//! | paid but lost | [`a_lost_answer_to_a_body_is_fetched_again`], `bodies`, `cancel::after_that_it_goes_on_and_is_recorded`, `paid_tool` |
//! | settings of the wrong type are ignored | [`a_wrong_setting_is_an_error_before_anything_is_paid`], `farthing/config.rs` |
//! | never the cheapest offer | [`the_cheapest_offer_is_paid`], `wallet/tests/choice.rs` |
//! | signs a sign-in message for another domain | [`nothing_is_signed_in_to`] |
//! | identifying headers, readable keys, an open folder | [`no_request_says_who_asks`], `keystore/tests` |
//! | probes DELETE and PUT; spends under a read-only annotation | [`a_check_makes_no_request_that_may_do_something`], `paid_tool::a_check_calls_no_tool_that_may_do_something`, `discovery/tests`, `pay::tools_say_what_they_do` |
//! | slow to start, large in memory | `bench/` |
//! | no budgets, lists, approvals, dry run, history, receipts | `refused`, `approvals`, `pay` |

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use farthing_devnet::accounts::PAYEE;
use serde_json::{Value, json};

use crate::rough::{Reply, Rough};
use crate::session::{Session, allow_hosts};
use crate::world::World;

fn required(accepts: &Value) -> Response {
    let required = json!({"x402Version": 2, "resource": {"url": "http://a.example/"}, "accepts": accepts,
        "extensions": {"sign-in-with-x": {"info": {"domain": "bank.example", "uri": "https://bank.example", "nonce": "abcdefgh",
            "version": "1", "chainId": "eip155:84532", "type": "eip191"}}}});
    (StatusCode::PAYMENT_REQUIRED, [("payment-required", BASE64.encode(required.to_string()))], "")
        .into_response()
}

fn offer(amount: &str) -> Value {
    json!({"scheme": "exact", "network": "eip155:84532", "amount": amount, "payTo": PAYEE.address.to_string(),
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2"}})
}

/// What came with one request.
type Seen = Arc<Mutex<Vec<HeaderMap>>>;

/// A seller that asks for payment, and gives `paid` for one.
async fn seller(
    accepts: Value,
    paid: impl Fn() -> Response + Clone + Send + Sync + 'static,
) -> (String, Seen) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let seen = Seen::default();
    let record = seen.clone();
    let router = Router::new().fallback(move |request: Request| {
        record.lock().unwrap().push(request.headers().clone());
        let (is_paid, accepts, paid) =
            (request.headers().contains_key("payment-signature"), accepts.clone(), paid.clone());
        async move { if is_paid { paid() } else { required(&accepts) } }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (host, seen)
}

#[tokio::test]
async fn a_payment_without_an_answer_is_asked_about_and_not_made_again() {
    let world = World::start().await;
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let broken = move || {
        count.fetch_add(1, Ordering::SeqCst);
        // No word on the settlement, and no body.
        (StatusCode::BAD_GATEWAY, "").into_response()
    };
    let (host, seen) = seller(json!([offer("1000"), offer("900")]), broken).await;
    allow_hosts(&world.wallet, &[&host]);
    let mut session = Session::start(&world.wallet).await;
    let url = format!("http://{host}/");
    let paid = session.ok("pay", json!({"url": url})).await;
    assert_eq!(paid["payment"]["state"], "unknown", "{paid}");
    assert!(paid["note"].as_str().unwrap().contains("do not pay again"), "{paid}");
    session.ok("fetch_again", json!({"purchase": paid["payment"]["purchase"]})).await;
    let payments: Vec<_> =
        seen.lock().unwrap().iter().filter_map(|all| all.get("payment-signature").cloned()).collect();
    assert!(
        payments.len() >= 2 && payments.windows(2).all(|two| two[0] == two[1]),
        "the same payment every time"
    );
    let history = session.ok("history", json!({})).await;
    assert_eq!(history["purchases"].as_array().unwrap().len(), 1, "{history}");
}

#[tokio::test]
async fn a_lost_answer_to_a_body_is_fetched_again() {
    let world = World::start().await;
    let payments = AtomicU32::new(0);
    let seller = Rough::start(move |heard| match heard.header("payment-signature") {
        None => Reply::asks(),
        Some(_) if payments.fetch_add(1, Ordering::SeqCst) < 3 => Reply::Breaks,
        Some(_) => Reply::paid("goods"),
    })
    .await;
    allow_hosts(&world.wallet, &[&seller.host]);
    let mut session = Session::start(&world.wallet).await;
    let call = json!({"url": seller.at("/buy"), "body": {"what": "goods"}});
    let lost = session.refused("pay", call).await;
    assert_eq!(lost["code"], "outcome_unknown", "{lost}");
    let again = |body: Value| json!({"purchase": lost["purchase"], "body": body});
    for wrong in [Value::Null, json!({"what": "bads"})] {
        let refused = session.refused("fetch_again", again(wrong)).await;
        assert_eq!(
            (&refused["code"], &refused["money"]),
            (&json!("bad_arguments"), &json!("payment_sent")),
            "{refused}"
        );
    }
    assert_eq!(seller.payments().len(), 3, "what is another call is not sent");
    let got = session.ok("fetch_again", again(json!({"what": "goods"}))).await;
    assert_eq!((&got["body"]["text"], &got["payment"]["state"]), (&json!("goods"), &json!("paid")), "{got}");
    let payments = seller.payments();
    assert!(payments.len() == 4 && payments.windows(2).all(|two| two[0] == two[1]), "{payments:?}");
}

/// Only what a document says is priced is asked for its price, whatever the agent would like to know.
#[tokio::test]
async fn a_check_makes_no_request_that_may_do_something() {
    let world = World::start().await;
    let document = json!({"openapi": "3.1.0", "info": {"title": "a", "version": "1"}, "paths": {
        "/priced": {"post": {"summary": "sells", "x-payment-info": {"price": {"mode": "fixed", "amount": "0.001", "currency": "USD"}},
            "responses": {"402": {"description": "pay"}}}},
        "/free": {"post": {"summary": "gives", "security": []}}}});
    let seller = Rough::start(move |heard| match heard.line() {
        "GET /openapi.json" => Reply::json(&document),
        line if line.contains("/.well-known/") => Reply::Says("404 Not Found", Vec::new(), Vec::new()),
        "POST /priced" => Reply::asks(),
        _ => Reply::json(&json!({"done": true})),
    })
    .await;
    allow_hosts(&world.wallet, &[&seller.host]);
    let mut session = Session::start(&world.wallet).await;
    for (method, path) in
        [("DELETE", "/all"), ("POST", "/free"), ("PUT", "/priced"), ("DELETE", "/priced"), ("OPTIONS", "/x")]
    {
        let call = json!({"url": seller.at(path), "method": method, "body": {"really": true}});
        let checked = session.ok("check", call).await;
        assert_eq!(
            (&checked["asked"], checked.get("allowed"), checked.get("status")),
            (&json!(false), None, None),
            "{checked}"
        );
        assert!(checked["note"].as_str().unwrap().contains("was not asked"), "{checked}");
    }
    assert!(seller.heard().is_empty(), "{:?}", seller.heard());
    let checked = session.ok("check", json!({"url": seller.at("/priced"), "body": {"city": "Berlin"}})).await;
    assert_eq!((&checked["asked"], &checked["price"]), (&json!(true), &json!("$0.001")), "{checked}");
    assert_eq!(checked["advertised"][0]["price"], "$0.001", "{checked}");
    // A look at the address is one at its document, too.
    let checked = session.ok("check", json!({"url": seller.at("/priced")})).await;
    assert_eq!(
        (&checked["priced"], &checked["advertised"][0]["method"]),
        (&json!(false), &json!("POST")),
        "{checked}"
    );
}

#[tokio::test]
async fn the_cheapest_offer_is_paid() {
    let world = World::start().await;
    let (host, _) = seller(json!([offer("5000"), offer("700"), offer("900")]), || "x".into_response()).await;
    allow_hosts(&world.wallet, &[&host]);
    let mut session = Session::start(&world.wallet).await;
    let checked = session.ok("check", json!({"url": format!("http://{host}/")})).await;
    assert_eq!(checked["price"], "$0.0007", "{checked}");
}

#[tokio::test]
async fn a_wrong_setting_is_an_error_before_anything_is_paid() {
    let world = World::start().await;
    std::fs::write(world.wallet.home.join("config.yaml"), "version: 1\ntimeout_seconds: \"60\"\n").unwrap();
    let refused = world.wallet.json(&["mcp"], 2).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("2:18: `timeout_seconds`"), "{refused}");
}

#[tokio::test]
async fn nothing_is_signed_in_to() {
    let world = World::start().await;
    let (host, seen) = seller(json!([offer("1000")]), || "x".into_response()).await;
    allow_hosts(&world.wallet, &[&host]);
    let mut session = Session::start(&world.wallet).await;
    session.ok("pay", json!({"url": format!("http://{host}/")})).await;
    assert!(seen.lock().unwrap().iter().all(|headers| !headers.contains_key("sign-in-with-x")));
}

#[tokio::test]
async fn no_request_says_who_asks() {
    let world = World::start().await;
    let (host, seen) = seller(json!([offer("1000")]), || "x".into_response()).await;
    allow_hosts(&world.wallet, &[&host]);
    let mut session = Session::start(&world.wallet).await;
    let url = format!("http://{host}/");
    session.ok("check", json!({"url": url})).await;
    session.ok("discover", json!({"origin": url})).await;
    session.ok("pay", json!({"url": url})).await;
    const NEEDED: [&str; 5] = ["host", "accept", "user-agent", "payment-signature", "idempotency-key"];
    for headers in seen.lock().unwrap().iter() {
        for name in headers.keys() {
            assert!(NEEDED.contains(&name.as_str()), "{name}: {headers:?}");
        }
        assert_eq!(headers["user-agent"], concat!("farthing/", env!("CARGO_PKG_VERSION")));
        let unpaid = !headers.contains_key("payment-signature");
        assert!(!unpaid || !format!("{headers:?}").contains(&world.wallet.address));
    }
}
