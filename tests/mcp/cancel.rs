//! Calls that are broken off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;

use crate::rough::{Reply, Rough};
use crate::session::{Session, allow, allow_hosts};
use crate::world::World;

const ROUTES: &str = "\n  - {match: \"GET /later\", price: \"$0.01\"}\n";

#[tokio::test]
async fn before_anything_is_signed_it_is_cancelled() {
    let world = World::start().await;
    // A seller that never answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    allow_hosts(&world.wallet, &[&host]);
    let mut session = Session::start(&world.wallet).await;
    let call = json!({"name": "pay", "arguments": {"url": format!("http://{host}/")}});
    let id = session.begin("tools/call", call).await;
    let (mut connection, _) = listener.accept().await.unwrap();
    session.notify("notifications/cancelled", json!({"requestId": id})).await;
    let mut request = Vec::new();
    let gone = tokio::time::timeout(Duration::from_secs(60), connection.read_to_end(&mut request)).await;
    assert!(gone.is_ok(), "the seller is let go");
    let history = session.ok("history", json!({})).await;
    assert_eq!(history["purchases"], json!([]), "nothing was begun");
    assert!(session.leave().await.success());
}

/// How long it is waited for that nothing is paid.
const LATER: Duration = Duration::from_millis(1_500);

/// A call of a seller that asks for payment at a word.
async fn asked_late(world: &World) -> (Rough, Session, u64, Arc<Notify>) {
    let word = Arc::new(Notify::new());
    let heard = word.clone();
    let seller = Rough::start(move |_| Reply::When(heard.clone(), Box::new(Reply::asks()))).await;
    allow_hosts(&world.wallet, &[&seller.host]);
    let mut session = Session::start(&world.wallet).await;
    let params = json!({"name": "pay", "arguments": {"url": seller.at("/")}});
    let id = session.begin("tools/call", params).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while seller.heard().is_empty() {
        assert!(Instant::now() < deadline, "the seller is asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (seller, session, id, word)
}

#[tokio::test]
async fn a_price_that_comes_after_the_cancellation_is_not_paid() {
    let world = World::start().await;
    let (seller, mut session, id, word) = asked_late(&world).await;
    session.notify("notifications/cancelled", json!({"requestId": id})).await;
    // What is answered after it was heard after it.
    session.ok("budget", json!({})).await;
    word.notify_one();
    tokio::time::sleep(LATER).await;
    assert_eq!(session.ok("history", json!({})).await["purchases"], json!([]));
    assert_eq!((seller.heard().len(), seller.payments()), (1, Vec::new()));
    assert!(session.leave().await.success());
}

#[tokio::test]
async fn a_price_that_comes_after_the_client_has_left_is_not_paid() {
    let world = World::start().await;
    let (seller, session, _, word) = asked_late(&world).await;
    assert!(session.leave().await.success());
    word.notify_one();
    tokio::time::sleep(LATER).await;
    assert_eq!((seller.heard().len(), seller.payments()), (1, Vec::new()));
    let history = world.wallet.json(&["history"], 0).await;
    assert_eq!(history["purchases"], json!([]));
    assert!(
        world.wallet.ok(&["audit", "export"]).await.windows(5).any(|part| part == b"\"pay\""),
        "it is recorded"
    );
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
