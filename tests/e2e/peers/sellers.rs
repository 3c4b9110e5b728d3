//! Our wallet, their sellers, our facilitator over HTTP.

use super::{OurFacilitator, Peer, a_purchase_is_paid, assert_purchase_unknown};
use crate::world::World;
use crate::world::programs::folder;

async fn wallet_and_facilitator() -> (World, OurFacilitator) {
    let world = World::start().await;
    let facilitator = OurFacilitator::start(&world.chain).await;
    (world, facilitator)
}

#[tokio::test]
async fn our_wallet_pays_express() {
    let (world, facilitator) = wallet_and_facilitator().await;
    let shop = Peer::seller("express-server.mjs", &facilitator.url, &[]).await;
    let body = a_purchase_is_paid(&world, &[&shop.at("/weather")], "x402-v2", 10_000).await;
    assert_eq!(body, r#"{"weather":"sunny","celsius":21,"call":1}"#);
    let echo = [&shop.at("/echo"), "-d", r#"{"a":"ü"}"#, "-H", "content-type: application/json"];
    assert_eq!(a_purchase_is_paid(&world, &echo, "x402-v2", 10_000).await, r#"{"echo":{"a":"ü"},"call":1}"#);

    // A handler that fails is not settled by them, and not given up by us until the chain says so.
    let answer = world.wallet.json(&["fetch", &shop.at("/fails")], 6).await;
    assert_eq!(answer["status"], 500);
    assert_purchase_unknown(&world, (4_980_000, 20_000)).await;

    // Their route of GET answers HEAD for nothing; a wallet that is not asked to pay does not.
    let answer = world.wallet.json(&["fetch", "-X", "HEAD", &shop.at("/weather")], 0).await;
    assert_eq!((&answer["status"], &answer["payment"]), (&200.into(), &serde_json::Value::Null));
    assert_eq!(world.earned().await, 20_000);
}

#[tokio::test]
async fn our_wallet_pays_express_upfront() {
    let (world, facilitator) = wallet_and_facilitator().await;
    let shop = Peer::seller("express-server.mjs", &facilitator.url, &["--payment-flow", "upfront"]).await;
    a_purchase_is_paid(&world, &[&shop.at("/weather")], "x402-v2", 10_000).await;
}

#[tokio::test]
async fn our_wallet_pays_a_seller_of_version_1() {
    let (world, facilitator) = wallet_and_facilitator().await;
    let shop = Peer::seller("v1-server.mjs", &facilitator.url, &[]).await;
    let body = a_purchase_is_paid(&world, &[&shop.at("/any")], "x402-v1", 10_000).await;
    assert_eq!(body, r#"{"weather":"sunny","celsius":21}"#);
    a_purchase_is_paid(&world, &[&shop.at("/any"), "-d", "{}"], "x402-v1", 10_000).await;
    let answer = world.wallet.json(&["fetch", &shop.at("/fails")], 6).await;
    assert_eq!(answer["status"], 500);
    assert_purchase_unknown(&world, (4_980_000, 20_000)).await;
}

/// The fixture asks for money in the bytes in which x402-express 1.2.0 does.
#[tokio::test]
async fn the_seller_of_version_1_speaks_as_x402_express_did() {
    let shop = Peer::seller("v1-server.mjs", "http://127.0.0.1:1", &[]).await;
    let golden = std::fs::read_to_string(folder("tests/golden/v1_seller.json")).unwrap();
    let golden = golden.replace("http://HOST", &shop.url);
    let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
    drop(rustls::crypto::ring::default_provider().install_default());
    let answer = reqwest::get(shop.at("/weather")).await.unwrap();
    assert_eq!(answer.status().as_u16(), golden["status"]);
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap(), golden["body"]);
}

/// Their no is no proof that nothing moves: the signature is out.
#[tokio::test]
async fn a_refusal_by_their_seller_is_not_believed() {
    let (world, facilitator) = wallet_and_facilitator().await;
    world.chain.blacklist(world.wallet.address.parse().unwrap()).await.unwrap();
    for script in ["express-server.mjs", "v1-server.mjs"] {
        let shop = Peer::seller(script, &facilitator.url, &[]).await;
        let answer = world.wallet.json(&["fetch", &shop.at("/weather")], 6).await;
        assert_eq!(answer["status"], 402, "{script}: {answer}");
        assert_purchase_unknown(&world, (5_000_000, 0)).await;
    }
}
