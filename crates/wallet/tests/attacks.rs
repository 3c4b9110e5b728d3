//! The rows of "Known attacks" (reference/x402.md) and "Where they fail" (reference/discovery.md) that concern a wallet
//! paying `exact` on EVM: a test each. Each names its row. Those that need a chain or the command stand in
//! tests/e2e/attacks_buyer.rs, those on networks that fail in tests/e2e/slow_network.rs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use axum::http::Method;
use common::{
    Buyer, POLICY, Seller, Then, ask, ask_with, assert_nothing_signed, http, offer, offer_v1, offer_with,
    request, settled,
};
use farthing_ledger::{Outcome, PurchaseState};
use farthing_money::Network;
use farthing_wallet::{BodyStore, CallLimits, CutOff, FetchError, FetchedBody, Request, WalletError};
use serde_json::json;

/// Row: "the paid retry follows a cross-origin redirect, leaking the payment".
#[tokio::test]
async fn a_paid_request_is_never_redirected() {
    for status in
        ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        let thief = Seller::start(|_, _| (http("200 OK", &[], b"thanks"), Then::Closes)).await;
        let location = format!("{}/steal", thief.url);
        let seller = Seller::selling(ask(&[offer()]), move |_| {
            (http(status, &[("location", &location)], b""), Then::Closes)
        })
        .await;
        let buyer = Buyer::new(POLICY);
        let fetched = buyer.fetch(&seller).await.unwrap();
        assert!(fetched.status.is_redirection(), "{status}");
        assert_eq!((seller.payments().len(), thief.heard().len()), (1, 0), "{status}");
        assert_eq!(buyer.purchases().await[0].state, PurchaseState::Unknown);
    }
}

/// Row: "a redirected 402 gets paid".
#[tokio::test]
async fn a_redirected_402_is_never_paid() {
    let thief = Seller::selling(ask(&[offer()]), |_| settled(&[], b"thanks")).await;
    let location = format!("{}/goods", thief.url);
    let seller =
        Seller::start(move |_, _| (http("302 Found", &[("location", &location)], b""), Then::Closes)).await;
    let buyer = Buyer::new(POLICY);
    let fetched = buyer.fetch(&seller).await.unwrap();
    assert_eq!((fetched.status.as_u16(), fetched.payment.is_none()), (302, true));
    assert_eq!((thief.heard().len(), buyer.purchases().await.len()), (0, 0));
    // Not even a 402 that names another place.
    let asked =
        http("402 Payment Required", &[("location", &thief.url), ("content-location", &thief.url)], b"{}");
    assert_nothing_signed(asked, "a 402 with a location").await;
    assert_eq!(thief.heard().len(), 0);
}

/// Row: "a retry signs a fresh nonce and pays twice".
#[tokio::test]
async fn every_retry_carries_the_same_payment() {
    let seller = Seller::selling(ask(&[offer()]), |number| match number {
        // The connection breaks twice, then nothing comes, then the seller wants it again, then it serves.
        0 | 1 => (Vec::new(), Then::Closes),
        2 => (Vec::new(), Then::Hangs),
        3 => (http("409 Conflict", &[("retry-after", "0")], b""), Then::Closes),
        _ => settled(&[], b"goods"),
    })
    .await;
    let buyer = Buyer::hasty(POLICY);
    let error = buyer.fetch(&seller).await.unwrap_err();
    let FetchError::Lost { purchase, .. } = error else { panic!("{error}") };
    buyer.client.resume(request(&seller), &purchase).await.unwrap();
    let payments = seller.payments();
    assert_eq!((payments.len(), buyer.purchases().await.len()), (5, 1));
    assert!(
        payments.iter().all(|payment| *payment == payments[0]),
        "one signature, however often it is sent"
    );
}

/// Row: "pays twice: x402 settles, the response hangs, the fallback pays again over MPP". Ours has two protocols to fall
/// back to as well, and several offers.
#[tokio::test]
async fn a_hanging_response_is_not_paid_again_in_another_way() {
    let v1 = json!({"x402Version": 1, "error": "", "accepts": [offer_v1("2000", common::PAYEE)]}).to_string();
    let offers = [offer(), offer_with("amount", json!("3000"))];
    let ask = ask_with(&offers, &json!({}), v1.as_bytes());
    let seller = Seller::selling(ask, |_| (Vec::new(), Then::Hangs)).await;
    let buyer = Buyer::hasty(POLICY);
    let error = buyer.fetch(&seller).await.unwrap_err();
    assert!(matches!(error, FetchError::Lost { .. }), "{error}");
    assert_eq!((seller.payments().len(), buyer.purchases().await.len()), (1, 1));
    assert_eq!(buyer.purchases().await[0].state, PurchaseState::Unknown, "it stays reserved");
}

/// Rows: "fake token, decimals or domain" and "the asset is not checked: 4,000,000 units of an 8-decimals token reported
/// as $4.00".
#[tokio::test]
async fn fake_tokens_decimals_and_domains_are_never_paid() {
    for (key, value) in [
        ("asset", json!("0x4200000000000000000000000000000000000006")),
        // One letter of the real one's.
        ("asset", json!("0x036CbD53842c5426634e7929541eC2318f3dCF7f")),
        // The real one of another network.
        ("asset", json!("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913")),
        ("asset", json!("USDC")),
        ("network", json!("eip155:1")),
        ("network", json!("base-sepolia")),
        ("network", json!("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp")),
        ("extra.name", json!("USD Coin")),
        ("extra.name", json!(null)),
        ("extra.version", json!("1")),
        ("extra.version", json!(2)),
        ("extra.assetTransferMethod", json!("permit2")),
        ("extra.assetTransferMethod", json!(3009)),
        ("extra.paymentFlow", json!("escrow")),
        ("extra.paymentFlow", json!("something new")),
    ] {
        let case = format!("{key}: {value}");
        let error = assert_nothing_signed(ask(&[offer_with(key, value)]), &case).await;
        assert!(matches!(error, FetchError::Wallet(WalletError::NoPayableOffer(_))), "{case}: {error}");
    }
    // Decimals that a seller claims count for nothing: a dollar and a half stays above a dollar.
    let mut claim = offer_with("amount", json!("1500000"));
    claim["extra"]["decimals"] = json!(18);
    let error = assert_nothing_signed(ask(&[claim]), "extra.decimals").await;
    assert!(matches!(error, FetchError::Wallet(WalletError::Denied(_))), "{error}");
}

/// Row: "SSRF through discovery (`$ref`, `iconUrl`, crawled origins)". A wallet fetches nothing that a 402 names.
#[tokio::test]
async fn nothing_that_a_402_names_is_fetched() {
    let inside = Seller::start(|_, _| (http("200 OK", &[], b"secret"), Then::Closes)).await;
    let at = |path: &str| format!("{}/{path}", inside.url);
    let resource = json!({"url": at("resource"), "iconUrl": at("icon"), "mimeType": "text/html"});
    let mut named = offer();
    named["outputSchema"] = json!({"$ref": at("schema")});
    named["extra"]["facilitator"] = json!(at("facilitator"));
    let seller = Seller::selling(ask_with(&[named], &resource, b"{}"), |_| settled(&[], b"goods")).await;
    let buyer = Buyer::new(POLICY);
    buyer.client.probe(&request(&seller), &CallLimits::default()).await.unwrap();
    buyer.fetch(&seller).await.unwrap();
    assert_eq!((seller.payments().len(), inside.heard().len()), (1, 0));
}

/// Row: "the cap is skipped when `--payment-network` matches no offer: `--max-amount 0.01` paid $1,000".
#[tokio::test]
async fn a_forced_network_without_an_offer_pays_nothing() {
    let dear = offer_with("amount", json!("1000000000"));
    let seller = Seller::selling(ask(&[dear, offer()]), |_| settled(&[], b"goods")).await;
    let generous = Buyer::new("version: 1\npayments:\n  max: none\n");
    let cent = Some("$0.01".parse().unwrap());
    for network in ["eip155:8453", "eip155:1", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"] {
        let network: Option<Network> = Some(network.parse().unwrap());
        let limits = CallLimits { max_amount: cent, network, ..CallLimits::default() };
        let error = generous.fetch_within(&seller, limits).await.unwrap_err();
        assert!(matches!(error, FetchError::Wallet(WalletError::NoPayableOffer(_))), "{error}");
    }
    assert!(seller.payments().is_empty());
    // Where it does match, the cap holds.
    let limits =
        CallLimits { max_amount: cent, network: Some(Network::BASE_SEPOLIA), ..CallLimits::default() };
    generous.fetch_within(&seller, limits).await.unwrap();
    assert_eq!(generous.purchases().await[0].terms.amount.get(), 2_000);
}

/// Row: "paid but lost: unknown content types, binary, or a timeout discard the body and the transaction".
#[tokio::test]
async fn a_paid_body_is_kept_whatever_it_is() {
    let noise: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for (kind, body) in [
        ("application/x-unheard-of", &b"\x00\xff\xfe"[..]),
        ("text/html; charset=no-such", b"\xc3\x28"),
        ("application/json", b"{not json"),
        ("", b""),
        ("image/png", &noise),
    ] {
        let sold = body.to_vec();
        let seller =
            Seller::selling(ask(&[offer()]), move |_| settled(&[("content-type", kind)], &sold)).await;
        let buyer = Buyer::new(POLICY);
        let fetched = buyer.fetch(&seller).await.unwrap();
        let FetchedBody::Kept { path, cut_off: None, .. } = fetched.body else { panic!("{kind}") };
        assert_eq!(std::fs::read(path).unwrap(), body, "{kind}");
        assert_eq!(buyer.purchases().await[0].state, PurchaseState::Paid);
    }
}

/// The same row: bodies that break off, stall, or are too long. What came is kept, the transaction is known, and the
/// whole can be asked for again with the same payment.
#[tokio::test]
async fn a_body_that_broke_off_can_be_asked_for_again() {
    let (whole, _) = settled(&[], b"all of the goods");
    for then in [Then::Closes, Then::Hangs] {
        let (cut, whole) = (whole[..whole.len() - 6].to_vec(), whole.clone());
        let seller = Seller::selling(ask(&[offer()]), move |number| match number {
            0 => (cut.clone(), then),
            _ => (whole.clone(), Then::Closes),
        })
        .await;
        let buyer = Buyer::hasty(POLICY);
        let fetched = buyer.fetch(&seller).await.unwrap();
        let FetchedBody::Kept { path, cut_off: Some(_), .. } = fetched.body else { panic!("{then:?}") };
        assert_eq!(std::fs::read(path).unwrap(), b"all of the");
        let purchase = buyer.purchases().await.remove(0);
        assert_eq!(purchase.outcome, Some(Outcome::Paid { transaction: Some("0xabc".into()) }));
        assert!(BodyStore::is_partial(purchase.response.unwrap().body_file.as_deref().unwrap()));

        let again = buyer.client.resume(request(&seller), &purchase.terms.id).await.unwrap();
        let FetchedBody::Kept { path, cut_off: None, .. } = again.body else { panic!("{then:?}") };
        assert_eq!(std::fs::read(path).unwrap(), b"all of the goods");
        assert_eq!(seller.payments()[0], seller.payments()[1]);
        assert!(buyer.client.resume(request(&seller), &purchase.terms.id).await.is_err(), "it is whole");
    }
}

/// The same row: a body longer than what is kept.
#[tokio::test]
async fn an_oversized_body_is_kept_as_far_as_it_goes() {
    let seller = Seller::selling(ask(&[offer()]), |_| settled(&[], &[b'x'; 5_000])).await;
    let buyer = Buyer::keeping(POLICY, 1_000);
    let fetched = buyer.fetch(&seller).await.unwrap();
    let FetchedBody::Kept { bytes: 1_000, cut_off: Some(why), .. } = fetched.body else { panic!() };
    assert_eq!(why, CutOff::TooLong { most: 1_000 });
    assert_eq!(buyer.purchases().await[0].state, PurchaseState::Paid);
}

/// Row: "no budget per session, day, total or origin": the origin's. The others are in tests/e2e/caps.rs.
#[tokio::test]
async fn a_budget_per_origin_counts_each_origin_alone() {
    let policy = "version: 1\npayments:\n  max: \"$1\"\n  budgets: [{name: one, max: \"$0.003\", per: lifetime, each: host}]\n";
    let buyer = Buyer::new(policy);
    for name in ["127.0.0.1", "localhost"] {
        let mut seller = Seller::selling(ask(&[offer()]), |_| settled(&[], b"goods")).await;
        seller.url = seller.url.replace("127.0.0.1", name);
        buyer.fetch(&seller).await.unwrap();
        let error = buyer.fetch(&seller).await.unwrap_err();
        assert!(matches!(error, FetchError::Wallet(WalletError::Denied(_))), "{error}");
        assert_eq!(seller.payments().len(), 1);
    }
}

/// Row: "identifying headers to every URL". What a call carries is what the caller gave, and what HTTP needs; the same for
/// everybody, and nothing about the wallet before it pays.
#[tokio::test]
async fn no_header_tells_one_buyer_from_another() {
    let seller = Seller::selling(ask(&[offer()]), |_| settled(&[], b"goods")).await;
    Buyer::new(POLICY).fetch(&seller).await.unwrap();
    let heard = seller.heard();
    let names =
        |number: usize| heard[number].headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    assert_eq!(names(0), ["accept", "user-agent", "host"]);
    assert_eq!(names(1), ["payment-signature", "idempotency-key", "accept", "user-agent", "host"]);
    assert_eq!(heard[0].header("user-agent"), Some(concat!("farthing/", env!("CARGO_PKG_VERSION"))));
}

/// Row: "probes DELETE and PUT on live URLs from a read-only tool": a probe is one unpaid request, of the method asked.
#[tokio::test]
async fn a_probe_is_one_unpaid_get() {
    let seller = Seller::selling(ask(&[offer()]), |_| settled(&[], b"goods")).await;
    Buyer::new(POLICY).client.probe(&request(&seller), &CallLimits::default()).await.unwrap();
    assert_one_unpaid(&seller, "GET");
}

/// The same row: who asks for another method gets it, once, and unpaid too.
#[tokio::test]
async fn a_probe_sends_another_method_once_and_unpaid() {
    let seller = Seller::selling(ask(&[offer()]), |_| settled(&[], b"goods")).await;
    let asked = Request::new(Method::DELETE, &format!("{}/goods", seller.url)).unwrap();
    Buyer::new(POLICY).client.probe(&asked, &CallLimits::default()).await.unwrap();
    assert_one_unpaid(&seller, "DELETE");
}

fn assert_one_unpaid(seller: &Seller, method: &str) {
    let heard = seller.heard();
    assert_eq!((heard.len(), heard[0].method.as_str(), heard[0].payment()), (1, method, None));
}
