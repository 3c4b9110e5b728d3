//! The main job.

use farthing_ambient::SystemClock;
use farthing_ledger::{Ledger, PurchaseFilter};
use std::sync::Arc;

use crate::world::World;

#[tokio::test]
async fn a_call_is_paid_and_the_money_moves() {
    let mut world = World::start().await;
    let body = world.wallet.ok(&["fetch", &world.at("/weather/berlin")]).await;
    assert_eq!(body, br#"{"path":"/weather/berlin"}"#, "the body and nothing else is on stdout");
    assert_eq!((world.held().await, world.earned().await), (4_998_000, 2_000));
    assert_eq!(world.upstream.served(), 1, "the unpaid request never reached the API");

    let purchase = world.wallet.newest().await;
    assert_eq!(purchase["state"], "paid");
    let transaction = purchase["outcome"]["transaction"].as_str().unwrap();
    let receipt = world.chain.receipt(transaction.parse().unwrap()).await.unwrap().unwrap();
    assert!(receipt.succeeded());
    let id = purchase["id"].as_str().unwrap();
    assert_eq!(world.wallet.ok(&["receipt", id, "--body"]).await, body, "the paid body is kept");
    assert!(String::from_utf8(world.wallet.ok(&["receipt", id]).await).unwrap().contains(transaction));

    world.wallet.assert_whole().await;
    assert!(world.stop_gateway().await.success());
    let gateway_ledger = world.folder.path().join("gateway/gateway.db");
    world.wallet.ok(&["ledger", "verify", "--file", gateway_ledger.to_str().unwrap()]).await;
}

#[tokio::test]
async fn binary_bodies_survive_both_ways() {
    let world = World::start().await;
    let sent = world.folder.path().join("sent");
    let got = world.folder.path().join("got");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    std::fs::write(&sent, &bytes).unwrap();
    let data = format!("@{}", sent.display());
    world.wallet.ok(&["fetch", &world.at("/echo"), "-d", &data, "-o", got.to_str().unwrap()]).await;
    assert_eq!(std::fs::read(&got).unwrap(), bytes);
    assert_eq!(world.earned().await, 10_000);
}

#[tokio::test]
async fn upfront_is_settled_before_it_is_served() {
    let world = World::start().await;
    world.wallet.ok(&["fetch", &world.at("/upfront")]).await;
    assert_eq!((world.earned().await, world.upstream.served()), (10_000, 1));
}

#[tokio::test]
async fn version_1_is_spoken_too() {
    let world = World::start().await;
    let answer = world.wallet.json(&["fetch", &world.at("/weather/rome"), "--protocol", "x402-v1"], 0).await;
    assert_eq!(answer["payment"]["protocol"], "x402-v1");
    assert_eq!(world.earned().await, 2_000);
}

#[tokio::test]
async fn free_calls_cost_nothing_and_need_no_passphrase() {
    let world = World::start().await;
    let done = tokio::process::Command::new(crate::world::FARTHING)
        .args(["fetch", &world.at("/free")])
        .env("FARTHING_HOME", &world.wallet.home)
        .env_remove("FARTHING_PASSPHRASE")
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(world.earned().await, 0);
    assert_eq!(world.wallet.json(&["history"], 0).await["purchases"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn check_and_dry_run_never_pay() {
    let world = World::start().await;
    for args in [&["check"][..], &["fetch", "--dry-run"]] {
        let url = world.at("/weather/oslo");
        let said = world.wallet.json(&[args, &[&url]].concat(), 0).await;
        assert_eq!(said["allowed"], true);
        let chosen: Vec<_> =
            said["offers"].as_array().unwrap().iter().filter(|offer| offer["chosen"] == true).collect();
        assert_eq!((chosen.len(), &chosen[0]["price"]), (1, &"$0.002".into()));
    }
    assert_eq!((world.earned().await, world.upstream.served()), (0, 0));
}

#[tokio::test]
async fn a_replayed_payment_buys_nothing_more() {
    let world = World::start().await;
    let url = world.at("/weather/berlin");
    let body = world.wallet.ok(&["fetch", &url]).await;
    let ledger = Ledger::open(&world.wallet.home.join("ledger.db"), Arc::new(SystemClock)).unwrap();
    let purchase = ledger.purchases(PurchaseFilter::default()).await.unwrap().remove(0);
    let signed = purchase.signed.unwrap();

    let http = reqwest::Client::new();
    let send = |url: String| http.get(url).header(&signed.header_name, &signed.header_value).send();
    // Somebody who read the payment off the chain gets nothing.
    assert_eq!(send(url.clone()).await.unwrap().status(), 409);
    // The buyer, who knows the purchase's id, gets the answer that was bought, again.
    let same = http.get(url).header(&signed.header_name, &signed.header_value);
    let same = same.header("idempotency-key", &purchase.terms.id.0).send().await.unwrap();
    assert_eq!((same.status().as_u16(), same.headers()["farthing-resent"].as_bytes()), (200, &b"1"[..]));
    assert_eq!(same.bytes().await.unwrap(), body);
    let other = send(world.at("/weather/paris")).await.unwrap();
    assert!(other.status().is_client_error(), "{}", other.status());
    assert_eq!((world.earned().await, world.upstream.served()), (2_000, 1));
}
