//! Whatever a payment says about itself: what is judged and recorded is what is signed.

use farthing_protocol::Requirements;
use proptest::prelude::*;

use crate::world::{OTHER, PAYEE, World, denial, json, meta, offer, payment, sign, terms, testnet};

fn any_terms() -> impl Strategy<Value = Requirements> {
    let payee = prop::sample::select(vec![PAYEE, OTHER]);
    (prop::sample::select(vec![1u128, 2, 2500, 999_999]), payee, any::<bool>())
        .prop_map(|(amount, payee, test)| if test { testnet(amount, payee) } else { terms(amount, payee) })
}

/// Sends, in a runtime of its own, a payment that signs one thing and accepts another.
fn judged(signed: &Requirements, said: &Requirements, version: u8) -> Result<Requirements, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new("payments: {max: \"$1\"}\n");
        let payload = sign(signed);
        let carried = match version {
            1 => {
                let network = said.network.v1_name().unwrap();
                format!(r#"{{"x402Version":1,"scheme":"exact","network":"{network}","payload":{payload}}}"#)
            }
            _ => payment(&offer(said), &payload),
        };
        world.call(1, "t", &meta(&carried)).await?;
        let recorded = world.purchases().await.remove(0).terms;
        Ok(Requirements {
            network: recorded.network,
            asset: recorded.asset,
            amount: recorded.amount,
            pay_to: recorded.pay_to,
            ..signed.clone()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_signed_is_what_is_judged(signed in any_terms(), said in any_terms(), version in 1u8..=2) {
        let tells_the_truth = match version {
            1 => signed.network == said.network,
            _ => signed == said,
        };
        match judged(&signed, &said, version) {
            Ok(recorded) => {
                prop_assert_eq!(recorded, signed);
                prop_assert!(tells_the_truth);
            }
            Err(answer) => {
                prop_assert!(!tells_the_truth, "{}", answer);
                prop_assert_eq!(denial(&answer).0, "payments_not_allowed");
            }
        }
    }

    /// Whoever changes one character of what is signed has signed nothing.
    #[test]
    fn what_was_changed_is_not_signed(field in 0usize..6, digit in 0usize..10) {
        let keys = ["from", "to", "value", "validAfter", "validBefore", "nonce"];
        let good = terms(2500, PAYEE);
        let mut payload = sign(&good).as_object().unwrap().clone();
        let mut authorization = payload.get("authorization").unwrap().as_object().unwrap().clone();
        let before = authorization.get(keys[field]).unwrap().as_str().unwrap().to_owned();
        let after = format!("{}{digit}", &before[..before.len() - 1]);
        prop_assume!(after != before);
        authorization.set(keys[field], after.into());
        payload.set("authorization", farthing_policy::json::Json::Object(authorization));
        let carried = payment(&offer(&good), &json(&farthing_policy::json::Json::Object(payload).to_string()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let refused = runtime.block_on(async {
            World::new("payments: {max: \"$1\"}\n").call(1, "t", &meta(&carried)).await
        });
        prop_assert_eq!(denial(&refused.unwrap_err()).0, "payments_not_allowed");
    }
}
