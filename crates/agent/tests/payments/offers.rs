//! Answers that ask for payment, and MPP.

use farthing_agent::guard::Words;
use farthing_ledger::PurchaseState;
use farthing_policy::json::Json;
use farthing_protocol::Requirements;

use crate::world::{BASE_USDC, OTHER, PAYEE, World, denial, json, offer, paid, sign, terms, testnet};

const CAPPED: &str = "payments: {max: \"$0.01\"}\n";

/// x402's unpaid result, as `@x402/mcp` writes it: the structure, and the same as text.
fn unpaid(id: u32, offers: &[&Json]) -> String {
    let offers: Vec<_> = offers.iter().map(ToString::to_string).collect();
    let required = format!(
        r#"{{"x402Version":2,"error":"Payment required to access this tool","resource":{{"url":"mcp://tool/t"}},"accepts":[{}]}}"#,
        offers.join(",")
    );
    let text = Json::from(required.as_str());
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":{text}}}],"structuredContent":{required},"isError":true}}}}"#
    )
}

fn challenge(terms: &Requirements) -> Json {
    let Requirements { amount, asset, pay_to, network, .. } = terms;
    let chain = network.evm_chain_id().unwrap();
    json(&format!(
        r#"{{"id":"qB3w","realm":"api.example.com","method":"evm","intent":"charge","request":{{"amount":"{amount}","currency":"{asset}","recipient":"{pay_to}","methodDetails":{{"chainId":{chain},"credentialTypes":["authorization"],"decimals":6}}}}}}"#
    ))
}

fn demanded(id: u32, challenges: &[&Json]) -> String {
    let challenges: Vec<_> = challenges.iter().map(ToString::to_string).collect();
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32042,"message":"Payment Required","data":{{"httpStatus":402,"challenges":[{}]}}}}}}"#,
        challenges.join(",")
    )
}

#[tokio::test]
async fn what_may_not_be_paid_is_taken_out_of_structure_and_text() {
    let world = World::new(CAPPED);
    let (good, dear) = (offer(&terms(10_000, PAYEE)), offer(&terms(10_001, PAYEE)));
    let unknown = offer(&Requirements { asset: OTHER.into(), ..terms(1, PAYEE) });
    let upto = offer(&Requirements { scheme: "upto".into(), ..terms(1, PAYEE) });
    let unread = json(r#"{"scheme":"exact","amount":1}"#);
    world.call(1, "t", "{}").await.unwrap();
    let got = world.answer(&unpaid(1, &[&dear, &unknown, &good, &upto, &unread]));
    assert_eq!(got, unpaid(1, &[&good]));
    world.call(2, "t", "{}").await.unwrap();
    let all = unpaid(2, &[&good]);
    assert_eq!(world.answer(&all), all);
}

#[tokio::test]
async fn when_nothing_is_left_the_answer_is_a_denial() {
    let world = World::new(CAPPED);
    world.call(1, "t", "{}").await.unwrap();
    let got = world.answer(&unpaid(1, &[&offer(&terms(10_001, PAYEE))]));
    assert_eq!(denial(&got), ("above_maximum".to_owned(), "payments.max".to_owned()));
    assert!(got.contains("$0.010001") && !got.contains("accepts"), "{got}");
    world.call(2, "t", "{}").await.unwrap();
    let got = world.answer(&demanded(2, &[&challenge(&terms(10_001, PAYEE))]));
    assert_eq!(denial(&got).0, "above_maximum");
    let none = World::new("tools: {t: {rules: []}}\n");
    none.call(1, "t", "{}").await.unwrap();
    let got = none.answer(&unpaid(1, &[&offer(&terms(1, PAYEE))]));
    assert!(got.contains("add that section"), "{got}");
    let intercept = World::with("tools: {t: {rules: []}}\n", Words::Intercept);
    intercept.call(1, "t", "{}").await.unwrap();
    let all = unpaid(1, &[&offer(&terms(1, PAYEE))]);
    assert_eq!(intercept.answer(&all), all);
    world.whole().await;
}

#[tokio::test]
async fn an_offer_for_which_no_budget_has_room_is_denied() {
    let world = World::new("payments: {max: \"$1\", budgets: [{name: day, max: \"$0.0025\", per: day}]}\n");
    world.call(1, "t", "{}").await.unwrap();
    let one = unpaid(1, &[&offer(&terms(2500, PAYEE))]);
    assert_eq!(world.answer(&one), one);
    world.call(2, "t", &paid(&terms(2500, PAYEE))).await.unwrap();
    world.call(3, "t", "{}").await.unwrap();
    let got = world.answer(&unpaid(3, &[&offer(&terms(1, PAYEE))]));
    assert_eq!(denial(&got).1, "day");
}

#[tokio::test]
async fn offers_in_every_place_are_found() {
    let world = World::new(CAPPED);
    let dear = offer(&terms(10_001, PAYEE));
    let required = format!(r#"{{"x402Version":2,"accepts":[{dear}]}}"#);
    let text = Json::from(required.as_str());
    let escaped = required.replace("accepts", "\\u0061ccepts");
    let twice = Json::from(format!(r#"{{"x402Version":2,"accepts":[],"accepts":[{dear}]}}"#));
    let challenges = format!(r#"{{"challenges":[{}]}}"#, challenge(&terms(10_001, PAYEE)));
    for (case, rest) in [
        ("text alone", format!(r#""result":{{"isError":true,"content":[{{"type":"text","text":{text}}}]}}"#)),
        ("an error", format!(r#""error":{{"code":402,"message":"pay","data":{required}}}"#)),
        ("an escaped key", format!(r#""result":{{"isError":true,"structuredContent":{escaped}}}"#)),
        (
            "a key twice",
            format!(r#""result":{{"isError":true,"content":[{{"type":"text","text":{twice}}}]}}"#),
        ),
        (
            "mppx's result",
            format!(
                r#""result":{{"isError":true,"_meta":{{"org.paymentauth/payment-required":{challenges}}}}}"#
            ),
        ),
        (
            "no list",
            r#""result":{"isError":true,"structuredContent":{"x402Version":2,"accepts":{}}}"#.to_owned(),
        ),
    ] {
        world.call(1, "t", "{}").await.unwrap();
        let got = world.answer(&format!(r#"{{"jsonrpc":"2.0","id":1,{rest}}}"#));
        assert!(!got.contains("accepts") && !got.contains("challenges"), "{case}: {got}");
        denial(&got);
    }
}

#[tokio::test]
async fn answers_that_ask_for_nothing_pass_as_they_came() {
    let world = World::new(CAPPED);
    for answer in [
        r#"{"jsonrpc": "2.0", "id": 1, "result": {"content": [ ]}}"#,
        r#"{"jsonrpc": "2.0", "id": 1, "result": {"structuredContent": {"x402Version": 2, "accepts": [{}]}}}"#,
        r#"{"jsonrpc": "2.0", "id": 1, "result": {"isError": true, "content": [{"text": "{\"accepts\": [1]}"}]}}"#,
        r#"{"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "no", "data": "challenges"}}"#,
    ] {
        world.call(1, "t", "{}").await.unwrap();
        assert_eq!(world.answer(answer), answer);
    }
}

/// mppx's credential of the method `evm`: an EIP-3009 authorization beside the challenge that it answers.
fn credential(challenge: &Json, signed: &Requirements) -> String {
    let payload = sign(signed);
    let mut flat = payload.get("authorization").unwrap().as_object().unwrap().clone();
    flat.set("type", "authorization".into());
    flat.set("signature", payload.get("signature").unwrap().clone());
    format!(
        r#"{{"org.paymentauth/credential":{{"challenge":{challenge},"payload":{}}}}}"#,
        Json::Object(flat)
    )
}

#[tokio::test]
async fn mpp_is_judged_by_what_is_signed() {
    let world = World::new(CAPPED);
    let (good, dear) = (terms(10_000, PAYEE), terms(10_001, PAYEE));
    world.call(1, "t", "{}").await.unwrap();
    let got = world.answer(&demanded(1, &[&challenge(&dear), &challenge(&good)]));
    assert_eq!(got, demanded(1, &[&challenge(&good)]));
    world.call(2, "t", &credential(&challenge(&good), &good)).await.unwrap();
    let receipt = r#"{"org.paymentauth/receipt":{"status":"success","method":"evm","reference":"0xab"}}"#;
    world.answer(&format!(r#"{{"jsonrpc":"2.0","id":2,"result":{{"content":[],"_meta":{receipt}}}}}"#));
    let purchase = world.ends(PurchaseState::Paid).await;
    assert_eq!((purchase.terms.amount.get(), purchase.terms.protocol.as_str()), (10_000, "mpp"));
    for (said, signed) in
        [(&good, &dear), (&good, &terms(10_000, OTHER)), (&good, &testnet(10_000, PAYEE)), (&dear, &dear)]
    {
        world.call(3, "t", &credential(&challenge(said), signed)).await.unwrap_err();
    }
    assert_eq!(world.purchases().await.len(), 1);
}

#[tokio::test]
async fn a_credential_without_a_nonce_is_known_by_its_bytes() {
    let world = World::new(CAPPED);
    let challenge = challenge(&terms(2500, PAYEE));
    let hash = |byte: &str| {
        format!(
            r#"{{"org.paymentauth/credential":{{"challenge":{challenge},"payload":{{"type":"hash","hash":"0x{}"}}}}}}"#,
            byte.repeat(32)
        )
    };
    world.call(1, "t", &hash("aB")).await.unwrap();
    world.call(2, "t", &hash("ab")).await.unwrap();
    assert_eq!(world.purchases().await.len(), 1);
    world.call(3, "t", &hash("ac")).await.unwrap();
    assert_eq!(world.purchases().await.len(), 2);
    for payload in [r#"{"type":"voucher"}"#, r#"{"type":"hash","hash":"0xab"}"#, "null"] {
        let carried =
            format!(r#"{{"org.paymentauth/credential":{{"challenge":{challenge},"payload":{payload}}}}}"#);
        assert_eq!(denial(&world.call(4, "t", &carried).await.unwrap_err()).0, "payments_not_allowed");
    }
    assert!(challenge.to_string().contains(BASE_USDC));
}
