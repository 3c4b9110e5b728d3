//! How paid calls end.

use farthing_ledger::{Outcome, PurchaseState};
use farthing_policy::json::Json;

use crate::world::{PAYEE, World, denial, meta, offer, paid, payment, settled, sign, sign_seeded, terms};

const OPEN: &str = "payments: {max: \"$1.00\"}\n";

#[tokio::test]
async fn what_is_not_known_to_be_paid_stays_reserved() {
    for answer in [
        settled(
            1,
            r#"{"success":false,"errorReason":"insufficient_funds","transaction":"","network":"base"}"#,
        ),
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#.to_owned(),
        // Twice the same key: nobody can tell what it says.
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"content":[]}}"#.to_owned(),
    ] {
        let world = World::new(OPEN);
        world.call(1, "t", &paid(&terms(1, PAYEE))).await.unwrap();
        world.answer(&answer);
        world.ends(PurchaseState::Unknown).await;
        world.whole().await;
    }
    let world = World::new(OPEN);
    world.call(1, "t", &paid(&terms(1, PAYEE))).await.unwrap();
    world.relay.server_gone("it died");
    world.ends(PurchaseState::Unknown).await;
}

#[tokio::test]
async fn a_retry_settles_what_was_unknown() {
    let world = World::new(OPEN);
    let carried = paid(&terms(1, PAYEE));
    world.call(1, "t", &carried).await.unwrap();
    world.answer(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#);
    world.ends(PurchaseState::Unknown).await;
    world.call(2, "t", &carried).await.unwrap();
    world.answer(&settled(2, r#"{"success":true,"transaction":"0xab"}"#));
    let paid = world.ends(PurchaseState::Paid).await;
    assert_eq!(paid.outcome, Some(Outcome::Paid { transaction: Some("0xab".to_owned()) }));
    // What comes later does not undo it.
    world.call(3, "t", &carried).await.unwrap();
    world.answer(r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32603,"message":"no"}}"#);
    world.ends(PurchaseState::Paid).await;
    world.whole().await;
}

/// A second authorization with the nonce of the first: one of the two can settle, and it may be the larger one.
#[tokio::test]
async fn a_nonce_stands_for_one_payment_only() {
    let world = World::new(OPEN);
    let (small, large) = (terms(1, PAYEE), terms(999_999, PAYEE));
    let (first, second) = (sign_seeded(&small, 9), sign_seeded(&large, 9));
    assert_eq!(nonce(&first), nonce(&second));
    world.call(1, "t", &meta(&payment(&offer(&small), &first))).await.unwrap();
    let again = meta(&payment(&offer(&large), &second));
    let denied = world.call(2, "t", &again).await.unwrap_err();
    assert!(denied.contains("its nonce belongs to another payment"), "{denied}");
    let elsewhere = meta(&payment(&offer(&small), &first));
    assert_eq!(denial(&world.call(3, "u", &elsewhere).await.unwrap_err()).0, "payments_not_allowed");
    let purchases = world.purchases().await;
    assert_eq!((purchases.len(), purchases[0].terms.amount.get()), (1, 1));
}

#[tokio::test]
async fn what_was_given_back_is_not_taken_again() {
    let world = World::new(OPEN);
    let carried = meta(&payment(&offer(&terms(1, PAYEE)), &sign(&terms(1, PAYEE))));
    world.call(1, "t", &carried).await.unwrap();
    let id = world.purchases().await.remove(0).terms.id;
    world.ledger.finish(&id, Outcome::NotPaid { why: "expired".into() }).await.unwrap();
    let denied = world.call(2, "t", &carried).await.unwrap_err();
    assert!(denied.contains("it is over"), "{denied}");
}

fn nonce(payload: &Json) -> Option<&str> {
    payload.get("authorization")?.get("nonce")?.as_str()
}
