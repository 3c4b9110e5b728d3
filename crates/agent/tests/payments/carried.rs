//! Calls that carry a payment.

use farthing_agent::guard::Words;
use farthing_ledger::{ApprovalFilter, PurchaseState};
use farthing_policy::json::Json;

use crate::world::{
    OTHER, PAYEE, World, denial, json, meta, offer, paid, payment, settled, sign, sign_fields, terms, testnet,
};

const OPEN: &str = "payments: {max: \"$1.00\"}\n";

#[tokio::test]
async fn what_a_payment_signs_is_judged_recorded_and_forwarded() {
    let world = World::new(OPEN);
    let carried = paid(&terms(2500, PAYEE));
    let forwarded = world.call(1, "search", &carried).await.unwrap();
    assert!(forwarded.contains(&json(&carried).to_string()), "as it came");
    let purchase = world.ends(PurchaseState::Signed).await;
    let terms = &purchase.terms;
    assert_eq!((terms.amount.get(), terms.pay_to.as_str()), (2500, PAYEE));
    assert!(terms.url.starts_with("mcp://") && terms.url.ends_with("/search"), "{}", terms.url);
    assert_eq!((terms.protocol.as_str(), terms.session.as_deref()), ("x402-v2", Some("s1")));
    let signed = purchase.signed.unwrap();
    assert!(signed.header_value.is_empty(), "the record holds no payment");
    assert_eq!(signed.valid_before.as_second(), crate::world::NOW + 300);
    world.answer(&settled(1, r#"{"success":true,"transaction":"0xab","network":"eip155:8453"}"#));
    world.ends(PurchaseState::Paid).await;
    world.whole().await;
}

/// What the reference's packages write, in both versions, on both networks.
#[tokio::test]
async fn golden_payments_are_read_as_signed() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/golden/exact_evm.json")).unwrap();
    let world = World::new("payments: {max: none}\n");
    let mut read = 0;
    for (id, case) in golden["cases"].as_array().unwrap().iter().enumerate() {
        let carried = meta(&case["paymentPayload"].to_string());
        match world.call(u32::try_from(id).unwrap(), "t", &carried).await {
            Ok(_) => {}
            // More than there is of any asset.
            Err(answer) => {
                assert!(
                    answer.contains("larger than any") || answer.contains("no maximum allows"),
                    "{answer}"
                );
                continue;
            }
        }
        let purchase = world.purchases().await.remove(0).terms;
        let signed = &case["paymentPayload"]["payload"]["authorization"];
        assert_eq!(purchase.amount.to_string(), signed["value"].as_str().unwrap());
        assert_eq!(purchase.pay_to, signed["to"].as_str().unwrap());
        assert_eq!(purchase.payer, signed["from"].as_str().unwrap());
        let chain = case["eip712"]["domain"]["chainId"].as_u64();
        assert_eq!(purchase.network.evm_chain_id(), chain);
        read += 1;
    }
    assert!(read >= 20, "{read} golden payments were read");
}

#[tokio::test]
async fn the_largest_numbers_are_no_trouble() {
    let (two_128, most) = ("340282366920938463463374607431768211456", "1".repeat(77));
    let world = World::new("payments: {max: none}\n");
    for (value, valid_before, code) in [
        (two_128, "253402207200", Some("payments_not_allowed")),
        ("340282366920938463463374607431768211455", "1", Some("above_maximum")),
        ("1", most.as_str(), None),
    ] {
        let payload = sign_fields(value, valid_before);
        let carried = format!(r#"{{"x402Version":1,"scheme":"exact","network":"base","payload":{payload}}}"#);
        let got = world.call(1, "t", &meta(&carried)).await;
        assert_eq!(got.as_ref().err().map(|answer| denial(answer).0).as_deref(), code, "{got:?}");
    }
    let purchase = world.ends(PurchaseState::Signed).await;
    assert!(purchase.signed.unwrap().valid_before.as_second() > 250_000_000_000);
    world.whole().await;
}

#[tokio::test]
async fn a_payment_that_comes_again_is_one_purchase() {
    let world = World::new("payments: {max: \"$1\", budgets: [{name: day, max: \"$0.005\", per: day}]}\n");
    let first = paid(&terms(2500, PAYEE));
    for id in 1..4 {
        world.call(id, "t", &first).await.unwrap();
    }
    assert_eq!(world.purchases().await.len(), 1);
    world.call(4, "t", &paid(&terms(2500, PAYEE))).await.unwrap();
    let denied = world.call(5, "t", &paid(&terms(2500, PAYEE))).await.unwrap_err();
    assert_eq!(denial(&denied), ("budget_exceeded".to_owned(), "day".to_owned()));
    // It was paid for before.
    world.call(6, "t", &first).await.unwrap();
    world.whole().await;
}

#[tokio::test]
async fn a_call_whose_payment_finds_no_room_gives_back_what_it_took() {
    let world = World::new(
        "payments: {max: \"$1\", budgets: [{name: day, max: \"$0.0025\", per: day}]}\n\
         tools: {t: {rules: [{name: pace, rate_limit: 2/day}]}}\n",
    );
    world.call(1, "t", &paid(&terms(2500, PAYEE))).await.unwrap();
    for id in 2..6 {
        let denied = world.call(id, "t", &paid(&terms(2500, PAYEE))).await.unwrap_err();
        assert_eq!(denial(&denied).1, "day", "the payment is denied, and the call costs nothing");
    }
    world.call(7, "t", "{}").await.unwrap();
    let denied = world.call(8, "t", "{}").await.unwrap_err();
    assert_eq!(denial(&denied).1, "pace");
    world.whole().await;
}

#[tokio::test]
async fn what_is_denied_names_its_rule() {
    let policy = "payments:\n  max: \"$0.01\"\n  payees: {deny: [\"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"]}\n  \
                  networks: {allow: [base]}\n  resources: {deny: [\"mcp://shop.mcp/secret\"]}\n";
    let world = World::new(policy);
    for (terms, tool, code) in [
        (terms(10_001, PAYEE), "t", "above_maximum"),
        (terms(1, OTHER), "t", "payee_not_allowed"),
        (testnet(1, PAYEE), "t", "network_not_allowed"),
        (terms(1, PAYEE), "secret", "resource_not_allowed"),
    ] {
        let denied = world.call(1, tool, &paid(&terms)).await.unwrap_err();
        assert_eq!(denial(&denied).0, code);
    }
    assert!(world.purchases().await.is_empty());
    let hosts = World::new("payments: {max: \"$1\", hosts: {allow: [\"shop.mcp\"]}}\n");
    hosts.call(1, "t", &paid(&terms(1, PAYEE))).await.unwrap();
}

#[tokio::test]
async fn without_a_section_payments_are_denied_except_as_intercept_does() {
    let policy = "tools: {t: {rules: []}}\n";
    let carried = paid(&terms(1, PAYEE));
    let world = World::new(policy);
    let denied = world.call(1, "t", &carried).await.unwrap_err();
    assert_eq!(denial(&denied).0, "payments_not_allowed");
    assert!(denied.contains("add that section"), "{denied}");
    let intercept = World::with(policy, Words::Intercept);
    intercept.call(1, "t", &carried).await.unwrap();
    let unreadable = intercept.call(2, "t", r#"{"x402/payment":"?"}"#).await;
    unreadable.expect("Intercept does not look at payments");
    assert!(intercept.purchases().await.is_empty());
    let both = World::with("payments: {max: \"$0.000001\"}\n", Words::Intercept);
    both.call(1, "t", &carried).await.unwrap();
    let denied = both.call(2, "t", &paid(&terms(2, PAYEE))).await.unwrap_err();
    assert!(denied.contains("[INTERCEPT POLICY DENIED]"), "{denied}");
}

#[tokio::test]
async fn what_cannot_be_judged_is_refused() {
    let world = World::new(OPEN);
    let (one, payload) = (terms(1, PAYEE), sign(&terms(1, PAYEE)));
    let accepted = offer(&one);
    let with = |json: &Json, key: &str, value: &str| {
        let mut object = json.as_object().unwrap().clone();
        object.set(key, crate::world::json(value));
        Json::Object(object)
    };
    let unknown = format!("\"{OTHER}\"");
    for (case, payment) in [
        ("no object", "\"x\"".to_owned()),
        ("no version", "{}".to_owned()),
        ("version 3", r#"{"x402Version":3}"#.to_owned()),
        ("permit2 beside", payment(&accepted, &with(&payload, "permit2Authorization", "{}"))),
        ("a scheme", payment(&with(&accepted, "scheme", "\"upto\""), &payload)),
        ("an asset", payment(&with(&accepted, "asset", &unknown), &payload)),
        ("a chain", payment(&with(&accepted, "network", "\"eip155:1\""), &payload)),
        (
            "Solana",
            payment(&with(&accepted, "network", "\"solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1\""), &payload),
        ),
        ("a signature", payment(&accepted, &with(&payload, "signature", "\"0x1234\""))),
        ("no payload", payment(&accepted, &Json::Null)),
        (
            "an approval",
            format!(
                r#"{{"x402Version":2,"accepted":{accepted},"payload":{payload},"extensions":{{"erc20ApprovalGasSponsoring":{{"info":{{"signedTransaction":"0x"}}}}}}}}"#
            ),
        ),
    ] {
        let denied = world.call(1, "t", &meta(&payment)).await.expect_err(case);
        let (code, rule) = denial(&denied);
        assert!(matches!(code.as_str(), "payments_not_allowed" | "asset_not_allowed"), "{case}: {code}");
        assert_eq!(rule, "(payment)", "{case}");
        assert!(!denied.contains(payload.get("signature").unwrap().as_str().unwrap()), "{case}: {denied}");
    }
    let two =
        format!(r#"{{"x402/payment":{},"org.paymentauth/credential":{{}}}}"#, payment(&accepted, &payload));
    assert_eq!(denial(&world.call(1, "t", &two).await.unwrap_err()).0, "payments_not_allowed");
    assert!(world.purchases().await.is_empty());
    world.call(1, "t", r#"{"x402/payment":null}"#).await.expect("that is none");
}

#[tokio::test]
async fn a_payment_elsewhere_than_in_a_call_is_refused() {
    let world = World::new(OPEN);
    let carried = paid(&terms(1, PAYEE));
    for message in [
        format!(r#"{{"id":1,"method":"resources/read","params":{{"uri":"a:b","_meta":{carried}}}}}"#),
        format!(r#"{{"id":2,"method":"tools/list","params":{{"_meta":{carried}}}}}"#),
        format!(r#"{{"id":3,"method":"tools/call","params":{{"name":"t"}},"_meta":{carried}}}"#),
    ] {
        let refused = world.send(&message).await.expect_err(&message);
        assert!(refused.contains(r#""error""#) && refused.contains("payment"), "{refused}");
    }
    let policy = "tools: {t: {rules: []}}\n";
    let message = format!(r#"{{"id":1,"method":"prompts/get","params":{{"name":"a","_meta":{carried}}}}}"#);
    World::with(policy, Words::Intercept).send(&message).await.unwrap();
}

#[tokio::test]
async fn a_person_approves_exactly_these_terms_once() {
    let world = World::new("payments: {max: \"$1\", approve_above: \"$0.001\"}\n");
    world.call(1, "t", &paid(&terms(1000, PAYEE))).await.unwrap();
    let denied = world.call(2, "t", &paid(&terms(2500, PAYEE))).await.unwrap_err();
    assert_eq!(denial(&denied).0, "approval_required");
    let waiting = world.ledger.approvals(ApprovalFilter::default()).await.unwrap().remove(0);
    world.ledger.decide_approval(&waiting.id, true, "me".into()).await.unwrap();
    assert_eq!(
        denial(&world.call(3, "t", &paid(&terms(2501, PAYEE))).await.unwrap_err()).0,
        "approval_required",
        "another amount is something else"
    );
    let other = world.call_with(3, "t", r#"{"to":"somebody"}"#, &paid(&terms(2500, PAYEE))).await;
    assert_eq!(denial(&other.unwrap_err()).0, "approval_required", "so is another call");
    world.call(4, "t", &paid(&terms(2500, PAYEE))).await.expect("a new signature on the approved terms");
    let again = world.call(5, "t", &paid(&terms(2500, PAYEE))).await.unwrap_err();
    assert_eq!(denial(&again).0, "approval_required");
    world.whole().await;
}

#[tokio::test]
async fn budgets_of_a_tool_and_a_session_and_in_shadow_count_here_too() {
    let world = World::new(
        "payments:\n  max: \"$1\"\n  budgets:\n    \
         - {name: tool, max: \"$0.000003\", per: day, each: tool}\n    \
         - {name: task, max: \"$0.000005\", per: session}\n    \
         - {name: tight, max: \"$0.000001\", per: day, shadow: true}\n",
    );
    world.call(1, "a", &paid(&terms(3, PAYEE))).await.unwrap();
    let denied = world.call(2, "a", &paid(&terms(1, PAYEE))).await.unwrap_err();
    assert_eq!(denial(&denied).1, "tool");
    world.call(3, "b", &paid(&terms(2, PAYEE))).await.unwrap();
    let denied = world.call(4, "c", &paid(&terms(1, PAYEE))).await.unwrap_err();
    assert_eq!(denial(&denied).1, "task");
}

#[tokio::test]
async fn nothing_passes_while_everything_is_stopped() {
    let world = World::new(OPEN);
    let first = paid(&terms(1, PAYEE));
    world.call(1, "t", &first).await.unwrap();
    world.ledger.freeze("look".into(), "me".into()).await.unwrap();
    for carried in [paid(&terms(1, PAYEE)), first] {
        assert_eq!(denial(&world.call(2, "t", &carried).await.unwrap_err()).0, "frozen");
    }
    let killed = World::new("payments: {max: \"$1\"}\nkill: true\n");
    assert_eq!(denial(&killed.call(1, "t", &paid(&terms(1, PAYEE))).await.unwrap_err()).0, "frozen");
}
