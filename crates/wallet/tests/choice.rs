//! Which of several offers is paid. The payer's balances are scripted; everything else is real.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use farthing_ambient::{Entropy, SeededEntropy, TestClock, Timestamp};
use farthing_ledger::Ledger;
use farthing_money::{Asset, BaseUnits, Network, Registry};
use farthing_policy::Policy;
use farthing_protocol::x402::{Paywall, ResourceInfo};
use farthing_protocol::{Challenge, Object, PaymentKey, Requirements};
use farthing_rail::{Payer, PaymentState, RailError, SignedPayment};
use farthing_rail_evm::{ChainConfig, EvmPayer};
use farthing_wallet::{CallLimits, LocalWallet, LocalWalletConfig, Request, Wallet as _};

/// Pays as an [`EvmPayer`] does, and holds what the test says: on Base first, then on Base Sepolia.
#[derive(Debug)]
struct Holding(EvmPayer, [Option<u128>; 2]);

#[async_trait]
impl Payer for Holding {
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
        t: &Requirements,
        a: &Asset,
        now: Timestamp,
        e: &dyn Entropy,
    ) -> Result<SignedPayment, RailError> {
        self.0.sign(t, a, now, e)
    }

    async fn balance(&self, asset: &Asset) -> Result<BaseUnits, RailError> {
        let held = self.1[usize::from(asset.network == Network::BASE_SEPOLIA)];
        let silent = || RailError::Unavailable { network: asset.network.clone(), why: "scripted".into() };
        held.map(BaseUnits::new).ok_or_else(silent)
    }

    async fn lookup(&self, n: &Network, k: &PaymentKey, since: Timestamp) -> Result<PaymentState, RailError> {
        self.0.lookup(n, k, since).await
    }
}

fn wallet(held: [Option<u128>; 2], preference: Vec<Network>) -> LocalWallet {
    let clock = Arc::new(TestClock::at_unix_second(1_800_000_000));
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
    let secret = secp256k1::SecretKey::from_byte_array([7; 32]).unwrap();
    let chains = [Network::BASE, Network::BASE_SEPOLIA]
        .map(|network| ChainConfig::new(network, vec!["http://127.0.0.1:9".parse().unwrap()]));
    let payer = EvmPayer::new(secret, &chains, &entropy).unwrap();
    LocalWallet::new(LocalWalletConfig {
        payers: vec![Arc::new(Holding(payer, held))],
        registry: Registry::builtin(),
        policy: Policy::parse("version: 1\npayments: {max: \"$1\"}\n").unwrap().into(),
        ledger: Ledger::in_memory(clock.clone()).unwrap(),
        preference,
        clock,
        entropy,
    })
}

/// The same call for these prices on Base and on Base Sepolia.
async fn paid_on(wallet: &LocalWallet, prices: [u128; 2]) -> Network {
    let registry = Registry::builtin();
    let offer = |(network, price): (Network, u128)| {
        let usdc = registry.usdc(&network).unwrap();
        let domain = usdc.eip712.clone().unwrap();
        let extra = serde_json::json!({"name": domain.name, "version": domain.version});
        Requirements {
            scheme: "exact".into(),
            amount: BaseUnits::new(price),
            asset: usdc.address.clone(),
            pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
            max_timeout_seconds: 60,
            extra: Object(extra.as_object().unwrap().clone()),
            network,
        }
    };
    let offers: Vec<_> = [Network::BASE, Network::BASE_SEPOLIA].into_iter().zip(prices).map(offer).collect();
    let request = Request::get("https://api.example.com/goods").unwrap();
    let paywall = Paywall::new(&ResourceInfo::new("https://api.example.com/goods"), &offers).unwrap();
    let challenge = Challenge::read(Some(paywall.v2_header().as_bytes()), b"").unwrap();
    wallet.authorize(&request, &challenge, &CallLimits::default()).await.unwrap().purchase.terms.network
}

#[tokio::test]
async fn price_then_preference_then_balance() {
    let richer_on_sepolia = [Some(2_000), Some(5_000_000)];
    let no_preference = wallet(richer_on_sepolia, Vec::new());
    assert_eq!(paid_on(&no_preference, [2_000, 2_000]).await, Network::BASE_SEPOLIA, "the balance decides");
    assert_eq!(paid_on(&no_preference, [1_999, 2_000]).await, Network::BASE, "the price comes first");
    let prefers_base = wallet(richer_on_sepolia, vec![Network::BASE]);
    assert_eq!(paid_on(&prefers_base, [2_000, 2_000]).await, Network::BASE, "the preference comes before it");
    let empty_on_base = wallet([Some(10), Some(5_000_000)], vec![Network::BASE]);
    assert_eq!(paid_on(&empty_on_base, [1_000, 2_000]).await, Network::BASE_SEPOLIA, "where there is money");
}

#[tokio::test]
async fn a_silent_chain_is_no_reason_not_to_pay() {
    assert_eq!(paid_on(&wallet([None, None], Vec::new()), [2_000, 2_000]).await, Network::BASE);
    assert_eq!(
        paid_on(&wallet([None, Some(9_000)], Vec::new()), [2_000, 2_000]).await,
        Network::BASE_SEPOLIA
    );
}
