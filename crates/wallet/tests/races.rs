//! What two processes do to one purchase at once: `reconcile` against a call under way, and a payment sent again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use farthing_ambient::{Entropy, SeededEntropy, TestClock, Timestamp};
use farthing_ledger::{
    Ledger, NewPurchase, Outcome, Purchase, PurchaseId, PurchaseState, Reserved, ResponseRecord, SignedRecord,
};
use farthing_money::{Asset, BaseUnits, Network, Registry, Usd};
use farthing_policy::{Limit, Measure, Policy, Window};
use farthing_protocol::x402::{Paywall, ResourceInfo};
use farthing_protocol::{Challenge, PaymentKey, Requirements};
use farthing_rail::{Payer, PaymentState, RailError, SignedPayment};
use farthing_wallet::{
    CallLimits, LocalWallet, LocalWalletConfig, PurchaseResult, Request, Wallet as _, WalletError,
};
use tokio::sync::{Notify, Semaphore};

const NOW: i64 = 1_800_000_000;

/// A chain that answers when it is told to.
#[derive(Debug)]
struct Chain {
    state: PaymentState,
    asked: Notify,
    answers: Semaphore,
}

impl Chain {
    fn new(state: PaymentState) -> Arc<Self> {
        Arc::new(Self { state, asked: Notify::new(), answers: Semaphore::new(0) })
    }

    /// Says that no payment was used until long after it had expired.
    fn unused() -> Arc<Self> {
        Self::new(PaymentState::Unused { chain_time: Timestamp::from_second(NOW + 100_000).unwrap() })
    }
}

#[derive(Debug)]
struct OnChain(Arc<Chain>);

#[async_trait]
impl Payer for OnChain {
    fn networks(&self) -> Vec<Network> {
        vec![Network::BASE_SEPOLIA]
    }

    fn address(&self, network: &Network) -> Option<String> {
        (*network == Network::BASE_SEPOLIA).then(|| "0x00000000000000000000000000000000000000aa".to_owned())
    }

    fn can_pay(&self, _: &Requirements, _: &Asset) -> Result<(), RailError> {
        Ok(())
    }

    fn sign(
        &self,
        _: &Requirements,
        _: &Asset,
        _: Timestamp,
        _: &dyn Entropy,
    ) -> Result<SignedPayment, RailError> {
        Err(RailError::Locked("nobody signs here".to_owned()))
    }

    async fn balance(&self, _: &Asset) -> Result<BaseUnits, RailError> {
        Ok(BaseUnits::new(5_000_000))
    }

    async fn lookup(&self, _: &Network, _: &PaymentKey, _: Timestamp) -> Result<PaymentState, RailError> {
        self.0.asked.notify_one();
        self.0.answers.acquire().await.unwrap().forget();
        Ok(self.0.state.clone())
    }
}

struct Buyer {
    wallet: Arc<LocalWallet>,
    ledger: Ledger,
    clock: Arc<TestClock>,
}

fn buyer(chain: &Arc<Chain>) -> Buyer {
    let clock = Arc::new(TestClock::at_unix_second(NOW));
    let ledger = Ledger::in_memory(clock.clone()).unwrap();
    let policy =
        "version: 1\npayments:\n  max: none\n  budgets: [{name: ever, max: \"$1\", per: lifetime}]\n";
    let wallet = LocalWallet::new(LocalWalletConfig {
        payers: vec![Arc::new(OnChain(chain.clone()))],
        registry: Registry::builtin(),
        policy: Policy::parse(policy).unwrap().into(),
        ledger: ledger.clone(),
        preference: Vec::new(),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(2)),
    });
    Buyer { wallet: Arc::new(wallet), ledger, clock }
}

fn id(name: &str) -> PurchaseId {
    PurchaseId(name.to_owned())
}

impl Buyer {
    /// Reserves a dollar.
    async fn reserve(&self, name: &str) {
        let purchase = NewPurchase {
            id: id(name),
            method: "GET".into(),
            url: "https://api.example.com/goods".into(),
            request_digest: "d".into(),
            protocol: "x402-v2".into(),
            scheme: "exact".into(),
            network: Network::BASE_SEPOLIA,
            asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
            amount: BaseUnits::new(1_000_000),
            value: Usd::new(10u128.pow(18)),
            pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
            payer: "0x00000000000000000000000000000000000000aa".into(),
            offer: "{}".into(),
            policy_hash: String::new(),
            agent: None,
            session: None,
        };
        let most = Measure::Amount(Usd::new(9 * 10u128.pow(18)));
        let limit = Limit::new("ever", "all", Window::Lifetime, most);
        let reserved = self.ledger.reserve(purchase, vec![limit]).await.unwrap();
        assert!(matches!(reserved, Reserved::Granted { .. }));
    }

    async fn sign(&self, name: &str) {
        let nonce = [name.as_bytes()[0]; 32];
        let record = SignedRecord {
            key: PaymentKey::eip3009(&Network::BASE_SEPOLIA, [1; 20], [2; 20], nonce),
            header_name: "payment-signature".into(),
            header_value: "e30=".into(),
            valid_before: Timestamp::from_second(NOW + 60).unwrap(),
        };
        self.ledger.signed(&id(name), record).await.unwrap();
    }

    async fn purchase(&self, name: &str) -> Purchase {
        self.ledger.purchase(&id(name)).await.unwrap()
    }
}

fn paid(transaction: &str) -> Outcome {
    Outcome::Paid { transaction: Some(transaction.into()) }
}

fn unknown() -> Outcome {
    Outcome::Unknown { why: "it did not say".into() }
}

fn response(status: u16) -> ResponseRecord {
    ResponseRecord {
        status,
        content_type: None,
        body_digest: "00".into(),
        body_bytes: 0,
        body_file: None,
        settlement: None,
    }
}

#[tokio::test]
async fn what_is_signed_while_the_chain_is_asked_about_others_is_not_released() {
    let chain = Chain::unused();
    let buyer = buyer(&chain);
    buyer.reserve("a").await;
    buyer.sign("a").await;
    // Its owner takes more than a minute to type the passphrase.
    buyer.reserve("b").await;
    buyer.clock.advance(Duration::from_secs(100));
    let wallet = buyer.wallet.clone();
    let reconcile = tokio::spawn(async move { wallet.reconcile().await });
    chain.asked.notified().await;
    buyer.sign("b").await;
    chain.answers.add_permits(1);
    let reconciled = reconcile.await.unwrap().unwrap();
    assert_eq!(reconciled.len(), 2);
    assert_eq!(buyer.purchase("a").await.state, PurchaseState::NotPaid);
    assert_eq!(buyer.purchase("b").await.state, PurchaseState::Signed, "its payment may be on its way");
}

#[tokio::test]
async fn a_purchase_that_ended_meanwhile_does_not_stop_the_others() {
    let chain = Chain::unused();
    let buyer = buyer(&chain);
    for name in ["a", "b"] {
        buyer.reserve(name).await;
        buyer.sign(name).await;
    }
    let wallet = buyer.wallet.clone();
    let reconcile = tokio::spawn(async move { wallet.reconcile().await });
    chain.asked.notified().await;
    // `b` is looked at first, being newer.
    buyer.ledger.finish(&id("b"), paid("0xb")).await.unwrap();
    chain.answers.add_permits(2);
    let reconciled = reconcile.await.unwrap().unwrap();
    assert!(reconciled[0].outcome.as_ref().unwrap_err().to_string().contains("paid"), "{reconciled:?}");
    assert_eq!(buyer.purchase("a").await.state, PurchaseState::NotPaid);
    assert_eq!(buyer.purchase("b").await.state, PurchaseState::Paid);
}

#[tokio::test]
async fn an_answer_after_reconcile_is_kept_and_the_chain_is_believed() {
    let chain = Chain::unused();
    let buyer = buyer(&chain);
    for (name, known, said) in [
        ("a", paid("0xa"), unknown()),
        ("b", paid("0xb"), paid("0xlie")),
        ("c", Outcome::NotPaid { why: "expired".into() }, unknown()),
        ("d", Outcome::NotPaid { why: "expired".into() }, paid("0xlie")),
    ] {
        buyer.reserve(name).await;
        buyer.sign(name).await;
        buyer.ledger.finish(&id(name), known.clone()).await.unwrap();
        let result = PurchaseResult { response: Some(response(200)), outcome: said };
        assert_eq!(buyer.wallet.record(&id(name), result).await.unwrap(), known, "{name}");
        let kept = (known.state() == PurchaseState::Paid).then(|| response(200));
        assert_eq!(buyer.purchase(name).await.response, kept, "{name}");
    }
}

#[tokio::test]
async fn the_answer_to_a_payment_sent_again_ends_the_purchase() {
    let buyer = buyer(&Chain::unused());
    buyer.reserve("a").await;
    buyer.sign("a").await;
    let first = PurchaseResult { response: Some(response(502)), outcome: unknown() };
    assert_eq!(buyer.wallet.record(&id("a"), first).await.unwrap(), unknown());
    let second = PurchaseResult { response: Some(response(200)), outcome: paid("0xa") };
    assert_eq!(buyer.wallet.record(&id("a"), second).await.unwrap(), paid("0xa"));
    assert_eq!(buyer.purchase("a").await.state, PurchaseState::Paid);
}

/// A call that costs as much as the whole budget.
fn asked_a_dollar() -> (Request, Challenge) {
    let offer = Requirements {
        scheme: "exact".into(),
        network: Network::BASE_SEPOLIA,
        amount: BaseUnits::new(1_000_000),
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        max_timeout_seconds: 60,
        extra: serde_json::from_str(r#"{"name":"USDC","version":"2"}"#).unwrap(),
    };
    let request = Request::get("https://api.example.com/goods").unwrap();
    let paywall = Paywall::new(&ResourceInfo::new(request.url.clone()), &[offer]).unwrap();
    let challenge = Challenge::read(Some(paywall.v2_header().as_bytes()), b"").unwrap();
    (request, challenge)
}

/// What `check` says is what `fetch` would do: what has expired does not stand in the way.
#[tokio::test]
async fn an_appraisal_gives_back_what_has_expired() {
    let chain = Chain::unused();
    let buyer = buyer(&chain);
    buyer.reserve("a").await;
    buyer.sign("a").await;
    let (request, challenge) = asked_a_dollar();
    let limits = CallLimits::default();
    let appraise = || buyer.wallet.appraise(&request, &challenge, &limits);
    assert!(appraise().await.unwrap().denied.is_some(), "it could still be settled");
    buyer.clock.advance(Duration::from_secs(1_000));
    chain.answers.add_permits(1);
    let appraisal = appraise().await.unwrap();
    assert!(appraisal.denied.is_none(), "{:?}", appraisal.denied);
    assert_eq!(buyer.purchase("a").await.state, PurchaseState::NotPaid);
}

#[tokio::test]
async fn a_silent_chain_does_not_keep_a_refusal_waiting() {
    let chain = Chain::unused();
    let buyer = buyer(&chain);
    buyer.reserve("a").await;
    buyer.sign("a").await;
    buyer.clock.advance(Duration::from_secs(1_000));
    let (request, challenge) = asked_a_dollar();
    let wallet = buyer.wallet.clone();
    let refused =
        tokio::spawn(async move { wallet.authorize(&request, &challenge, &CallLimits::default()).await });
    chain.asked.notified().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(30)).await;
    tokio::time::resume();
    let refused =
        tokio::time::timeout(Duration::from_secs(60), refused).await.expect("it is bounded").unwrap();
    assert!(matches!(refused, Err(WalletError::Denied(_))), "{refused:?}");
}
