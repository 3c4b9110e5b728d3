//! Payments that are no good, made by the reference's own buyer: our gateway with our facilitator says what the
//! reference's seller says with the reference's facilitator.

use farthing_devnet::Account;
use farthing_devnet::accounts::{BUYER, BUYER_2, FACILITATOR_2};
use serde_json::Value;

use super::{Buyer, EVERY_BUYER, Peer, decoded, payment, with_a_buyer};
use crate::world::World;

/// A payment that is refused: whose it is, and what is signed in place of what was asked for.
struct Bad {
    what: &'static str,
    by: Account,
    signed: &'static str,
}

const BAD: [Bad; 5] = [
    Bad { what: "underpaid", by: BUYER, signed: r#"{"amount":"1","maxAmountRequired":"1"}"# },
    Bad { what: "expired", by: BUYER, signed: r#"{"maxTimeoutSeconds":-60}"# },
    Bad {
        what: "for another payee",
        by: BUYER,
        signed: r#"{"payTo":"0x90F79bf6EB2c4f870365E785982E1f101E93b906"}"#,
    },
    Bad { what: "for another token", by: BUYER, signed: r#"{"extra":{"name":"Dollar","version":"2"}}"# },
    Bad { what: "by somebody without money", by: BUYER_2, signed: "{}" },
];

/// A seller that is the reference throughout, for one version.
async fn reference(world: &World, version: u8) -> (Peer, Peer) {
    let facilitator = Peer::facilitator(&world.chain, FACILITATOR_2).await;
    let script = if version == 1 { "v1-server.mjs" } else { "express-server.mjs" };
    (Peer::seller(script, &facilitator.url, &[]).await, facilitator)
}

/// The status, and why.
fn refusal(said: &Value, version: u8) -> (u64, String) {
    let answer = match version {
        1 => serde_json::from_str(said["body"].as_str().unwrap()).unwrap(),
        _ => decoded(&said["headers"]["payment-required"]),
    };
    (said["status"].as_u64().unwrap(), answer["error"].as_str().unwrap_or_default().to_owned())
}

/// The reference's code in version 1 for what the specification and version 2 call `…_value_mismatch`.
const VALUE_IN_VERSION_1: &str = "invalid_exact_evm_authorization_value";

#[tokio::test]
async fn bad_payments_are_refused_as_the_reference_refuses_them() {
    let world = with_a_buyer(World::start().await).await;
    let our_url = world.at("/weather/berlin");
    for version in [2, 1] {
        let (theirs, _facilitator) = reference(&world, version).await;
        let their_url = theirs.at("/weather");
        for bad in BAD {
            let call = async |url: &str| {
                let said = Buyer::Fetch { version }.call(bad.by, url, &["--alter", bad.signed]).await;
                payment(&said, version);
                refusal(&said, version)
            };
            let ((our_status, why), their_answer) = tokio::join!(call(&our_url), call(&their_url));
            // Ours adds words for a person after the code.
            let (code, words) = why.split_once(": ").unwrap_or((&why, ""));
            assert!(!words.is_empty(), "{}: {why}", bad.what);
            let code = match version {
                1 if bad.what == "underpaid" => VALUE_IN_VERSION_1,
                _ => code,
            };
            assert_eq!((our_status, code.to_owned()), their_answer, "{}, version {version}", bad.what);
        }
    }
    assert_eq!((world.earned().await, world.upstream.served()), (0, 0));
}

#[tokio::test]
async fn every_buyer_without_money_is_told_so_and_tries_once() {
    let world = World::start().await;
    for buyer in EVERY_BUYER {
        let said = buyer.call(BUYER_2, &world.at("/weather/berlin"), &[]).await;
        payment(&said, buyer.version());
        let (status, why) = refusal(&said, buyer.version());
        assert_eq!(status, 402, "{buyer:?}");
        assert!(why.starts_with("invalid_exact_evm_insufficient_balance: "), "{buyer:?}: {why}");
    }
    assert_eq!((world.earned().await, world.upstream.served()), (0, 0));
}

/// The reference answers 402, and has a buyer's program pay once more; ours answers 409.
#[tokio::test]
async fn a_replayed_payment_is_refused_by_both() {
    let world = with_a_buyer(World::start().await).await;
    for version in [2, 1] {
        let (theirs, _facilitator) = reference(&world, version).await;
        for (url, status) in [(theirs.at("/weather"), 402), (world.at("/weather/berlin"), 409)] {
            let said = Buyer::Fetch { version }.call(BUYER, &url, &[]).await;
            assert_eq!(said["status"], 200, "{said}");
            let header = if version == 1 { "x-payment" } else { "payment-signature" };
            let signed = said["sent"][1]["headers"][header].as_str().unwrap();
            let again = reqwest::Client::new().get(&url).header(header, signed).send().await.unwrap();
            assert_eq!(again.status(), status, "{url}, version {version}");
        }
    }
    assert_eq!((world.earned().await, world.upstream.served()), (2 * 12_000, 2));
}
