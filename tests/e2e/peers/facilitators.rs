//! Our wallet, our gateway, `@x402/core`'s facilitator with `@x402/evm`, which settles on the chain.

use farthing_devnet::accounts::{BUYER, FACILITATOR_2};

use super::{
    Books, Buyer, Peer, a_purchase_is_paid, assert_purchase_unknown, assert_settled, decoded, with_a_buyer,
};
use crate::world::{ROUTES, World, local_chain};

async fn settled_by_the_reference() -> (World, Peer) {
    let chain = local_chain().await;
    let facilitator = Peer::facilitator(&chain, FACILITATOR_2).await;
    let by_theirs = format!("{{url: \"{}\"}}", facilitator.url);
    (World::settled_by(chain, &by_theirs, ROUTES, "").await, facilitator)
}

#[tokio::test]
async fn their_facilitator_settles_for_our_gateway() {
    let (world, _facilitator) = settled_by_the_reference().await;
    for protocol in ["x402-v2", "x402-v1"] {
        let fetch = [&world.at("/weather/rome"), "--protocol", protocol];
        let body = a_purchase_is_paid(&world, &fetch, protocol, 2_000).await;
        assert_eq!(body, r#"{"path":"/weather/rome"}"#);
    }
    a_purchase_is_paid(&world, &[&world.at("/upfront")], "x402-v2", 10_000).await;
    assert_eq!(world.upstream.served(), 3, "each call once");

    let answer = world.wallet.json(&["fetch", &world.at("/broken")], 6).await;
    assert_eq!(answer["status"], 500);
    assert_purchase_unknown(&world, (4_986_000, 14_000)).await;
}

/// Theirs on both ends, ours between.
#[tokio::test]
async fn their_buyer_and_their_facilitator_meet_at_our_gateway() {
    let (world, _facilitator) = settled_by_the_reference().await;
    let world = with_a_buyer(world).await;
    let before = Books::of(&world, BUYER.address).await;
    let said = Buyer::Fetch { version: 2 }.call(BUYER, &world.at("/weather/oslo"), &[]).await;
    let settled = decoded(&said["headers"]["payment-response"]);
    assert_settled(&world.chain, &settled["transaction"], BUYER.address, 2_000).await;
    assert_eq!(Books::of(&world, BUYER.address).await, before.after_a_call_for(2_000));
}

#[tokio::test]
async fn what_their_facilitator_refuses_is_not_served() {
    let (world, _facilitator) = settled_by_the_reference().await;
    world.chain.blacklist(world.wallet.address.parse().unwrap()).await.unwrap();
    let answer = world.wallet.json(&["fetch", &world.at("/weather/rome")], 6).await;
    assert_eq!((&answer["status"], world.upstream.served()), (&402.into(), 0));
    assert_purchase_unknown(&world, (5_000_000, 0)).await;
    // Between their verification and their settlement the token is paused: served, and the answer withheld.
    world.chain.unblacklist(world.wallet.address.parse().unwrap()).await.unwrap();
    let answer = world.wallet.json(&["fetch", &world.at("/pause")], 6).await;
    assert!(!answer.to_string().contains("served in vain"), "{answer}");
    assert_purchase_unknown(&world, (5_000_000, 0)).await;
}
