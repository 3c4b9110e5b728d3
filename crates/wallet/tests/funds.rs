//! A wallet without money says so before it signs, and a chain that does not answer stops nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use farthing_ambient::{Entropy, SeededEntropy, TestClock, Timestamp};
use farthing_ledger::{Ledger, PurchaseFilter};
use farthing_money::{Asset, BaseUnits, Network, Registry};
use farthing_policy::Policy;
use farthing_protocol::x402::{Paywall, ResourceInfo};
use farthing_protocol::{Challenge, PaymentKey, Requirements};
use farthing_rail::{Payer, PaymentState, RailError, SignedPayment};
use farthing_rail_evm::{ChainConfig, EvmPayer};
use farthing_wallet::{
    CallLimits, LocalWallet, LocalWalletConfig, Request, Verdict, Wallet as _, WalletError,
};

/// What a chain says when it is asked for the balance.
#[derive(Debug, Clone, Copy)]
enum Says {
    Holds(u128),
    Fails,
    Nothing,
}

#[derive(Debug)]
struct Scripted(EvmPayer, Arc<Mutex<VecDeque<Says>>>);

#[async_trait]
impl Payer for Scripted {
    fn networks(&self) -> Vec<Network> {
        self.0.networks()
    }

    fn address(&self, network: &Network) -> Option<String> {
        self.0.address(network)
    }

    fn can_pay(&self, terms: &Requirements, asset: &Asset) -> Result<(), RailError> {
        self.0.can_pay(terms, asset)
    }

    fn sign(
        &self,
        terms: &Requirements,
        asset: &Asset,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<SignedPayment, RailError> {
        self.0.sign(terms, asset, now, entropy)
    }

    /// Panics when it is asked once more than the script foresees.
    async fn balance(&self, asset: &Asset) -> Result<BaseUnits, RailError> {
        let says = self.1.lock().unwrap().pop_front().expect("the chain is not asked so often");
        match says {
            Says::Holds(held) => Ok(BaseUnits::new(held)),
            Says::Fails => {
                Err(RailError::Unavailable { network: asset.network.clone(), why: "scripted".into() })
            }
            Says::Nothing => std::future::pending().await,
        }
    }

    async fn lookup(&self, n: &Network, k: &PaymentKey, since: Timestamp) -> Result<PaymentState, RailError> {
        self.0.lookup(n, k, since).await
    }
}

struct Buyer {
    wallet: LocalWallet,
    ledger: Ledger,
    clock: Arc<TestClock>,
    script: Arc<Mutex<VecDeque<Says>>>,
}

fn buyer(script: &[Says]) -> Buyer {
    let clock = Arc::new(TestClock::at_unix_second(1_800_000_000));
    let secret = secp256k1::SecretKey::from_byte_array([7; 32]).unwrap();
    let chain = ChainConfig::new(Network::BASE_SEPOLIA, vec!["http://127.0.0.1:9".parse().unwrap()]);
    let payer = EvmPayer::new(secret, &[chain], &(Arc::new(SeededEntropy::new(1)) as _)).unwrap();
    let script = Arc::new(Mutex::new(script.iter().copied().collect()));
    let ledger = Ledger::in_memory(clock.clone()).unwrap();
    let wallet = LocalWallet::new(LocalWalletConfig {
        payers: vec![Arc::new(Scripted(payer, Arc::clone(&script)))],
        registry: Registry::builtin(),
        policy: Policy::parse("version: 1\npayments: {max: \"$1\"}\n").unwrap().into(),
        ledger: ledger.clone(),
        preference: Vec::new(),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(2)),
    });
    Buyer { wallet, ledger, clock, script }
}

fn challenge(amounts: &[u128]) -> Challenge {
    let offer = |amount: &u128| Requirements {
        scheme: "exact".into(),
        network: Network::BASE_SEPOLIA,
        amount: BaseUnits::new(*amount),
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        max_timeout_seconds: 60,
        extra: serde_json::from_str(r#"{"name":"USDC","version":"2"}"#).unwrap(),
    };
    let offers: Vec<_> = amounts.iter().map(offer).collect();
    let paywall = Paywall::new(&ResourceInfo::new("https://api.example.com/goods"), &offers).unwrap();
    Challenge::read(Some(paywall.v2_header().as_bytes()), b"").unwrap()
}

impl Buyer {
    async fn pay(&self, amounts: &[u128]) -> Result<u128, WalletError> {
        let request = Request::get("https://api.example.com/goods").unwrap();
        let paid = self.wallet.authorize(&request, &challenge(amounts), &CallLimits::default()).await?;
        Ok(paid.purchase.terms.amount.get())
    }

    fn chain_was_asked_for_all(&self) -> bool {
        self.script.lock().unwrap().is_empty()
    }
}

#[tokio::test]
async fn an_empty_wallet_says_what_is_missing_and_signs_nothing() {
    let buyer = buyer(&[Says::Holds(1_500), Says::Holds(1_500)]);
    let error = buyer.pay(&[2_000, 3_000]).await.unwrap_err();
    assert!(matches!(error, WalletError::Short(_)), "{error}");
    assert!(error.to_string().contains("$0.0005 is missing"), "{error}");
    assert!(
        buyer.ledger.purchases(PurchaseFilter::default()).await.unwrap().is_empty(),
        "nothing is reserved"
    );
    // `check` says the same.
    let request = Request::get("https://api.example.com/goods").unwrap();
    let appraisal =
        buyer.wallet.appraise(&request, &challenge(&[2_000]), &CallLimits::default()).await.unwrap();
    assert!(appraisal.chosen.is_none() && matches!(appraisal.offers[0].1, Verdict::Short { .. }));
    assert!(buyer.chain_was_asked_for_all());
}

#[tokio::test(start_paused = true)]
async fn a_silent_or_failing_chain_is_waited_for_once_and_stops_nothing() {
    for says in [Says::Nothing, Says::Fails] {
        let buyer = buyer(&[says]);
        let began = tokio::time::Instant::now();
        for _ in 0..3 {
            assert_eq!(buyer.pay(&[2_000]).await.unwrap(), 2_000, "{says:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{says:?}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn the_chain_is_asked_once_a_minute_and_what_is_signed_is_counted() {
    let buyer = buyer(&[Says::Holds(5_000), Says::Holds(1_000), Says::Holds(9_000), Says::Holds(7_000)]);
    // 5,000 cover two; what is left does not cover the third, so the chain is asked again, and has only 1,000.
    for paid in [Some(2_000), Some(2_000), None] {
        assert_eq!(buyer.pay(&[2_000]).await.ok(), paid);
    }
    // Money came.
    assert_eq!(buyer.pay(&[2_000]).await.unwrap(), 2_000);
    buyer.clock.advance(Duration::from_secs(61));
    assert_eq!(buyer.pay(&[2_000]).await.unwrap(), 2_000);
    assert!(buyer.chain_was_asked_for_all());
}
