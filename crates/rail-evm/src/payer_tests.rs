use farthing_ambient::SeededEntropy;
use farthing_money::Registry;
use serde_json::{Value, json};

use super::*;
use crate::key::{canonical, recover};

fn payer() -> EvmPayer {
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
    let chain = ChainConfig::public(&Network::BASE_SEPOLIA).unwrap();
    EvmPayer::new(SecretKey::from_byte_array([7; 32]).unwrap(), &[chain], &entropy).unwrap()
}

fn usdc() -> Arc<Asset> {
    Registry::builtin().usdc(&Network::BASE_SEPOLIA).unwrap().clone()
}

fn terms(change: impl FnOnce(&mut Requirements)) -> Requirements {
    let mut terms = Requirements {
        scheme: "exact".into(),
        network: Network::BASE_SEPOLIA,
        amount: BaseUnits::new(2500),
        asset: usdc().address.to_lowercase(),
        pay_to: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC".into(),
        max_timeout_seconds: 60,
        extra: serde_json::from_value(json!({"name": "USDC", "version": "2"})).unwrap(),
    };
    change(&mut terms);
    terms
}

fn extra(terms: &mut Requirements, key: &str, value: Value) {
    terms.extra.0.insert(key.to_owned(), value);
}

#[test]
fn signs_exactly_the_terms() {
    let (payer, terms) = (payer(), terms(|_| {}));
    let now = Timestamp::from_second(1_767_225_600).unwrap();
    let signed = payer.sign(&terms, &usdc(), now, &SeededEntropy::new(2)).unwrap();
    assert_eq!(signed.key, PaymentKey::of(&terms, &signed.payload).unwrap());
    assert_eq!(signed.valid_before.as_second(), 1_767_225_660);
    assert_eq!(Some(signed.payer), payer.address(&Network::BASE_SEPOLIA));

    let wire: ExactEvmPayload = serde_json::from_str(signed.payload.get()).unwrap();
    assert_eq!(wire.authorization.valid_after, "0");
    assert_eq!(wire.authorization.valid_before, "1767225660");
    assert_eq!((wire.authorization.value.as_str(), &wire.authorization.to), ("2500", &terms.pay_to));
    let read = Authorization::read(&wire.authorization).unwrap();
    let signature = canonical(&wire.signature.parse::<Bytes>().unwrap()).unwrap();
    assert_eq!(signature.to_vec(), wire.signature.parse::<Bytes>().unwrap(), "canonical already");
    let digest = read.digest(&Token::of(&usdc()).unwrap().separator);
    assert_eq!(recover(&digest, &signature), Some(payer.address));
}

#[test]
fn every_payment_has_a_nonce_of_its_own() {
    let (payer, terms, entropy) = (payer(), terms(|_| {}), SeededEntropy::new(2));
    let sign = || payer.sign(&terms, &usdc(), Timestamp::from_second(1).unwrap(), &entropy).unwrap().key;
    assert_ne!(sign(), sign());
}

#[test]
fn refuses_what_it_cannot_or_should_not_sign() {
    let refused: [(&str, Requirements); 14] = [
        ("scheme", terms(|t| t.scheme = "upto".into())),
        ("no RPC endpoint", terms(|t| t.network = Network::BASE)),
        ("asset", terms(|t| t.asset = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into())),
        ("`payTo`", terms(|t| t.pay_to = "0x0000000000000000000000000000000000000000".into())),
        ("`payTo`", terms(|t| t.pay_to = "alice.eth".into())),
        ("maxTimeoutSeconds", terms(|t| t.max_timeout_seconds = 0)),
        ("maxTimeoutSeconds", terms(|t| t.max_timeout_seconds = MAX_TIMEOUT_SECONDS + 1)),
        ("lacks `extra.name`", terms(|t| drop(t.extra.0.remove("name")))),
        ("lacks `extra.version`", terms(|t| extra(t, "version", json!(2)))),
        ("signs under `USDC`", terms(|t| extra(t, "name", json!("USD Coin")))),
        ("signs under `2`", terms(|t| extra(t, "version", json!("1")))),
        ("transfer method", terms(|t| extra(t, "assetTransferMethod", json!("permit2")))),
        ("escrow", terms(|t| extra(t, "paymentFlow", json!("escrow")))),
        ("paymentFlow", terms(|t| extra(t, "paymentFlow", json!("barter")))),
    ];
    let now = Timestamp::from_second(1_767_225_600).unwrap();
    for (words, terms) in refused {
        let error = payer().sign(&terms, &usdc(), now, &SeededEntropy::new(2)).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    for accepted in [
        terms(|t| extra(t, "assetTransferMethod", json!("eip3009"))),
        terms(|t| extra(t, "assetTransferMethod", Value::Null)),
        terms(|t| extra(t, "paymentFlow", json!("upfront"))),
        terms(|t| t.max_timeout_seconds = MAX_TIMEOUT_SECONDS),
    ] {
        payer().can_pay(&accepted, &usdc()).unwrap();
    }
}

#[test]
fn a_sellers_words_are_cut_and_escaped() {
    let long = format!("\u{1b}[31m{}", "x".repeat(30_000));
    for refused in [terms(|t| t.scheme = long.clone()), terms(|t| extra(t, "name", json!(long)))] {
        let error = payer().can_pay(&refused, &usdc()).unwrap_err().to_string();
        assert!(error.len() < 300 && error.contains(r"\u{1b}[31mxx"), "{error}");
    }
}

#[derive(Debug)]
struct Nothing;

impl Entropy for Nothing {
    fn fill(&self, _: &mut [u8]) -> Result<(), farthing_ambient::NoEntropy> {
        Err(farthing_ambient::NoEntropy)
    }
}

#[test]
fn nothing_is_signed_without_randomness() {
    let now = Timestamp::from_second(1_767_225_600).unwrap();
    let error = payer().sign(&terms(|_| {}), &usdc(), now, &Nothing).unwrap_err();
    assert!(matches!(error, RailError::NoEntropy(_)));
}

#[test]
fn the_secret_is_not_shown() {
    let shown = format!("{:?}", payer());
    assert!(!shown.contains("0707") && shown.contains("0x"), "{shown}");
}

#[test]
fn a_key_of_another_network_is_refused() {
    let key = PaymentKey::eip3009(&Network::BASE, [1; 20], [2; 20], [3; 32]);
    assert!(nonce_of(&Network::BASE, &key).is_ok());
    assert!(nonce_of(&Network::BASE_SEPOLIA, &key).is_err());
}

#[test]
fn a_locked_key_is_unlocked_once_and_must_be_the_right_one() {
    let (entropy, unlocked): (Arc<dyn Entropy>, _) = (Arc::new(SeededEntropy::new(1)), payer());
    let chain = [ChainConfig::public(&Network::BASE_SEPOLIA).unwrap()];
    let address = unlocked.address(&Network::BASE_SEPOLIA).unwrap();
    let times = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let locked = |secret: [u8; 32]| {
        let times = times.clone();
        let unlock: UnlockKey = Box::new(move || {
            times.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(SecretKey::from_byte_array(secret).unwrap())
        });
        EvmPayer::locked(&address, unlock, &chain, &entropy).unwrap()
    };
    let sign = |payer: &EvmPayer| {
        payer.sign(&terms(|_| {}), &usdc(), Timestamp::from_second(1).unwrap(), &SeededEntropy::new(2))
    };
    let right = locked([7; 32]);
    right.can_pay(&terms(|_| {}), &usdc()).unwrap();
    assert_eq!(times.load(std::sync::atomic::Ordering::SeqCst), 0, "looking needs no key");
    let theirs = sign(&right).unwrap().payload.get().to_owned();
    assert_eq!(theirs, sign(&unlocked).unwrap().payload.get());
    sign(&right).unwrap();
    assert_eq!(times.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert!(matches!(sign(&locked([8; 32])), Err(RailError::Locked(_))));
}
