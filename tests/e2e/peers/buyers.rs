//! Their buyers, our gateway, our facilitator.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use farthing_devnet::accounts::BUYER;

use super::{
    Books, Buyer, EVERY_BUYER, OurFacilitator, assert_settled, assert_unused, decoded, payment, with_a_buyer,
};
use crate::world::{ROUTES, World, local_chain};

#[tokio::test]
async fn their_buyers_pay_our_gateway() {
    let world = with_a_buyer(World::start().await).await;
    for buyer in EVERY_BUYER {
        a_call_is_paid(&world, buyer).await;
        a_failed_call_is_free(&world, buyer).await;
    }
}

#[tokio::test]
async fn their_buyers_pay_our_gateway_over_our_facilitators_http() {
    let chain = local_chain().await;
    let facilitator = OurFacilitator::start(&chain).await;
    let by_http = format!("{{url: \"{}\"}}", facilitator.url);
    let world = with_a_buyer(World::settled_by(chain, &by_http, ROUTES, "").await).await;
    for buyer in EVERY_BUYER {
        a_call_is_paid(&world, buyer).await;
        a_failed_call_is_free(&world, buyer).await;
    }
}

async fn a_call_is_paid(world: &World, buyer: Buyer) {
    let before = Books::of(world, BUYER.address).await;
    let said = buyer.call(BUYER, &world.at("/weather/berlin"), &[]).await;
    assert_eq!(
        (&said["status"], &said["body"]),
        (&200.into(), &r#"{"path":"/weather/berlin"}"#.into()),
        "{said}"
    );
    let (header, network) = match buyer.version() {
        1 => ("x-payment-response", "base-sepolia"),
        _ => ("payment-response", "eip155:84532"),
    };
    let settled = decoded(&said["headers"][header]);
    assert_eq!((&settled["success"], &settled["network"]), (&true.into(), &network.into()), "{buyer:?}");
    assert_eq!(settled["payer"].as_str().unwrap().to_lowercase(), BUYER.address.to_string().to_lowercase());
    assert_settled(&world.chain, &settled["transaction"], BUYER.address, 2_000).await;
    assert_eq!(payment(&said, buyer.version())["x402Version"], buyer.version());
    assert_eq!(Books::of(world, BUYER.address).await, before.after_a_call_for(2_000), "{buyer:?}");
}

async fn a_failed_call_is_free(world: &World, buyer: Buyer) {
    let before = Books::of(world, BUYER.address).await;
    let said = buyer.call(BUYER, &world.at("/broken"), &[]).await;
    assert_eq!((&said["status"], &said["body"]), (&500.into(), &"out of order".into()), "{buyer:?}: {said}");
    assert_unused(&world.chain, &payment(&said, buyer.version())).await;
    assert_eq!(Books::of(world, BUYER.address).await, before.after_a_call_for(0), "{buyer:?}");
}

#[tokio::test]
async fn their_buyers_bodies_arrive_as_they_were_sent() {
    let world = with_a_buyer(World::start().await).await;
    let text = r#"{"city":"Zürich"}"#;
    for buyer in EVERY_BUYER {
        let said = buyer.call(BUYER, &world.at("/echo"), &["-X", "POST", "-d", text]).await;
        assert_eq!((&said["status"], &said["body"]), (&200.into(), &text.into()), "{buyer:?}: {said}");
    }
    let bytes: Vec<u8> = (0..=255).cycle().take(60_000).collect();
    let binary = BASE64_STANDARD.encode(bytes);
    // With its length, and in chunks: a stream has no length that is known beforehand.
    for more in [&[][..], &["--stream"]] {
        for version in [1, 2] {
            let args = [&["-X", "POST", "--base64", "-d", &binary], more].concat();
            let said = Buyer::Fetch { version }.call(BUYER, &world.at("/echo"), &args).await;
            assert_eq!(said["status"], 200, "{more:?}, version {version}: {}", said["error"]);
            assert!(said["body"] == *binary, "{more:?}, version {version}: another body came back");
        }
    }
    assert_eq!(world.earned().await, 9 * 10_000);
}

#[tokio::test]
async fn streams_reach_their_buyers_whole() {
    let routes = r#"
  - {match: "GET /stream", price: "$0.01"}
  - {match: "GET /stream/upfront", price: "$0.01", flow: upfront}
"#;
    let world = with_a_buyer(World::selling(routes, "").await).await;
    let whole: Vec<u8> = (0..64).flat_map(|n| [n; 4096]).collect();
    for (path, version) in [("/stream", 1), ("/stream", 2), ("/stream/upfront", 2)] {
        let said = Buyer::Fetch { version }.call(BUYER, &world.at(path), &["--base64"]).await;
        assert_eq!(said["status"], 200, "{path}: {}", said["body"]);
        assert!(said["body"] == *BASE64_STANDARD.encode(&whole), "{path}, version {version}: another body");
    }
    assert_eq!(world.earned().await, 3 * 10_000);
}

/// The reference sells by HEAD for nothing what GET pays for. Ours does not: whoever forwards HEAD as GET would be had.
#[tokio::test]
async fn head_costs_what_get_costs() {
    let world = with_a_buyer(World::start().await).await;
    let url = world.at("/weather/berlin");
    let before = Books::of(&world, BUYER.address).await;
    let said = Buyer::Fetch { version: 2 }.call(BUYER, &url, &["-X", "HEAD"]).await;
    assert_eq!((&said["status"], &said["body"]), (&200.into(), &"".into()), "{said}");
    assert_eq!(Books::of(&world, BUYER.address).await, before.after_a_call_for(2_000));
    // Version 1 has its offers in the body, and HEAD's answer has none: such a buyer cannot pay, and is not served.
    let said = Buyer::Fetch { version: 1 }.call(BUYER, &url, &["-X", "HEAD"]).await;
    assert!(said["error"].is_string(), "{said}");
    assert_eq!(Books::of(&world, BUYER.address).await, before.after_a_call_for(2_000));
}
