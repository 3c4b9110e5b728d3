//! Calls that clients break off: by a message, or since 2026-07-28 over HTTP by closing the answer's stream.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Client, every};
use crate::session::allow_hosts;
use crate::world::World;

const ROUTES: &str = "\n  - {match: \"GET /later\", price: \"$0.01\"}\n";

/// A call that is broken off when its progress says so.
async fn broken_off(client: &mut Client, url: &str, at: &str) {
    let call = json!({"name": "pay", "arguments": {"url": url}, "cancel_at": at});
    let said = client.ask("call", call).await;
    assert!(said["error"]["message"].is_string(), "{}: {said}", client.who);
}

#[tokio::test]
async fn what_a_client_breaks_off_is_not_begun_or_is_recorded() {
    let world = World::selling(ROUTES, "").await;
    // A seller that never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = silent.local_addr().unwrap().to_string();
    allow_hosts(&world.wallet, &[world.url.trim_start_matches("http://"), &host]);
    for (sdk, over) in every() {
        let mut client = Client::start(&world, sdk, over).await;
        let (bought, earned) = (purchases(&mut client).await.len(), world.earned().await);
        broken_off(&mut client, &format!("http://{host}/"), "asking the seller").await;
        assert_eq!(purchases(&mut client).await.len(), bought, "{}: nothing was begun", client.who);
        broken_off(&mut client, &world.at("/later"), "paying $0.01").await;
        let paid = settled(&mut client).await;
        assert_eq!((paid.len(), world.earned().await), (bought + 1, earned + 10_000), "{}", client.who);
        client.leave().await;
    }
    world.wallet.assert_whole().await;
}

async fn purchases(client: &mut Client) -> Vec<Value> {
    client.ok("history", json!({"limit": 100})).await["purchases"].as_array().unwrap().clone()
}

/// The purchases, once the newest is paid and its answer is there.
async fn settled(client: &mut Client) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let all = purchases(client).await;
        if all[0]["payment"]["state"] == "paid" && all[0]["status"] == 200 {
            return all;
        }
        assert!(Instant::now() < deadline, "{}: {:?}", client.who, all[0]);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
