//! Every kind of cap refuses, before anything is signed.

use serde_json::Value;

use crate::world::{Wallet, World, away_from_midnight};

/// Fetches with this policy and expects a refusal by `rule` with `code`.
async fn refused(world: &World, policy: &str, code: &str, rule: &str) {
    world.wallet.policy(policy);
    let answer = world.wallet.json(&["fetch", &world.at("/weather/berlin")], 4).await;
    let denial = &answer["error"]["denial"];
    assert_eq!(denial["code"], code, "{policy}: {answer}");
    assert_eq!(denial["rule"], rule, "{policy}: {answer}");
}

#[tokio::test]
async fn each_kind_of_rule_refuses() {
    let world = World::start().await;
    let payments = |rules: &str| format!("version: 1\npayments:\n{rules}");
    for (rules, code, rule) in [
        ("  max: \"$0.001\"\n", "above_maximum", "payments.max"),
        ("  min: \"$0.01\"\n  max: \"$1\"\n", "below_minimum", "payments.min"),
        ("  max: \"$1\"\n  hosts: {deny: [\"127.0.0.1\"]}\n", "host_not_allowed", "payments.hosts.deny"),
        ("  max: \"$1\"\n  hosts: {allow: [api.example.com]}\n", "host_not_allowed", "payments.hosts.allow"),
        (
            "  max: \"$1\"\n  payees: {allow: [\"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"]}\n",
            "payee_not_allowed",
            "payments.payees.allow",
        ),
        ("  max: \"$1\"\n  networks: {allow: [base]}\n", "network_not_allowed", "payments.networks.allow"),
        (
            "  max: \"$1\"\n  networks: {deny: [base-sepolia]}\n",
            "network_not_allowed",
            "payments.networks.deny",
        ),
        ("  max: \"$1\"\n  assets: {deny: [USDC]}\n", "asset_not_allowed", "payments.assets.deny"),
    ] {
        refused(&world, &payments(rules), code, rule).await;
    }
    assert_eq!((world.earned().await, world.upstream.served()), (0, 0));
    world.wallet.assert_whole().await;
}

#[tokio::test]
async fn each_kind_of_budget_holds() {
    away_from_midnight().await;
    let world = World::start().await;
    world.wallet.ok(&["fetch", &world.at("/weather/berlin")]).await;
    for per in ["day", "week", "month", "lifetime", "60 minutes", "24 hours", "7 days", "30 days"] {
        let budget = format!(
            "version: 1\npayments:\n  max: \"$1\"\n  budgets:\n    - {{name: tight, max: \"$0.003\", per: {per}}}\n"
        );
        refused(&world, &budget, "budget_exceeded", "tight").await;
    }
    let rate = "version: 1\npayments:\n  max: \"$1\"\n  rates:\n    - {name: pace, max: 1, per: 24 hours}\n";
    refused(&world, rate, "rate_exceeded", "pace").await;
    assert_eq!(world.earned().await, 2_000);
}

#[tokio::test]
async fn max_amount_only_narrows() {
    let world = World::start().await;
    let url = world.at("/weather/berlin");
    let refused = world.wallet.json(&["fetch", &url, "--max-amount", "$0.001"], 4).await;
    assert_eq!(refused["error"]["denial"]["code"], "above_maximum");
    world.wallet.policy("version: 1\npayments:\n  max: \"$0.001\"\n");
    let refused = world.wallet.json(&["fetch", &url, "--max-amount", "$1000"], 4).await;
    assert_eq!(
        refused["error"]["denial"]["rule"], "payments.max",
        "the caller cannot raise the policy's cap"
    );
    assert_eq!(world.earned().await, 0);
}

#[tokio::test]
async fn a_broken_policy_stops_everything() {
    let world = World::start().await;
    world.wallet.policy("version: 1\npayments:\n  max: 0.05\n");
    let answer = world.wallet.json(&["fetch", &world.at("/weather/berlin")], 2).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("policy.yaml:3:"), "names file, line and column: {message}");
    assert_eq!(world.upstream.served(), 0);
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_is_not_replaced_by_the_starter() {
    let world = World::start().await;
    let file = world.wallet.home.join("policy.yaml");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/nowhere/policy.yaml", &file).unwrap();
    world.wallet.json(&["fetch", &world.at("/weather/berlin")], 2).await;
    assert_eq!(world.earned().await, 0);
}

/// Ten processes at once on a budget for three.
#[tokio::test]
async fn a_budget_holds_across_processes() {
    let world = World::start().await;
    world.wallet.policy(
        "version: 1\npayments:\n  max: \"$1\"\n  budgets:\n    - {name: three, max: \"$0.006\", per: lifetime}\n",
    );
    let url = world.at("/weather/berlin");
    let calls = (0..10).map(|_| paid(&world.wallet, &url));
    let paid = futures::future::join_all(calls).await.into_iter().filter(|paid| *paid).count();
    assert_eq!((paid, world.earned().await), (3, 6_000));
    world.wallet.assert_whole().await;
}

async fn paid(wallet: &Wallet, url: &str) -> bool {
    let done = wallet.run(&["fetch", url, "--json"]).await;
    match done.status.code() {
        Some(0) => true,
        Some(4) => false,
        code => panic!("{code:?}: {}", String::from_utf8_lossy(&done.stdout)),
    }
}

#[tokio::test]
async fn the_host_is_what_was_called() {
    let world = World::start().await;
    let port = world.url.rsplit(':').next().unwrap();
    let allow =
        |host: &str| format!("version: 1\npayments:\n  max: \"$1\"\n  hosts: {{allow: [\"{host}\"]}}\n");
    world.wallet.policy(&allow(&format!("127.0.0.1:{port}")));
    let said: Value = world.wallet.json(&["check", &world.at("/weather/berlin")], 0).await;
    assert_eq!(said["allowed"], true);
}
