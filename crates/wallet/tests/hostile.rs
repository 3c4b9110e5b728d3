//! 402 answers made to hurt: nothing is signed that was not read, understood and allowed, and nothing takes for ever.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{
    Buyer, PAYEE, POLICY, Seller, Then, ask, ask_text, ask_with, assert_nothing_signed, decoded, http, offer,
    offer_v1, offer_with, settled,
};
use farthing_wallet::{CallLimits, FetchError, WalletError};
use serde_json::{Value, json};

#[tokio::test]
async fn amounts_that_are_not_plain_numbers_are_never_paid() {
    let texts =
        ["-1", "-0", "+2000", "1e3", "2E3", "0x7d0", " 2000", "2000 ", "2000.0", "", "2_000", "２０００"];
    for text in texts {
        assert_nothing_signed(ask(&[offer_with("amount", json!(text))]), text).await;
    }
    // 2^256 and beyond: no wrapping around.
    let huge = "115792089237316195423570985008687907853269984665640564039457584007913129639937";
    for value in [json!(huge), json!(2000), json!(-2000), json!(2e3), json!(null), json!(["2000"]), json!({})]
    {
        assert_nothing_signed(ask(&[offer_with("amount", value.clone())]), &value.to_string()).await;
    }
}

/// Zeros in front change nothing: what is decided on, signed and recorded is one number.
#[tokio::test]
async fn an_amount_has_one_reading() {
    let seller = Seller::selling(ask(&[offer_with("amount", json!("0002000"))]), |_| settled(&[], b"")).await;
    let buyer = Buyer::new(POLICY);
    buyer.fetch(&seller).await.unwrap();
    assert_eq!(decoded(&seller.payments()[0])["payload"]["authorization"]["value"], "2000");
    assert_eq!(buyer.purchases().await[0].terms.amount.get(), 2_000);
}

#[tokio::test]
async fn payees_that_nobody_can_mean_are_never_paid() {
    let own = common::own_address();
    let zero = "0x0000000000000000000000000000000000000000";
    let token = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
    for pay_to in [zero, &own, "", "0x", "vitalik.eth", "0x209693Bc6afc0C5328bA36FaF03C514EF312287", token] {
        let error = assert_nothing_signed(ask(&[offer_with("payTo", json!(pay_to))]), pay_to).await;
        assert!(matches!(error, FetchError::Wallet(WalletError::NoPayableOffer(_))), "{pay_to}: {error}");
    }
    assert_nothing_signed(ask(&[offer_with("payTo", json!([PAYEE]))]), "a list of payees").await;
}

#[tokio::test]
async fn times_that_would_bind_the_money_for_ever_or_not_at_all_are_never_signed() {
    for seconds in
        [json!(0), json!(86_401), json!(u64::MAX), json!(-1), json!(60.5), json!("60"), json!(null)]
    {
        let case = seconds.to_string();
        assert_nothing_signed(ask(&[offer_with("maxTimeoutSeconds", seconds)]), &case).await;
    }
}

#[tokio::test]
async fn a_key_that_stands_twice_is_no_offer() {
    let offer = offer().to_string();
    let twice = |from: &str, to: &str| {
        assert!(offer.contains(from), "{from}");
        ask_text(&format!(r#"{{"x402Version":2,"accepts":[{}]}}"#, offer.replace(from, to)))
    };
    for (from, to) in [
        (r#""amount":"2000""#, r#""amount":"2000","amount":"900000""#),
        (r#""amount":"2000""#, r#""amount":"2000","\u0061mount":"900000""#),
        (r#""name":"USDC""#, r#""name":"USDC","name":"Other""#),
        (r#""scheme":"exact""#, r#""scheme":"exact","payTo":"0x1111111111111111111111111111111111111111""#),
    ] {
        assert_nothing_signed(twice(from, to), to).await;
    }
    let whole = format!(r#"{{"x402Version":2,"accepts":[{offer}],"accepts":[{offer}]}}"#);
    assert_nothing_signed(ask_text(&whole), "two lists of offers").await;
}

#[tokio::test]
async fn depth_number_and_size_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep = nested(100);
    let inside = offer().to_string().replace(r#""name":"USDC""#, &format!(r#""name":"USDC","deep":{deep}"#));
    assert_nothing_signed(ask_text(&format!(r#"{{"x402Version":2,"accepts":[{inside}]}}"#)), "deep").await;
    let body = offer_v1("2000", PAYEE).to_string().replace("\"USDC\"", &nested(50_000));
    let body = format!(r#"{{"x402Version":1,"error":"","accepts":[{body}]}}"#);
    assert_nothing_signed(http("402 Payment Required", &[], body.as_bytes()), "very deep").await;

    assert_nothing_signed(ask(&vec![offer(); 101]), "101 offers in the header").await;
    let body = |count: usize| {
        let offers = vec![offer_v1("2000", PAYEE); count];
        let body = json!({"x402Version": 1, "error": "", "accepts": offers}).to_string();
        http("402 Payment Required", &[], body.as_bytes())
    };
    assert_nothing_signed(body(5_000), "5,000 offers in the body").await;
    assert_nothing_signed(http("402 Payment Required", &[], &vec![b' '; 1 << 20]), "a body of 1 MiB").await;

    for bytes in [40_000, 2_000_000] {
        let header = "A".repeat(bytes);
        let ask = http("402 Payment Required", &[("payment-required", &header)], b"{}");
        assert_nothing_signed(ask, &format!("a header of {bytes} bytes")).await;
    }
    let many: Vec<(String, String)> = (0..5_000).map(|n| (format!("x-{n}"), "1".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_nothing_signed(http("402 Payment Required", &many, b"{}"), "5,000 headers").await;
}

#[tokio::test]
async fn what_is_not_x402_at_all_is_an_error() {
    for body in
        ["", "{}", "null", "pay me", r#"{"x402Version":3,"accepts":[]}"#, r#"{"x402Version":1,"accepts":[]}"#]
    {
        assert_nothing_signed(http("402 Payment Required", &[], body.as_bytes()), body).await;
    }
    for header in ["!", "e30", "e30=", "bnVsbA=="] {
        let ask = http("402 Payment Required", &[("payment-required", header)], b"{}");
        assert_nothing_signed(ask, header).await;
    }
}

/// Offers in the header and in the body are both the seller's: what was decided on is what is signed, to the letter.
#[tokio::test]
async fn offers_that_differ_between_header_and_body_are_each_decided_on() {
    let other = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    let body = json!({"x402Version": 1, "error": "", "accepts": [offer_v1("1000", other)]}).to_string();
    let ask = ask_with(&[offer()], &json!({"url": "http://127.0.0.1/goods"}), body.as_bytes());
    let only_payee = format!("version: 1\npayments:\n  max: \"$1\"\n  payees: {{allow: [\"{PAYEE}\"]}}\n");
    for (policy, amount, pay_to) in [(POLICY, "1000", other), (only_payee.as_str(), "2000", PAYEE)] {
        let seller = Seller::selling(ask.clone(), |_| settled(&[], b"goods")).await;
        let buyer = Buyer::new(policy);
        buyer.fetch(&seller).await.unwrap();
        let authorization = decoded(&seller.payments()[0])["payload"]["authorization"].clone();
        let purchase = &buyer.purchases().await[0].terms;
        assert_eq!(
            (authorization["value"].as_str(), purchase.amount.to_string().as_str()),
            (Some(amount), amount)
        );
        assert!(authorization["to"].as_str().unwrap().eq_ignore_ascii_case(pay_to), "{authorization}");
        assert_eq!(purchase.pay_to, pay_to);
    }
}

/// A seller who takes the payment and asks for more gets no second signature, neither at once nor on `--resume`.
#[tokio::test]
async fn a_price_that_rises_after_paying_is_not_paid_too() {
    let dearer = ask(&[offer_with("amount", json!("900000"))]);
    let seller = Seller::selling(ask(&[offer()]), move |_| (dearer.clone(), Then::Closes)).await;
    let buyer = Buyer::new(POLICY);
    let fetched = buyer.fetch(&seller).await.unwrap();
    assert_eq!(fetched.status, 402);
    let purchases = buyer.purchases().await;
    assert_eq!((purchases.len(), purchases[0].terms.amount.get()), (1, 2_000));
    buyer.client.resume(common::request(&seller), &purchases[0].terms.id).await.unwrap();
    let payments = seller.payments();
    assert_eq!((payments.len(), buyer.purchases().await.len()), (2, 1));
    assert_eq!(payments[0], payments[1], "the same payment, not a dearer one");
}

/// What `check` showed binds nobody; the caller's limit does.
#[tokio::test]
async fn a_price_that_rises_between_check_and_fetch_is_held_to_the_limit() {
    let seller = Seller::start(|heard, number| match (number, heard.payment()) {
        (0, _) => (ask(&[offer()]), Then::Closes),
        (_, None) => (ask(&[offer_with("amount", json!("900000"))]), Then::Closes),
        (_, Some(_)) => settled(&[], b"goods"),
    })
    .await;
    let buyer = Buyer::new(POLICY);
    buyer.client.probe(&common::request(&seller), &CallLimits::default()).await.unwrap();
    let limits = CallLimits { max_amount: Some("$0.01".parse().unwrap()), ..CallLimits::default() };
    let error = buyer.fetch_within(&seller, limits).await.unwrap_err();
    assert!(matches!(error, FetchError::Wallet(WalletError::Denied(_))), "{error}");
    assert!(seller.payments().is_empty());
}

/// The resource that a 402 names is the seller's word: what is called, paid and recorded is the address that was asked.
#[tokio::test]
async fn a_resource_of_another_origin_changes_nothing() {
    let elsewhere = Seller::start(|_, _| (http("200 OK", &[], b""), Then::Closes)).await;
    let resource: Value = json!({"url": format!("{}/dear", elsewhere.url)});
    let seller = Seller::selling(ask_with(&[offer()], &resource, b"{}"), |_| settled(&[], b"goods")).await;
    let buyer = Buyer::new(POLICY);
    buyer.fetch(&seller).await.unwrap();
    assert_eq!(buyer.purchases().await[0].terms.url, format!("{}/goods", seller.url));
    assert_eq!((seller.payments().len(), elsewhere.heard().len()), (1, 0));
}
