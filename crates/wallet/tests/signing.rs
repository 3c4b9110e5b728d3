//! What a payment that was signed holds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use farthing_ambient::{Clock as _, Entropy, SeededEntropy, TestClock};
use farthing_ledger::Ledger;
use farthing_money::{BaseUnits, Network, Registry};
use farthing_policy::Policy;
use farthing_protocol::x402::{Payment, PaymentId, PaymentIdentifier, Paywall, ResourceInfo};
use farthing_protocol::{Challenge, Requirements};
use farthing_rail::Payer as _;
use farthing_rail_evm::{ChainConfig, EvmPayer};
use farthing_wallet::{CallLimits, LocalWallet, LocalWalletConfig, Request, Wallet as _};

struct Buyer {
    wallet: LocalWallet,
    clock: Arc<TestClock>,
}

/// A wallet whose key is unlocked after this time.
fn buyer(unlocks_in: Duration) -> Buyer {
    let clock = Arc::new(TestClock::at_unix_second(1_800_000_000));
    let secret = secp256k1::SecretKey::from_byte_array([7; 32]).unwrap();
    let chain = [ChainConfig::new(Network::BASE_SEPOLIA, vec!["http://127.0.0.1:9".parse().unwrap()])];
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
    let address = EvmPayer::new(secret, &chain, &entropy).unwrap().address(&Network::BASE_SEPOLIA).unwrap();
    let person = clock.clone();
    let unlock = Box::new(move || {
        person.advance(unlocks_in);
        Ok(secret)
    });
    let wallet = LocalWallet::new(LocalWalletConfig {
        payers: vec![Arc::new(EvmPayer::locked(&address, unlock, &chain, &entropy).unwrap())],
        registry: Registry::builtin(),
        policy: Policy::parse("version: 1\npayments: {max: \"$1\"}\n").unwrap().into(),
        ledger: Ledger::in_memory(clock.clone()).unwrap(),
        preference: Vec::new(),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(2)),
    });
    Buyer { wallet, clock }
}

fn request() -> Request {
    Request::get("https://api.example.com/goods").unwrap()
}

/// A 402 of a seller who insists on an id.
fn challenge() -> Challenge {
    let terms = Requirements {
        scheme: "exact".into(),
        network: Network::BASE_SEPOLIA,
        amount: BaseUnits::new(2_000),
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        max_timeout_seconds: 60,
        extra: serde_json::from_str(r#"{"name":"USDC","version":"2"}"#).unwrap(),
    };
    let paywall = Paywall::new(&ResourceInfo::new(request().url.clone()), &[terms]).unwrap();
    let paywall = paywall.with_extensions(PaymentIdentifier::declare(None, true).unwrap()).unwrap();
    Challenge::read(Some(paywall.v2_header().as_bytes()), b"").unwrap()
}

#[tokio::test]
async fn a_payment_is_valid_from_when_the_passphrase_was_there() {
    let buyer = buyer(Duration::from_secs(50));
    let signed = buyer
        .wallet
        .authorize(&request(), &challenge(), &CallLimits::default())
        .await
        .unwrap()
        .purchase
        .signed;
    let left = signed.unwrap().valid_before.as_second() - buyer.clock.now().as_second();
    assert_eq!(left, 60, "the seller has all the time that it asked for");
}

#[tokio::test]
async fn a_seller_who_insists_on_an_id_gets_one_per_purchase() {
    let wallet = buyer(Duration::ZERO).wallet;
    let mut seen = Vec::<PaymentId>::new();
    for _ in 0..2 {
        let signed = wallet.authorize(&request(), &challenge(), &CallLimits::default()).await.unwrap();
        let again = wallet.resume(&request(), &signed.purchase.terms.id).await.unwrap();
        assert_eq!(signed.header_value, again.header_value);
        let payment = Payment::from_header(&signed.header_name, signed.header_value.as_bytes()).unwrap();
        let id = PaymentIdentifier::read(payment.extensions()).unwrap().unwrap().id.unwrap();
        assert!(!id.as_str().contains(&signed.purchase.terms.id.0) && !seen.contains(&id));
        seen.push(id);
    }
}
