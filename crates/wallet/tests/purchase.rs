//! A purchase against sellers who cheat, fail and vanish. The sellers are real HTTP servers with scripted answers; no
//! chain is needed, because what is tested here ends where the chain is asked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use farthing_ambient::{SeededEntropy, TestClock};
use farthing_ledger::{Ledger, Outcome, PurchaseFilter, PurchaseId, PurchaseState};
use farthing_money::{BaseUnits, Network, Registry};
use farthing_policy::Policy;
use farthing_protocol::x402::{Paywall, ResourceInfo, SettleResponse, encode_header};
use farthing_protocol::{Object, Requirements};
use farthing_rail_evm::{ChainConfig, EvmPayer};
use farthing_wallet::{
    BodyStore, CallLimits, Client, ClientConfig, FetchError, FetchedBody, LocalWallet, LocalWalletConfig,
    Probe, Request, WalletError,
};

/// What the seller does with each paid request, in order; the last one repeats.
#[derive(Clone, Copy)]
enum Paid {
    /// Serves, and says that it settled.
    Settles,
    /// Serves, and says nothing.
    SaysNothing,
    /// Refuses, and says that it did not settle.
    Refuses,
    /// Says that it settled on another network.
    WrongNetwork,
    /// Sends the buyer elsewhere.
    Redirects,
    /// Refuses it with another 402, as a seller does whose facilitator found the account empty.
    AsksAgain,
    /// Is still at work on it, and asks for the payment again.
    AtWork,
    /// Never answers.
    Hangs,
}

#[derive(Clone)]
struct Seller {
    url: String,
    offers: Arc<Vec<Requirements>>,
    script: Arc<Mutex<Vec<Paid>>>,
    /// The payment headers and idempotency keys that arrived.
    payments: Arc<Mutex<Vec<(String, String)>>>,
}

impl Seller {
    async fn start(offers: Vec<Requirements>, script: Vec<Paid>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seller = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            offers: Arc::new(offers),
            script: Arc::new(Mutex::new(script)),
            payments: Arc::default(),
        };
        let router = Router::new().fallback(sell).with_state(seller.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        seller
    }

    fn payments(&self) -> Vec<(String, String)> {
        self.payments.lock().unwrap().clone()
    }
}

async fn sell(State(seller): State<Seller>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(payment) = headers.get("payment-signature") else {
        let resource = ResourceInfo::new(format!("{}{uri}", seller.url));
        let paywall = Paywall::new(&resource, &seller.offers).unwrap();
        let header = HeaderValue::from_str(paywall.v2_header()).unwrap();
        return (StatusCode::PAYMENT_REQUIRED, [("payment-required", header)], "{}").into_response();
    };
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    seller.payments.lock().unwrap().push((text(payment), text(headers.get("idempotency-key").unwrap())));
    let next = {
        let mut script = seller.script.lock().unwrap();
        if script.len() > 1 { script.remove(0) } else { script[0] }
    };
    let settled = |success: bool, network: &str| {
        let word = SettleResponse {
            success,
            transaction: if success { "0xabc".into() } else { String::new() },
            network: network.into(),
            ..SettleResponse::default()
        };
        [("payment-response", HeaderValue::from_str(&encode_header(&word).unwrap()).unwrap())]
    };
    match next {
        Paid::Settles => (settled(true, "eip155:84532"), Bytes::from_static(b"\x00goods")).into_response(),
        Paid::SaysNothing => "goods".into_response(),
        Paid::Refuses => (StatusCode::PAYMENT_REQUIRED, settled(false, "eip155:84532"), "{}").into_response(),
        Paid::WrongNetwork => (settled(true, "eip155:1"), "goods").into_response(),
        Paid::Redirects => {
            (StatusCode::TEMPORARY_REDIRECT, [("location", "http://127.0.0.1:1/steal")]).into_response()
        }
        Paid::AsksAgain => {
            let body = r#"{"x402Version":1,"error":"insufficient_funds","accepts":[{}]}"#;
            (StatusCode::PAYMENT_REQUIRED, body).into_response()
        }
        Paid::AtWork => (StatusCode::CONFLICT, [("retry-after", "0")]).into_response(),
        Paid::Hangs => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            "late".into_response()
        }
    }
}

fn offer(amount: u128) -> Requirements {
    Requirements {
        scheme: "exact".into(),
        network: Network::BASE_SEPOLIA,
        amount: BaseUnits::new(amount),
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        max_timeout_seconds: 60,
        extra: serde_json::from_str(r#"{"name":"USDC","version":"2"}"#).unwrap(),
    }
}

const POLICY: &str =
    "version: 1\npayments:\n  max: \"$1\"\n  budgets: [{name: ever, max: \"$1.50\", per: lifetime}]\n";

struct Buyer {
    client: Client,
    ledger: Ledger,
    clock: Arc<TestClock>,
    _home: tempfile::TempDir,
}

fn buyer(policy: &str) -> Buyer {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::at_unix_second(1_800_000_000));
    let ledger = Ledger::in_memory(clock.clone()).unwrap();
    let secret = secp256k1::SecretKey::from_byte_array([7; 32]).unwrap();
    // No chain is there: signing needs none.
    let chain = ChainConfig::new(Network::BASE_SEPOLIA, vec!["http://127.0.0.1:9".parse().unwrap()]);
    let payer = EvmPayer::new(secret, &[chain], &(Arc::new(SeededEntropy::new(1)) as _)).unwrap();
    let wallet = LocalWallet::new(LocalWalletConfig {
        payers: vec![Arc::new(payer)],
        registry: Registry::builtin(),
        policy: Policy::parse(policy).unwrap().into(),
        ledger: ledger.clone(),
        preference: Vec::new(),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(2)),
    });
    let config = ClientConfig {
        timeout: Duration::from_secs(4),
        bodies: BodyStore::new(home.path(), 1 << 20),
        ..ClientConfig::default()
    };
    Buyer { client: Client::new(Arc::new(wallet), config).unwrap(), ledger, clock, _home: home }
}

impl Buyer {
    async fn state(&self) -> PurchaseState {
        self.ledger.purchases(PurchaseFilter::default()).await.unwrap()[0].state
    }

    async fn count(&self) -> usize {
        self.ledger.purchases(PurchaseFilter::default()).await.unwrap().len()
    }
}

fn request(seller: &Seller) -> Request {
    Request::get(&format!("{}/goods", seller.url)).unwrap()
}

#[tokio::test]
async fn a_settled_call_is_paid_and_its_body_kept() {
    let seller = Seller::start(vec![offer(2_000)], vec![Paid::Settles]).await;
    let buyer = buyer(POLICY);
    let fetched = buyer.client.fetch(request(&seller), CallLimits::default()).await.unwrap();
    let FetchedBody::Kept { path, bytes, cut_off } = fetched.body else { panic!("a paid body is kept") };
    assert_eq!((std::fs::read(path).unwrap().as_slice(), bytes, cut_off), (&b"\x00goods"[..], 6, None));
    assert_eq!(fetched.payment.unwrap().outcome, Outcome::Paid { transaction: Some("0xabc".into()) });
    assert_eq!(buyer.state().await, PurchaseState::Paid);
    assert!(buyer.ledger.verify().await.unwrap().problems.is_empty());
}

#[tokio::test]
async fn the_cheapest_offer_is_paid() {
    let seller = Seller::start(vec![offer(5_000), offer(2_000), offer(9_000)], vec![Paid::Settles]).await;
    let buyer = buyer(POLICY);
    let fetched = buyer.client.fetch(request(&seller), CallLimits::default()).await.unwrap();
    assert_eq!(fetched.payment.unwrap().purchase.terms.amount.get(), 2_000);
}

#[tokio::test]
async fn a_forced_network_is_the_only_one_paid() {
    let seller = Seller::start(vec![offer(2_000)], vec![Paid::Settles]).await;
    let buyer = buyer(POLICY);
    let limits = CallLimits { network: Some(Network::BASE), ..CallLimits::default() };
    let error = buyer.client.fetch(request(&seller), limits).await.unwrap_err();
    assert!(matches!(error, FetchError::Wallet(WalletError::NoPayableOffer(_))), "{error}");
    assert!(seller.payments().is_empty());
}

#[tokio::test]
async fn what_the_seller_does_not_confirm_stays_reserved() {
    for paid in [Paid::SaysNothing, Paid::Refuses, Paid::WrongNetwork] {
        let seller = Seller::start(vec![offer(1_000_000)], vec![paid]).await;
        let buyer = buyer(POLICY);
        let fetched = buyer.client.fetch(request(&seller), CallLimits::default()).await.unwrap();
        assert!(matches!(fetched.payment.unwrap().outcome, Outcome::Unknown { .. }));
        assert_eq!(buyer.state().await, PurchaseState::Unknown);
        // The reservation holds: a second dollar does not fit into 1.50.
        let error = buyer.client.fetch(request(&seller), CallLimits::default()).await.unwrap_err();
        assert!(matches!(error, FetchError::Wallet(WalletError::Denied(_))), "{error}");
        assert_eq!(seller.payments().len(), 1);
    }
}

#[tokio::test]
async fn a_payment_follows_no_redirect() {
    let seller = Seller::start(vec![offer(2_000)], vec![Paid::Redirects]).await;
    let buyer = buyer(POLICY);
    let fetched = buyer.client.fetch(request(&seller), CallLimits::default()).await.unwrap();
    assert_eq!(fetched.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!((seller.payments().len(), buyer.state().await), (1, PurchaseState::Unknown));
}

#[tokio::test]
async fn a_lost_answer_is_resumed_with_the_same_bytes() {
    let seller = Seller::start(vec![offer(2_000)], vec![Paid::Hangs, Paid::Settles]).await;
    let buyer = buyer(POLICY);
    let error = buyer.client.fetch(request(&seller), CallLimits::default()).await.unwrap_err();
    let FetchError::Lost { purchase, .. } = error else { panic!("{error}") };
    assert_eq!(buyer.state().await, PurchaseState::Unknown);

    let mut other = request(&seller);
    other.body = Bytes::from_static(b"something else");
    let refused = buyer.client.resume(other, &purchase).await.unwrap_err();
    assert!(matches!(refused, FetchError::Wallet(WalletError::NotResumable { .. })), "{refused}");

    let fetched = buyer.client.resume(request(&seller), &purchase).await.unwrap();
    assert!(matches!(fetched.payment.unwrap().outcome, Outcome::Paid { .. }));
    let payments = seller.payments();
    assert_eq!((payments.len(), payments[0] == payments[1]), (2, true), "one payment, sent twice");
    assert_eq!(buyer.count().await, 1);
    let over = buyer.client.resume(request(&seller), &purchase).await.unwrap_err();
    assert!(over.to_string().contains("it is paid"), "{over}");
}

#[tokio::test]
async fn a_second_answer_takes_nothing_away() {
    let seller = Seller::start(vec![offer(2_000)], vec![Paid::SaysNothing, Paid::Refuses]).await;
    let buyer = buyer(POLICY);
    let first = buyer.client.fetch(request(&seller), CallLimits::default()).await.unwrap();
    let FetchedBody::Kept { path, .. } = first.body else { panic!("a paid body is kept") };
    let goods = std::fs::read(&path).unwrap();
    let purchase = first.payment.unwrap().purchase.terms.id;
    let second = buyer.client.resume(request(&seller), &purchase).await.unwrap();
    assert!(matches!(second.payment.unwrap().outcome, Outcome::Unknown { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), goods);
    let recorded = buyer.ledger.purchase(&purchase).await.unwrap().response.unwrap();
    assert!(path.ends_with(recorded.body_file.unwrap()));
}

#[tokio::test]
async fn what_is_paid_and_never_came_can_be_asked_for() {
    let script = vec![Paid::Hangs, Paid::Refuses, Paid::Settles];
    let seller = Seller::start(vec![offer(2_000)], script).await;
    let buyer = buyer(POLICY);
    let error = buyer.client.fetch(request(&seller), CallLimits::default()).await.unwrap_err();
    let FetchError::Lost { purchase, .. } = error else { panic!("{error}") };
    // What `reconcile` finds on the chain.
    let paid = Outcome::Paid { transaction: Some("0xabc".into()) };
    buyer.ledger.finish(&purchase, paid.clone()).await.unwrap();

    let refused = buyer.client.resume(request(&seller), &purchase).await.unwrap();
    assert_eq!(refused.payment.unwrap().outcome, paid, "a refusal does not unsay what the chain says");
    let fetched = buyer.client.resume(request(&seller), &purchase).await.unwrap();
    assert_eq!(fetched.payment.unwrap().outcome, paid);
    assert_eq!(buyer.ledger.purchase(&purchase).await.unwrap().response.unwrap().status, 200);
    assert!(buyer.client.resume(request(&seller), &purchase).await.is_err(), "it is answered");
}

#[tokio::test]
async fn a_sellers_reason_is_passed_on() {
    let seller = Seller::start(vec![offer(2_000)], vec![Paid::AsksAgain]).await;
    let buyer = buyer(POLICY);
    let fetched = buyer.client.fetch(request(&seller), CallLimits::default()).await.unwrap();
    let Outcome::Unknown { why } = fetched.payment.unwrap().outcome else { panic!("it is not settled") };
    assert!(why.contains("insufficient_funds"), "{why}");
    assert_eq!(buyer.state().await, PurchaseState::Unknown);
}

#[tokio::test]
async fn a_seller_at_work_gets_the_same_payment_again() {
    let seller = Seller::start(vec![offer(2_000)], vec![Paid::AtWork, Paid::AtWork, Paid::Settles]).await;
    let buyer = buyer(POLICY);
    let fetched = buyer.client.fetch(request(&seller), CallLimits::default()).await.unwrap();
    assert!(matches!(fetched.payment.unwrap().outcome, Outcome::Paid { .. }));
    let payments = seller.payments();
    assert_eq!((payments.len(), buyer.count().await), (3, 1));
    assert!(payments.iter().all(|payment| *payment == payments[0]));

    let endless = Seller::start(vec![offer(2_000)], vec![Paid::AtWork]).await;
    buyer.client.fetch(request(&endless), CallLimits::default()).await.unwrap();
    assert_eq!(endless.payments().len(), 6, "it is not asked for ever");
}

#[tokio::test]
async fn an_unreachable_chain_releases_nothing() {
    // The first one fills the budget, and has long expired when the second needs the room.
    let seller = Seller::start(vec![offer(1_000_000)], vec![Paid::Refuses]).await;
    let buyer = buyer(POLICY);
    buyer.client.fetch(request(&seller), CallLimits::default()).await.unwrap();
    buyer.clock.advance(Duration::from_secs(86_400));
    let refused = buyer.client.fetch(request(&seller), CallLimits::default()).await.unwrap_err();
    assert!(matches!(refused, FetchError::Wallet(WalletError::Denied(_))), "{refused}");
    let probed = buyer.client.probe(&request(&seller), &CallLimits::default()).await.unwrap();
    let Probe::Priced { appraisal, .. } = probed else { panic!("it has a price") };
    assert!(appraisal.denied.is_some());
    assert_eq!((buyer.state().await, buyer.count().await), (PurchaseState::Unknown, 1));
    assert_eq!(seller.payments().len(), 1);
}

#[tokio::test]
async fn unpayable_offers_are_named() {
    let mut unknown = offer(1);
    unknown.asset = "0x1111111111111111111111111111111111111111".into();
    let mut scheme = offer(2);
    scheme.scheme = "upto".into();
    let mut domain = offer(3);
    domain.extra = Object::default();
    let mut escrow = offer(4);
    escrow.extra = serde_json::from_str(r#"{"name":"USDC","version":"2","paymentFlow":"escrow"}"#).unwrap();
    let seller = Seller::start(vec![unknown, scheme, domain, escrow], vec![Paid::Settles]).await;
    let error =
        buyer(POLICY).client.fetch(request(&seller), CallLimits::default()).await.unwrap_err().to_string();
    for word in ["is not known", "upto", "extra.name", "escrow"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(seller.payments().is_empty());
}

#[tokio::test]
async fn plain_http_is_paid_on_this_machine_only() {
    let buyer = buyer(POLICY);
    let purchase = PurchaseId("01NONE".into());
    let elsewhere = Request::get("http://api.example.com/goods").unwrap();
    let error = buyer.client.resume(elsewhere, &purchase).await.unwrap_err();
    assert!(matches!(&error, FetchError::PlainHttp(host) if host == "api.example.com"), "{error}");
}
