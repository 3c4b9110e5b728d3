//! What an agent cannot do.

use serde_json::json;

use crate::session::{Session, allow};
use crate::world::World;

#[tokio::test]
async fn caps_hold_and_cannot_be_talked_away() {
    let world = World::start().await;
    allow(&world);
    world.wallet.policy("version: 1\npayments: {max: \"$0.005\"}\n");
    let mut session = Session::start(&world.wallet).await;
    let url = world.at("/echo");
    let refused = session.refused("pay", json!({"url": url, "body": "x"})).await;
    assert_eq!(
        (&refused["code"], &refused["money"]),
        (&json!("denied"), &json!("nothing_paid")),
        "{refused}"
    );
    assert_eq!(refused["denial"]["code"], "above_maximum");
    // The caller's own limit only ever narrows.
    let refused = session.refused("pay", json!({"url": url, "body": "x", "max_amount": "$1000"})).await;
    assert_eq!(refused["denial"]["code"], "above_maximum", "{refused}");
    let refused =
        session.refused("pay", json!({"url": world.at("/weather/x"), "max_amount": "$0.001"})).await;
    assert_eq!(refused["code"], "denied", "{refused}");
    for more in ["policy", "force", "approve", "max", "budget"] {
        let mut call = json!({"url": url, "body": "x"});
        call[more] = json!("$1000");
        let refused = session.refused("pay", call).await;
        assert_eq!(refused["code"], "bad_arguments", "{refused}");
    }
    assert_eq!(world.earned().await, 0);
    assert!(session.leave().await.success());
    let audit = String::from_utf8(world.wallet.ok(&["audit", "export"]).await).unwrap();
    assert!(audit.contains("above_maximum") && audit.contains("\"pay\""), "{audit}");
}

#[tokio::test]
async fn a_forced_network_that_nobody_offers_pays_nothing() {
    let world = World::start().await;
    allow(&world);
    let mut session = Session::start(&world.wallet).await;
    let refused = session.refused("pay", json!({"url": world.at("/weather/x"), "network": "base"})).await;
    assert_eq!(refused["code"], "unpayable", "{refused}");
    let refused = session.refused("pay", json!({"url": world.at("/weather/x"), "network": "mars"})).await;
    assert_eq!(refused["code"], "bad_arguments", "{refused}");
    assert_eq!(world.earned().await, 0);
}

#[tokio::test]
async fn this_machine_and_the_network_around_it_are_out_of_reach() {
    let world = World::start().await;
    let mut session = Session::start(&world.wallet).await;
    for url in [
        world.at("/weather/x"),
        "http://localhost:1/".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[::ffff:10.0.0.1]/".to_owned(),
        "https://2130706433/".to_owned(),
    ] {
        for tool in ["pay", "check"] {
            let refused = session.refused(tool, json!({"url": url})).await;
            assert_eq!(refused["code"], "out_of_reach", "{tool} {url}: {refused}");
        }
    }
    assert_eq!(world.upstream.served(), 0);
    assert!(session.leave().await.success());
    let audit = String::from_utf8(world.wallet.ok(&["audit", "export"]).await).unwrap();
    assert!(audit.contains("out-of-reach"), "{audit}");
}

#[tokio::test]
async fn a_freeze_and_a_new_policy_hold_at_once() {
    let world = World::start().await;
    allow(&world);
    let mut session = Session::start(&world.wallet).await;
    let call = json!({"url": world.at("/weather/x")});
    session.ok("pay", call.clone()).await;
    world.wallet.ok(&["freeze", "enough"]).await;
    let refused = session.refused("pay", call.clone()).await;
    assert_eq!(
        (&refused["code"], &refused["denial"]["code"]),
        (&json!("frozen"), &json!("frozen")),
        "{refused}"
    );
    assert!(refused["hint"].as_str().unwrap().contains("farthing thaw"), "{refused}");
    let checked = session.ok("check", call.clone()).await;
    assert_eq!(
        (&checked["allowed"], &checked["refused"]["code"]),
        (&json!(false), &json!("frozen")),
        "{checked}"
    );
    let budget = session.ok("budget", json!({})).await;
    assert!(budget["frozen"].as_str().unwrap().contains("enough"), "{budget}");
    world.wallet.ok(&["thaw"]).await;
    session.ok("pay", call.clone()).await;
    world.wallet.policy("version: 1\npayments: {max: \"$0.001\"}\n");
    // The file is looked at twice a second, once nobody is writing to it.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while session.call("pay", call.clone()).await["isError"] == false {
        assert!(std::time::Instant::now() < deadline, "the new policy is not in force");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_agent_spends_its_own_part_only() {
    let world = World::start().await;
    allow(&world);
    world.wallet.policy(
        "version: 1\npayments: {max: \"$1\"}\nagents:\n  researcher:\n    payments: {budgets: [{name: own, max: \"$0.003\", per: lifetime}]}\n",
    );
    let mut session = Session::with(&world.wallet, &["--agent", "researcher"], json!({})).await;
    let call = json!({"url": world.at("/weather/x")});
    session.ok("pay", call.clone()).await;
    let refused = session.refused("pay", call.clone()).await;
    assert_eq!(
        (&refused["denial"]["code"], &refused["denial"]["rule"]),
        (&json!("budget_exceeded"), &json!("agents.researcher.own")),
        "{refused}"
    );
    let budget = session.ok("budget", json!({})).await;
    assert!(
        budget["budgets"].as_array().unwrap().iter().any(|budget| budget["rule"] == "agents.researcher.own"),
        "{budget}"
    );
    let mut stranger = Session::with(&world.wallet, &["--agent", "nobody"], json!({})).await;
    assert_eq!(stranger.refused("pay", call).await["denial"]["code"], "unknown_agent");
}

/// Agents of one wallet do not look into each other's purchases.
#[tokio::test]
async fn an_agent_sees_its_own_purchases_only() {
    let world = World::start().await;
    allow(&world);
    world.wallet.policy("version: 1\npayments: {max: \"$1\"}\nagents: {alice: {}, bob: {}}\n");
    let agent = async |name| Session::with(&world.wallet, &["--agent", name], json!({})).await;
    let mut alice = agent("alice").await;
    let paid = alice.ok("pay", json!({"url": world.at("/weather/x")})).await;
    let (purchase, body) = (&paid["payment"]["purchase"], &paid["body"]["resource"]);
    let receipt = json!({"uri": format!("farthing://receipts/{}", purchase.as_str().unwrap())});
    let mut bob = agent("bob").await;
    assert_eq!(bob.ok("history", json!({})).await["purchases"], json!([]));
    assert_eq!(bob.refused("fetch_again", json!({"purchase": purchase})).await["code"], "not_found");
    let listed = bob.request("resources/list", json!({})).await.to_string();
    assert!(!listed.contains(purchase.as_str().unwrap()), "{listed}");
    for uri in [&json!({"uri": body}), &receipt] {
        assert!(bob.request("resources/read", uri.clone()).await.get("error").is_some(), "{uri}");
        assert!(alice.request("resources/read", uri.clone()).await.get("error").is_none(), "{uri}");
    }
    // The wallet's owner sees everything.
    let mut owner = Session::start(&world.wallet).await;
    assert_eq!(
        owner.ok("fetch_again", json!({"purchase": purchase})).await["body"]["text"],
        paid["body"]["text"]
    );
}

/// What an agent puts in the wrong place may be a secret.
#[tokio::test]
async fn wrong_arguments_are_repeated_nowhere() {
    let world = World::start().await;
    let mut session = Session::start(&world.wallet).await;
    let url = "https://a.example/";
    for call in [
        json!({"url": url, "headers": "Authorization: Bearer sk-live-SECRET"}),
        json!({"url": url, "headers": {"Authorization": ["sk-live-SECRET"]}}),
        json!({"url": url, "method": "sk-live-SECRET x"}),
        json!({"url": url, "max_amount": {"sk-live-SECRET": 1}}),
        json!({"url": ["sk-live-SECRET"]}),
    ] {
        let refused = session.call("pay", call).await;
        assert_eq!(refused["structuredContent"]["error"]["code"], "bad_arguments", "{refused}");
        assert!(!refused.to_string().contains("sk-live"), "{refused}");
    }
    let refused = session.refused("pay", json!({"url": url, "headers": "Authorization: x"})).await;
    assert_eq!(refused["message"], "`headers`: an object is expected", "{refused}");
    // Nor is a name of any length recorded.
    let call = json!({"name": "x".repeat(100_000), "arguments": {}});
    assert_eq!(session.request("tools/call", call).await["error"]["code"], -32602);
    assert!(session.leave().await.success());
    let audit = String::from_utf8(world.wallet.ok(&["audit", "export"]).await).unwrap();
    assert!(audit.contains("bad_arguments") && !audit.contains("sk-live"), "{audit}");
    assert!(audit.len() < 50_000, "{}", audit.len());
}
