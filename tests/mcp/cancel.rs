//! Calls that are broken off.

use serde_json::json;

use crate::session::{Session, allow, allow_hosts};
use crate::world::World;

const ROUTES: &str = "\n  - {match: \"GET /later\", price: \"$0.01\"}\n";

/// A seller that never answers.
async fn silent() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    (listener, host)
}

#[tokio::test]
async fn before_anything_is_signed_it_is_cancelled() {
    let world = World::start().await;
    let (listener, host) = silent().await;
    allow_hosts(&world.wallet, &[&host]);
    let mut session = Session::start(&world.wallet).await;
    let call = json!({"name": "pay", "arguments": {"url": format!("http://{host}/")}});
    let id = session.begin("tools/call", call).await;
    drop(listener.accept().await.unwrap());
    session.notify("notifications/cancelled", json!({"requestId": id})).await;
    let history = session.ok("history", json!({})).await;
    assert_eq!(history["purchases"], json!([]), "nothing was begun");
    assert!(session.leave().await.success());
}

#[tokio::test]
async fn after_that_it_goes_on_and_is_recorded() {
    let world = World::selling(ROUTES, "").await;
    allow(&world);
    let mut session = Session::start(&world.wallet).await;
    let params =
        json!({"name": "pay", "arguments": {"url": world.at("/later")}, "_meta": {"progressToken": 1}});
    let id = session.begin("tools/call", params).await;
    while session.read().await["params"]["message"] != "paying $0.01" {}
    session.notify("notifications/cancelled", json!({"requestId": id})).await;
    // The client leaves; the server stays until the answer is kept.
    assert!(session.leave().await.success());
    let bought = world.wallet.newest().await;
    assert_eq!((&bought["state"], world.earned().await), (&json!("paid"), 10_000), "{bought}");
    let tail = bought["id"].as_str().unwrap();
    assert_eq!(world.wallet.ok(&["receipt", tail, "--body"]).await, b"better late");
}
