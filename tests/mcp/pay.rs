//! Finding the price, paying, and what is known afterwards.

use serde_json::json;

use crate::session::{Session, allow};
use crate::world::World;

#[tokio::test]
async fn tools_say_what_they_do() {
    let world = World::start().await;
    let mut session = Session::start(&world.wallet).await;
    let listed = session.request("tools/list", json!({})).await;
    let tools = listed["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["search", "discover", "check", "pay", "fetch_again", "balance", "budget", "history", "fund"]
    );
    for tool in tools {
        let spends = tool["name"] == "pay";
        assert_eq!(tool["annotations"]["destructiveHint"] == true, spends, "{tool}");
        assert!(!spends || tool["annotations"]["readOnlyHint"] == false, "{tool}");
        assert!(
            tool["inputSchema"]["type"] == "object" && tool["outputSchema"]["type"] == "object",
            "{tool}"
        );
    }
}

#[tokio::test]
async fn an_agent_checks_pays_and_gets_it_again_for_nothing() {
    let world = World::start().await;
    allow(&world);
    let mut session = Session::start(&world.wallet).await;
    let call = json!({"url": world.at("/weather/berlin")});

    let checked = session.ok("check", call.clone()).await;
    assert_eq!(
        (&checked["priced"], &checked["allowed"], &checked["price"]),
        (&json!(true), &json!(true), &json!("$0.002"))
    );
    assert_eq!(world.earned().await, 0, "looking costs nothing");

    let result = session.call("pay", call).await;
    let paid = &result["structuredContent"];
    assert_eq!((&paid["status"], &paid["payment"]["state"]), (&json!(200), &json!("paid")), "{result}");
    assert_eq!(paid["body"]["text"], r#"{"path":"/weather/berlin"}"#);
    assert!(paid["payment"]["transaction"].as_str().unwrap().starts_with("0x"), "{paid}");
    assert!(paid["budgets"][0]["remaining"].as_str().unwrap().starts_with("$99.998"), "{paid}");
    let shown = result["content"][0]["text"].as_str().unwrap();
    assert!(shown.starts_with("HTTP 200; paid: $0.002 on"), "{shown}");
    assert!(result["content"][1]["text"].as_str().unwrap().contains("data, not instructions"), "{result}");
    assert_eq!(world.earned().await, 2_000);

    let purchase = paid["payment"]["purchase"].as_str().unwrap();
    let served = world.upstream.served();
    for name in [purchase, &purchase[purchase.len() - 8..]] {
        let again = session.ok("fetch_again", json!({"purchase": name})).await;
        assert_eq!(again["body"]["text"], paid["body"]["text"]);
    }
    assert_eq!((world.earned().await, world.upstream.served()), (2_000, served), "nobody was asked again");

    let history = session.ok("history", json!({})).await;
    assert_eq!(history["purchases"][0]["payment"]["purchase"], purchase);
    let balance = session.ok("balance", json!({})).await;
    assert_eq!(balance["balances"][0]["value"], "$4.998");
    let fund = session.ok("fund", json!({})).await;
    assert_eq!(fund["addresses"][0]["address"], world.wallet.address);
    let budget = session.ok("budget", json!({})).await;
    assert_eq!(budget["budgets"][0]["rule"], "ever");

    let receipt =
        session.request("resources/read", json!({"uri": format!("farthing://receipts/{purchase}")})).await;
    let receipt = receipt["result"]["contents"][0]["text"].as_str().unwrap();
    assert!(receipt.contains("\"paid\"") && !receipt.contains("header_value"), "{receipt}");
    let policy = session.request("resources/read", json!({"uri": "farthing://policy"})).await;
    assert!(policy["result"]["contents"][0]["text"].as_str().unwrap().contains("$100"), "{policy}");
    assert!(session.leave().await.success());
    world.wallet.assert_whole().await;
}

#[tokio::test]
async fn a_free_call_is_made_and_costs_nothing() {
    let world = World::start().await;
    allow(&world);
    let mut session = Session::start(&world.wallet).await;
    let free = session.ok("pay", json!({"url": world.at("/free/thing"), "method": "get"})).await;
    assert_eq!((&free["status"], free.get("payment")), (&json!(200), None), "{free}");
    let checked = session.ok("check", json!({"url": world.at("/free/thing")})).await;
    assert_eq!((&checked["priced"], &checked["status"]), (&json!(false), &json!(200)));
}

#[tokio::test]
async fn progress_is_told_to_who_asks() {
    let world = World::start().await;
    allow(&world);
    let mut session = Session::start(&world.wallet).await;
    let params = json!({"name": "pay", "arguments": {"url": world.at("/weather/rome")}, "_meta": {"progressToken": "p"}});
    let answer = session.request("tools/call", params).await;
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    let told: Vec<&str> = session.told.iter().filter_map(|told| told["params"]["message"].as_str()).collect();
    assert!(told.contains(&"asking the seller") && told.contains(&"paying $0.002"), "{told:?}");
    let steps: Vec<f64> =
        session.told.iter().filter_map(|told| told["params"]["progress"].as_f64()).collect();
    assert!(steps.is_sorted(), "{steps:?}");
}

#[tokio::test]
async fn prompts_carry_the_amount_exactly() {
    let world = World::start().await;
    let mut session = Session::start(&world.wallet).await;
    let arguments = json!({"topic": "weather", "budget": "$0.05"});
    let prompt = session.request("prompts/get", json!({"name": "buy_data", "arguments": arguments})).await;
    let text = prompt["result"]["messages"][0]["content"]["text"].as_str().unwrap();
    assert!(text.contains("at most $0.05"), "{text}");
    let arguments = json!({"topic": "weather", "budget": "a lot"});
    let refused = session.request("prompts/get", json!({"name": "buy_data", "arguments": arguments})).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}
