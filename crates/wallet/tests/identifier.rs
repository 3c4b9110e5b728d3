//! The id that a seller may ask for with a payment.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use farthing_ambient::{SeededEntropy, TestClock};
use farthing_ledger::Ledger;
use farthing_money::{BaseUnits, Network, Registry};
use farthing_policy::Policy;
use farthing_protocol::x402::{Payment, PaymentId, PaymentIdentifier, Paywall, ResourceInfo};
use farthing_protocol::{Challenge, Requirements};
use farthing_rail_evm::{ChainConfig, EvmPayer};
use farthing_wallet::{CallLimits, LocalWallet, LocalWalletConfig, Request, Wallet as _};

fn wallet() -> LocalWallet {
    let clock = Arc::new(TestClock::at_unix_second(1_800_000_000));
    let secret = secp256k1::SecretKey::from_byte_array([7; 32]).unwrap();
    let chain = ChainConfig::new(Network::BASE_SEPOLIA, vec!["http://127.0.0.1:9".parse().unwrap()]);
    let payer = EvmPayer::new(secret, &[chain], &(Arc::new(SeededEntropy::new(1)) as _)).unwrap();
    LocalWallet::new(LocalWalletConfig {
        payers: vec![Arc::new(payer)],
        registry: Registry::builtin(),
        policy: Policy::parse("version: 1\npayments: {max: \"$1\"}\n").unwrap(),
        ledger: Ledger::in_memory(clock.clone()).unwrap(),
        preference: Vec::new(),
        clock,
        entropy: Arc::new(SeededEntropy::new(2)),
    })
}

#[tokio::test]
async fn a_seller_who_insists_on_an_id_gets_one_per_purchase() {
    let terms = Requirements {
        scheme: "exact".into(),
        network: Network::BASE_SEPOLIA,
        amount: BaseUnits::new(2_000),
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        max_timeout_seconds: 60,
        extra: serde_json::from_str(r#"{"name":"USDC","version":"2"}"#).unwrap(),
    };
    let request = Request::get("https://api.example.com/goods").unwrap();
    let paywall = Paywall::new(&ResourceInfo::new(request.url.clone()), &[terms]).unwrap();
    let declared = PaymentIdentifier::declare(None, true).unwrap();
    let paywall = paywall.with_extensions(declared).unwrap();
    let challenge = Challenge::read(Some(paywall.v2_header().as_bytes()), b"").unwrap();
    let wallet = wallet();
    let mut seen = Vec::<PaymentId>::new();
    for _ in 0..2 {
        let signed = wallet.authorize(&request, &challenge, &CallLimits::default()).await.unwrap();
        let again = wallet.resume(&request, &signed.purchase.terms.id).await.unwrap();
        assert_eq!(signed.header_value, again.header_value);
        let payment = Payment::from_header(&signed.header_name, signed.header_value.as_bytes()).unwrap();
        let id = PaymentIdentifier::read(payment.extensions()).unwrap().unwrap().id.unwrap();
        assert!(!id.as_str().contains(&signed.purchase.terms.id.0) && !seen.contains(&id));
        seen.push(id);
    }
}
