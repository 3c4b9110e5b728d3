//! Payments that a person has to approve.

use serde_json::{Value, json};

use crate::session::{Session, allow};
use crate::world::World;

const ASK: &str = "version: 1\npayments: {max: \"$1\", approve_above: \"$0.005\"}\n";

async fn world() -> (World, Value) {
    let world = World::start().await;
    allow(&world);
    world.wallet.policy(ASK);
    let call = json!({"url": world.at("/echo"), "body": "hello"});
    (world, call)
}

#[tokio::test]
async fn without_a_way_to_ask_the_agent_is_told_which_command_a_person_runs() {
    let (world, call) = world().await;
    let mut session = Session::start(&world.wallet).await;
    let checked = session.ok("check", call.clone()).await;
    assert_eq!((&checked["allowed"], &checked["needs_approval"]), (&json!(false), &json!(true)), "{checked}");
    let refused = session.refused("pay", call.clone()).await;
    assert_eq!(refused["code"], "approval_needed", "{refused}");
    let id = refused["denial"]["approval"]["id"].as_str().unwrap();
    assert!(
        refused["hint"].as_str().unwrap().contains(&format!("farthing approvals approve {id}")),
        "{refused}"
    );
    assert_eq!(world.earned().await, 0);
    world.wallet.ok(&["approvals", "approve", id]).await;
    let paid = session.ok("pay", call.clone()).await;
    assert_eq!((&paid["body"]["text"], world.earned().await), (&json!("hello"), 10_000));
    // Once.
    assert_eq!(session.refused("pay", call).await["code"], "approval_needed");
}

/// What a person has approved is one request, and its body is a part of that.
#[tokio::test]
async fn an_approval_is_for_the_body_that_was_asked_about() {
    let (world, call) = world().await;
    let mut session = Session::start(&world.wallet).await;
    let asked = |refused: &Value| refused["denial"]["approval"]["id"].as_str().unwrap().to_owned();
    let id = asked(&session.refused("pay", call.clone()).await);
    world.wallet.ok(&["approvals", "approve", &id]).await;
    let mut other = call.clone();
    other["body"] = json!("another");
    let refused = session.refused("pay", other).await;
    assert_eq!(refused["code"], "approval_needed", "{refused}");
    assert_ne!(asked(&refused), id);
    assert_eq!(world.earned().await, 0);
    session.ok("pay", call).await;
}

/// Calls `pay`, answers the question that comes, and gives the tool's result.
async fn asked(session: &mut Session, call: Value, answer: Value) -> (Value, Value) {
    let id = session.begin("tools/call", json!({"name": "pay", "arguments": call})).await;
    let question = session.read().await;
    assert_eq!(question["method"], "elicitation/create", "{question}");
    session.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": answer})).await;
    (question, session.answer(id).await["result"].clone())
}

#[tokio::test]
async fn the_clients_user_is_asked_and_decides() {
    let (world, call) = world().await;
    let mut session = Session::with(&world.wallet, &[], json!({"elicitation": {}})).await;
    let (question, declined) = asked(&mut session, call.clone(), json!({"action": "cancel"})).await;
    let message = question["params"]["message"].as_str().unwrap();
    assert!(message.contains("$0.01"), "{message}");
    assert_eq!(declined["isError"], true);
    let yes = json!({"action": "accept", "content": {"approve": true}});
    let (_, paid) = asked(&mut session, call.clone(), yes).await;
    assert_eq!((&paid["isError"], world.earned().await), (&json!(false), 10_000), "{paid}");
    let (_, denied) = asked(&mut session, call, json!({"action": "decline"})).await;
    assert_eq!((&denied["isError"], world.earned().await), (&json!(true), 10_000), "{denied}");
}

/// Since 2026-07-28 a server asks by answering, and the client calls again.
#[tokio::test]
async fn the_newest_revision_asks_by_answering() {
    let (world, call) = world().await;
    let mut session = Session::unopened(&world.wallet, &[]);
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    });
    let params = |more: Value| {
        let mut params = json!({"name": "pay", "arguments": call, "_meta": meta});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let discovered = session.request("server/discover", json!({"_meta": meta})).await;
    assert!(discovered.get("error").is_none(), "{discovered}");
    let asked = session.request("tools/call", params(json!({}))).await["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let yes = json!({"approve": {"action": "accept", "content": {"approve": true}}});
    // A handle that was never given approves nothing.
    let forged = params(json!({"inputResponses": yes, "requestState": "a1"}));
    assert_eq!(session.request("tools/call", forged).await["result"]["resultType"], "input_required");
    // Neither does the right one with another call.
    let mut other = params(json!({"inputResponses": yes, "requestState": asked["requestState"]}));
    other["arguments"]["body"] = json!("other");
    assert_eq!(session.request("tools/call", other).await["result"]["resultType"], "input_required");
    // Who closes the question is not asked again and again.
    let asked = session.request("tools/call", params(json!({}))).await["result"].clone();
    let close = json!({"approve": {"action": "cancel"}});
    let closed = params(json!({"inputResponses": close, "requestState": asked["requestState"]}));
    let closed = session.request("tools/call", closed).await["result"].clone();
    assert_eq!(closed["structuredContent"]["error"]["code"], "approval_needed", "{closed}");
    assert_eq!(world.earned().await, 0);
    let asked = session.request("tools/call", params(json!({}))).await["result"].clone();
    let answered = params(json!({"inputResponses": yes, "requestState": asked["requestState"]}));
    let paid = session.request("tools/call", answered).await["result"].clone();
    assert_eq!(
        (&paid["structuredContent"]["payment"]["state"], world.earned().await),
        (&json!("paid"), 10_000),
        "{paid}"
    );
}
