//! Calls that fail cost nothing, and nothing that is ambiguous is forgotten.

use farthing_devnet::contracts::FAKE_USDC;

use crate::world::World;

/// A payment that the seller did not settle: reserved until it has expired on the chain, then given back.
async fn assert_reserved_then_released(world: &World) {
    assert_eq!(world.wallet.newest().await["state"], "unknown");
    world.wallet.ok(&["reconcile"]).await;
    assert_eq!(world.wallet.newest().await["state"], "unknown", "it could still be settled");
    world.chain.increase_time_s(3_600).await.unwrap();
    world.wallet.ok(&["reconcile"]).await;
    assert_eq!(world.wallet.newest().await["state"], "not_paid");
    world.wallet.assert_whole().await;
}

#[tokio::test]
async fn a_failing_upstream_is_not_charged() {
    let world = World::start().await;
    let answer = world.wallet.json(&["fetch", &world.at("/broken")], 6).await;
    assert_eq!(answer["status"], 500);
    assert_eq!(answer["body"]["text"], "out of order", "the body is delivered all the same");
    assert_eq!((world.held().await, world.earned().await), (5_000_000, 0));
    assert_reserved_then_released(&world).await;
}

#[tokio::test]
async fn a_slow_upstream_is_not_charged() {
    let world = World::start().await;
    let answer = world.wallet.json(&["fetch", &world.at("/slow")], 6).await;
    assert_eq!(answer["status"], 504);
    assert_eq!((world.held().await, world.earned().await), (5_000_000, 0));
    assert_reserved_then_released(&world).await;
}

#[tokio::test]
async fn a_reverting_settlement_withholds_the_answer() {
    let world = World::start().await;
    let answer = world.wallet.json(&["fetch", &world.at("/pause")], 6).await;
    assert_eq!(world.upstream.served(), 1);
    assert!(!answer.to_string().contains("served in vain"), "{answer}");
    assert_eq!((world.held().await, world.earned().await), (5_000_000, 0));
    world.chain.unpause().await.unwrap();
    assert_reserved_then_released(&world).await;
}

#[tokio::test]
async fn an_unknown_token_is_never_paid() {
    let world = World::start().await;
    let fake = world.chain.deploy(&FAKE_USDC, &[]).await.unwrap();
    let routes = format!(
        "\n  - {{match: \"GET /weather/{{city}}\", accepts: [{{network: base-sepolia, asset: \"{fake}\", price: \"$0.002\"}}]}}\n"
    );
    let more = format!(
        "assets: [{{network: base-sepolia, address: \"{fake}\", symbol: USDX, decimals: 6, eip712: {{name: USDC, version: \"2\"}}}}]"
    );
    let shady = World::selling(&routes, &more).await;
    let answer = shady.wallet.json(&["fetch", &shady.at("/weather/berlin")], 5).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("is not known"), "{answer}");
    assert_eq!(shady.upstream.served(), 0);
}

#[tokio::test]
async fn an_expired_payment_is_not_served() {
    let world = World::start().await;
    // The chain's clock runs ahead of the wallet's, so that what it signs has expired there.
    world.chain.increase_time_s(86_400).await.unwrap();
    world.wallet.json(&["fetch", &world.at("/weather/berlin")], 6).await;
    assert_eq!((world.upstream.served(), world.earned().await), (0, 0));
    world.wallet.ok(&["reconcile"]).await;
    assert_eq!(world.wallet.newest().await["state"], "not_paid");
}

#[tokio::test]
async fn an_empty_wallet_says_what_is_missing_and_signs_nothing() {
    let world = World::start().await;
    world.chain.set_balance(world.wallet.address.parse().unwrap(), 1_000).await.unwrap();
    for command in ["check", "fetch"] {
        let answer = world.wallet.json(&[command, &world.at("/weather/berlin")], 5).await;
        assert!(answer["error"]["message"].as_str().unwrap().contains("$0.001 is missing"), "{answer}");
    }
    let history = world.wallet.json(&["history"], 0).await;
    assert_eq!(history["purchases"].as_array().unwrap().len(), 0, "nothing is reserved");
    assert_eq!((world.upstream.served(), world.earned().await), (0, 0));
}

#[tokio::test]
async fn a_seller_that_is_not_there_is_a_clear_error() {
    let world = World::start().await;
    let url = format!("http://127.0.0.1:{}/", crate::world::free_port());
    let answer = world.wallet.json(&["fetch", &url], 3).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("did not answer"), "{answer}");
}
