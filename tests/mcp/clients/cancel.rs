//! Calls that clients break off: by a message, or since 2026-07-28 over HTTP by closing the answer's stream.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use super::{Client, PATIENCE, Stage};

/// A call that is broken off when its progress says so.
async fn broken_off(client: &mut Client, url: &str, at: &str) {
    let call = json!({"name": "pay", "arguments": {"url": url}, "cancel_at": at});
    let said = client.ask("call", call).await;
    assert!(said["error"]["message"].is_string(), "{}: {said}", client.who);
}

pub(super) async fn what_it_breaks_off_is_not_begun_or_is_recorded(client: &mut Client, stage: &Stage) {
    let Stage { world, silent, silent_url } = stage;
    let (bought, earned) = (purchases(client).await.len(), world.earned().await);
    broken_off(client, silent_url, "asking the seller").await;
    // The seller is let go.
    let called = tokio::time::timeout(PATIENCE, silent.accept()).await;
    let (mut connection, _) = called.expect("the seller is called").unwrap();
    let gone = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut Vec::new())).await;
    assert!(gone.is_ok(), "{}: the call goes on", client.who);
    assert_eq!(purchases(client).await.len(), bought, "{}: nothing was begun", client.who);
    broken_off(client, &world.at("/later"), "paying $0.004").await;
    let paid = settled(client).await;
    assert_eq!((paid.len(), world.earned().await), (bought + 1, earned + 4_000), "{}", client.who);
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
