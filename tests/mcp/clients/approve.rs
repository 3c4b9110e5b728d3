//! Payments that the user in front of a client decides: asked by a request of the server, or since 2026-07-28 by its answer.

use serde_json::{Value, json};

use super::{Client, Over, Sdk, Stage};
use crate::world::World;

/// What comes of a call when the user says so. A decision is good for one address, so each client has its own.
async fn called(client: &mut Client, world: &World, says: Value) -> Value {
    let who = client.who.replace(' ', "-");
    let call = json!({"url": world.at(&format!("/echo?{who}")), "body": "hello"});
    let result = client.ask("call", json!({"name": "pay", "arguments": call, "user_says": says})).await;
    let question = result["asked"][0]["message"].as_str().unwrap_or_default();
    assert!(question.contains("$0.01 in USDC on Base Sepolia"), "{}: {result}", client.who);
    let told = result["progress"].as_array().unwrap_or_else(|| panic!("{}: {result}", client.who)).iter();
    let steps: Vec<f64> = told.map(|told| told["progress"].as_f64().unwrap()).collect();
    // In the newest revision the call with the answer is a request of its own.
    assert!(
        client.sdk.is_newest() || steps.is_sorted_by(|one, next| one < next),
        "{}: {steps:?}",
        client.who
    );
    result
}

pub(super) async fn its_user_is_asked_and_decides(client: &mut Client, world: &World) {
    let earned = world.earned().await;
    let closed = called(client, world, json!({"action": "cancel"})).await;
    assert_eq!(closed["structuredContent"]["error"]["code"], "approval_needed", "{}: {closed}", client.who);
    assert_eq!(world.earned().await, earned, "{}", client.who);
    let yes = json!({"action": "accept", "content": {"approve": true}});
    let paid = called(client, world, yes).await;
    assert_eq!(
        (&paid["structuredContent"]["body"]["text"], world.earned().await),
        (&json!("hello"), earned + 10_000),
        "{}: {paid}",
        client.who
    );
    let denied = called(client, world, json!({"action": "decline"})).await;
    assert_eq!(
        (&denied["structuredContent"]["error"]["denial"]["code"], world.earned().await),
        (&json!("approval_denied"), earned + 10_000),
        "{}: {denied}",
        client.who
    );
}

#[tokio::test]
async fn a_client_that_shows_no_questions_is_told_which_command_its_human_runs() {
    let Stage { world, .. } = Stage::set().await;
    for sdk in [Sdk::TypeScript1, Sdk::TypeScript2Newest, Sdk::Python] {
        let mut client = Client::with(&world, sdk, Over::Stdio, &["--mute"]).await;
        let refused = client.call("pay", json!({"url": world.at("/echo"), "body": "hello"})).await;
        let hint = refused["structuredContent"]["error"]["hint"].as_str().unwrap_or_default();
        assert!(hint.contains("farthing approvals approve"), "{}: {refused}", client.who);
        client.leave().await;
    }
    assert_eq!(world.earned().await, 0);
}
