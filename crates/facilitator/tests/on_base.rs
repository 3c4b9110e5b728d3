//! The whole facilitator on a local Base Sepolia, with the real rail: what the chain says afterwards counts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends there")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::eventually;
use farthing_ambient::{Clock, Entropy, OsEntropy, SystemClock};
use farthing_devnet::accounts::{BUYER, FACILITATOR, PAYEE, PAYEE_2};
use farthing_devnet::{Account, Base};
use farthing_facilitator::http::{HttpConfig, ServeLimits, router, serve};
use farthing_facilitator::{Facilitate, Facilitator, HttpFacilitator, Limits, Payees, RemoteConfig};
use farthing_ledger::{Ledger, SettlementState};
use farthing_money::{BaseUnits, Network, Registry};
use farthing_protocol::x402::{FacilitatorRequest, Reason};
use farthing_protocol::{PaymentKey, Requirements};
use farthing_rail::Payer;
use farthing_rail_evm::{ChainConfig, EvmPayer, EvmSettler, SettlerConfig};
use secp256k1::SecretKey;
use serde_json::Value;

const PRICE: u64 = 10_000;

fn key(account: &Account) -> SecretKey {
    SecretKey::from_byte_array(account.private_key.0).unwrap()
}

fn entropy() -> Arc<dyn Entropy> {
    Arc::new(OsEntropy)
}

fn chain_of(rpc_url: &str) -> ChainConfig {
    let mut chain = ChainConfig::new(Network::BASE_SEPOLIA, vec![rpc_url.parse().unwrap()]);
    chain.block_time = Duration::from_millis(100);
    chain
}

async fn base() -> Base {
    let base = Base::builder().start().await.unwrap();
    base.mint(BUYER.address, 100 * PRICE).await.unwrap();
    base
}

/// A facilitator that waits for receipts for this long.
fn facilitator(rpc_url: &str, ledger: Ledger, receipt_wait: Duration) -> Arc<Facilitator> {
    facilitator_for(rpc_url, ledger, receipt_wait, BTreeMap::new())
}

/// The same for these payees.
fn facilitator_for(
    rpc_url: &str,
    ledger: Ledger,
    receipt_wait: Duration,
    pay_to: BTreeMap<Network, Payees>,
) -> Arc<Facilitator> {
    let mut config = SettlerConfig::new(vec![chain_of(rpc_url)], key(&FACILITATOR));
    config.receipt_wait = receipt_wait;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settler = EvmSettler::new(&config, clock.clone(), &entropy()).unwrap();
    let every = (Duration::from_millis(50), Duration::from_millis(200));
    let limits = Limits { watch_every: every, pay_to, ..Limits::default() };
    Facilitator::new(vec![Arc::new(settler)], ledger, clock, limits)
}

fn in_memory() -> Ledger {
    Ledger::in_memory(Arc::new(SystemClock)).unwrap()
}

const SOON: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(20);

/// A payment that is signed and in which `requirements` may ask for another payee than was signed for.
struct Signed {
    payload: String,
    version: u8,
}

impl Signed {
    fn new(base: &Base, version: u8) -> Self {
        let payer = EvmPayer::new(key(&BUYER), &[chain_of(base.rpc_url())], &entropy()).unwrap();
        let asset = Registry::builtin().usdc(&Network::BASE_SEPOLIA).unwrap().clone();
        let terms = Requirements {
            scheme: "exact".into(),
            network: Network::BASE_SEPOLIA,
            amount: BaseUnits::new(PRICE.into()),
            asset: base.usdc().to_string(),
            pay_to: PAYEE.address.to_string(),
            max_timeout_seconds: 300,
            extra: serde_json::from_str(r#"{"name":"USDC","version":"2"}"#).unwrap(),
        };
        let signed = payer.sign(&terms, &asset, SystemClock.now(), &OsEntropy).unwrap();
        Self { payload: signed.payload.get().to_owned(), version }
    }

    fn body(&self, pay_to: &Account) -> String {
        let (payload, pay_to) = (&self.payload, pay_to.address);
        let usdc = Registry::builtin().usdc(&Network::BASE_SEPOLIA).unwrap().address.clone();
        let rest = format!(
            r#""payTo":"{pay_to}","maxTimeoutSeconds":300,"asset":"{usdc}","extra":{{"name":"USDC","version":"2"}}"#
        );
        if self.version == 1 {
            return format!(
                r#"{{"x402Version":1,"paymentPayload":{{"x402Version":1,"scheme":"exact","network":"base-sepolia",
                "payload":{payload}}},"paymentRequirements":{{"scheme":"exact","network":"base-sepolia",
                "maxAmountRequired":"{PRICE}","resource":"https://a.example/","description":"","mimeType":"",{rest}}}}}"#
            );
        }
        let terms = format!(r#"{{"scheme":"exact","network":"eip155:84532","amount":"{PRICE}",{rest}}}"#);
        format!(
            r#"{{"x402Version":2,"paymentPayload":{{"x402Version":2,"accepted":{terms},"payload":{payload}}},
            "paymentRequirements":{terms}}}"#
        )
    }

    fn request(&self) -> FacilitatorRequest {
        FacilitatorRequest::read(self.body(&PAYEE).as_bytes()).unwrap()
    }

    fn key(&self) -> PaymentKey {
        let request = self.request();
        PaymentKey::of(&request.requirements, request.payment.payload()).unwrap()
    }
}

async fn paid(base: &Base) -> u64 {
    base.balance_of(PAYEE.address).await.unwrap().to()
}

/// How many transactions the facilitator's account has sent.
async fn sent(base: &Base) -> String {
    let count = base.rpc("eth_getTransactionCount", serde_json::json!([FACILITATOR.address, "latest"])).await;
    count.unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn verify_and_settle_over_http_in_both_versions() {
    let base = base().await;
    let facilitator = facilitator(base.rpc_url(), in_memory(), LONG);
    facilitator.resume().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = router(facilitator.clone(), HttpConfig::default());
    let server =
        serve(listener, router, facilitator, ServeLimits::default(), async move { drop(stopped.await) });
    let server = tokio::spawn(server);
    let client = HttpFacilitator::new(RemoteConfig::new(url.parse().unwrap())).unwrap();
    for version in [2, 1] {
        let request = Signed::new(&base, version).request();
        let verified = client.verify(&request).await.unwrap();
        assert!(verified.is_valid, "{verified:?}");
        let settled = client.settle(&request).await.unwrap();
        assert!(settled.success, "{settled:?}");
        let receipt = base.receipt(settled.transaction.parse().unwrap()).await.unwrap().unwrap();
        assert!(receipt.succeeded());
        assert_eq!(client.settle(&request).await.unwrap(), settled, "from the record");
        let again = client.verify(&request).await.unwrap();
        assert_eq!(again.invalid_reason.unwrap(), Reason::EVM_NONCE_ALREADY_USED);
    }
    assert_eq!((paid(&base).await, sent(&base).await.as_str()), (2 * PRICE, "0x2"));
    stop.send(()).unwrap();
    drop(client);
    assert_eq!(server.await.unwrap(), 0);
}

#[tokio::test]
async fn eight_at_once_are_one_transaction() {
    let base = base().await;
    let facilitator = facilitator(base.rpc_url(), in_memory(), LONG);
    let request = Signed::new(&base, 2).request();
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let (facilitator, request) = (facilitator.clone(), request.clone());
            tokio::spawn(async move { facilitator.settle(&request).await.unwrap() })
        })
        .collect();
    for task in asked {
        let answer = task.await.unwrap();
        assert!(answer.success, "{answer:?}");
    }
    assert_eq!((paid(&base).await, sent(&base).await.as_str()), (PRICE, "0x1"));
}

#[tokio::test]
async fn another_payee_while_pending_is_refused() {
    let base = base().await;
    let facilitator = facilitator(base.rpc_url(), in_memory(), SOON);
    base.stop_mining().await.unwrap();
    let payment = Signed::new(&base, 2);
    let pending = facilitator.settle(&payment.request()).await.unwrap();
    assert_eq!(pending.error_reason, Some(Reason::SettlementPending), "{pending:?}");
    let other = FacilitatorRequest::read(payment.body(&PAYEE_2).as_bytes()).unwrap();
    let refused = facilitator.settle(&other).await.unwrap();
    assert_eq!(refused.error_reason, Some(Reason::DUPLICATE_SETTLEMENT), "{refused:?}");
    base.mine().await.unwrap();
    base.start_mining().await.unwrap();
    // What is pending may not have left yet.
    eventually("settled", || async { facilitator.settle(&payment.request()).await.unwrap().success }).await;
    assert_eq!((paid(&base).await, sent(&base).await.as_str()), (PRICE, "0x1"));
    assert_eq!(base.balance_of(PAYEE_2.address).await.unwrap().to::<u64>(), 0);
}

/// Sends a payment in a runtime of its own, which then goes away with every task where it stands.
fn settle_and_die(rpc_url: &str, ledger: &Path, request: &FacilitatorRequest) -> String {
    let dying = tokio::runtime::Runtime::new().unwrap();
    let transaction = dying.block_on(async {
        let ledger = Ledger::open(ledger, Arc::new(SystemClock)).unwrap();
        let facilitator = facilitator(rpc_url, ledger, SOON);
        facilitator.resume().await.unwrap();
        let pending = facilitator.settle(request).await.unwrap();
        assert_eq!(pending.error_reason, Some(Reason::SettlementPending), "{pending:?}");
        pending.transaction
    });
    dying.shutdown_background();
    transaction
}

async fn dies_after_sending(chain_forgets: bool) {
    let base = base().await;
    base.stop_mining().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let payment = Signed::new(&base, 2);
    let (url, file, request) = (base.rpc_url().to_owned(), path.clone(), payment.request());
    let died = tokio::task::spawn_blocking(move || settle_and_die(&url, &file, &request));
    let transaction = died.await.unwrap();
    if chain_forgets {
        base.drop_transaction(transaction.parse().unwrap()).await.unwrap();
    }
    base.start_mining().await.unwrap();
    if !chain_forgets {
        base.mine().await.unwrap();
    }

    let ledger = Ledger::open(&path, Arc::new(SystemClock)).unwrap();
    let next = facilitator(base.rpc_url(), ledger.clone(), LONG);
    next.resume().await.unwrap();
    let settled = || async {
        let record = ledger.settlement(&payment.key()).await.unwrap().unwrap();
        matches!(record.state, SettlementState::Confirmed { .. })
    };
    eventually("nobody asked, and it is confirmed all the same", settled).await;
    assert!(next.settle(&payment.request()).await.unwrap().success);
    assert_eq!((paid(&base).await, sent(&base).await.as_str()), (PRICE, "0x1"));
}

#[tokio::test]
async fn a_process_that_died_after_sending_is_taken_up() {
    dies_after_sending(false).await;
}

#[tokio::test]
async fn a_process_that_died_is_taken_up_though_the_chain_forgot() {
    dies_after_sending(true).await;
}

#[tokio::test]
async fn without_gas_nothing_is_sent_and_with_gas_it_settles() {
    let base = base().await;
    let had = base.eth_balance_of(FACILITATOR.address).await.unwrap();
    base.set_eth_balance(FACILITATOR.address, Default::default()).await.unwrap();
    let (ledger, signed) = (in_memory(), Signed::new(&base, 2));
    let poor = facilitator(base.rpc_url(), ledger.clone(), LONG);
    let error = poor.settle(&signed.request()).await.unwrap_err().to_string();
    assert!(error.contains("fund it"), "{error}");
    assert!(ledger.open_broadcasts().await.unwrap().is_empty(), "nothing was recorded as sent");
    assert_eq!(paid(&base).await, 0);
    base.set_eth_balance(FACILITATOR.address, had).await.unwrap();
    assert!(poor.settle(&signed.request()).await.unwrap().success, "without a restart");
    assert_eq!(paid(&base).await, PRICE);
}

/// A request with its JSON changed; in `terms` what is both asked for and accepted.
fn edited(signed: &Signed, edit: impl Fn(&mut Value), terms: impl Fn(&mut Value)) -> FacilitatorRequest {
    let mut body: Value = serde_json::from_str(&signed.body(&PAYEE)).unwrap();
    edit(&mut body["paymentPayload"]["payload"]);
    terms(&mut body["paymentPayload"]["accepted"]);
    terms(&mut body["paymentRequirements"]);
    FacilitatorRequest::read(body.to_string().as_bytes()).unwrap()
}

/// ERC-6492: a call of a factory, in front of a signature.
fn wrapped(signature: &str) -> Value {
    let word = |n: u32| format!("{n:064x}");
    let factory = format!("{:0>64}", "11".repeat(20));
    let head = [factory, word(0x60), word(0xa0), word(4), format!("{:0<64}", "deadbeef"), word(65)].concat();
    format!("0x{head}{:0<192}{}", &signature[2..], "6492".repeat(16)).into()
}

/// Known attacks, "gas griefing (ERC-6492 factories, ERC-7710 managers, open facilitator)", and "fake token, decimals or
/// domain": who asks to settle without verifying costs the facilitator no gas and no row.
#[tokio::test]
async fn what_cannot_settle_costs_nothing() {
    let base = base().await;
    let ledger = in_memory();
    let ours = BTreeMap::from([(Network::BASE_SEPOLIA, Payees::new(vec![PAYEE.address.to_string()]))]);
    let facilitator = facilitator_for(base.rpc_url(), ledger.clone(), LONG, ours);
    facilitator.resume().await.unwrap();
    let signed = Signed::new(&base, 2);
    let same = |_: &mut Value| {};
    let fake = "0x1111111111111111111111111111111111111111";
    let manager =
        serde_json::json!({"delegationManager": fake, "permissionContext": "0x00", "delegator": fake});
    let listed = [
        edited(&signed, |p| p["signature"] = wrapped(p["signature"].as_str().unwrap()), same),
        edited(&signed, |p| *p = manager.clone(), |t| t["extra"]["assetTransferMethod"] = "erc7710".into()),
        edited(&signed, same, |t| t["extra"]["assetTransferMethod"] = "erc7710".into()),
        edited(&signed, |p| p["authorization"]["from"] = fake.into(), same),
        edited(&signed, |p| p["authorization"]["nonce"] = format!("0x{}", "22".repeat(32)).into(), same),
        edited(&signed, |p| p["signature"] = "0x00".into(), same),
        edited(&signed, same, |t| t["asset"] = fake.into()),
        edited(&signed, same, |t| t["extra"]["name"] = "USD Coin".into()),
        edited(&signed, same, |t| t["extra"]["version"] = "1".into()),
        edited(&signed, same, |t| t["payTo"] = PAYEE_2.address.to_string().into()),
        edited(&signed, same, |t| t["amount"] = "1".into()),
    ];
    for (n, request) in listed.iter().enumerate() {
        let answer = facilitator.settle(request).await.unwrap();
        assert!(!answer.success && answer.transaction.is_empty(), "{n}: {answer:?}");
        assert!(!facilitator.verify(request).await.unwrap().is_valid, "{n}");
    }
    assert_eq!((sent(&base).await.as_str(), paid(&base).await), ("0x0", 0));
    assert!(ledger.pending_settlements().await.unwrap().is_empty());
    assert!(facilitator.settle(&signed.request()).await.unwrap().success, "the payment itself is still good");
}

/// Known attacks, "lock keyed on spoofable fields": however a payment is written, one transaction settles it.
#[tokio::test]
async fn every_spelling_is_settled_in_one_transaction() {
    let base = base().await;
    let facilitator = facilitator(base.rpc_url(), in_memory(), LONG);
    facilitator.resume().await.unwrap();
    let signed = Signed::new(&base, 2);
    let same = |_: &mut Value| {};
    let upper = |text: &Value| Value::from(format!("0x{}", text.as_str().unwrap()[2..].to_uppercase()));
    let v_of_0_or_1 = |text: &Value| {
        let text = text.as_str().unwrap();
        Value::from(format!("{}0{}", &text[..130], if text.ends_with("1b") { 0 } else { 1 }))
    };
    let spellings = [
        signed.request(),
        edited(&signed, |p| p["authorization"]["nonce"] = upper(&p["authorization"]["nonce"]), same),
        edited(&signed, |p| p["authorization"]["from"] = upper(&p["authorization"]["from"]), same),
        edited(&signed, |p| p["signature"] = v_of_0_or_1(&p["signature"]), same),
        edited(&signed, |p| p["authorization"]["value"] = format!("0{PRICE}").into(), same),
        edited(&signed, same, |t| t["payTo"] = PAYEE.address.to_string().to_lowercase().into()),
        FacilitatorRequest::read(Signed { version: 1, ..signed }.body(&PAYEE).as_bytes()).unwrap(),
    ];
    let answers =
        futures::future::join_all(spellings.iter().map(|request| facilitator.settle(request))).await;
    for answer in answers.iter().flatten().filter(|answer| !answer.success) {
        assert_eq!(answer.error_reason.as_ref().unwrap().as_str(), "duplicate_settlement");
    }
    assert!(answers.iter().flatten().any(|answer| answer.success), "{answers:?}");
    assert_eq!((sent(&base).await.as_str(), paid(&base).await), ("0x1", PRICE));
}
