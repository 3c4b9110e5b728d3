//! How many payments a settler verifies and settles per second, against a local anvil that shares this machine.
//!
//! `cargo run --release -p farthing-rail-evm --example throughput [seconds]`

#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used, reason = "a program for developers")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use farthing_ambient::{Entropy, OsEntropy, SystemClock, Timestamp};
use farthing_devnet::{Base, accounts};
use farthing_money::{BaseUnits, Network, Registry};
use farthing_protocol::Requirements;
use farthing_rail::{Broadcast, Payer, RailError, Settlement, SettlementLog, Settler, SignedPayment};
use farthing_rail_evm::{ChainConfig, EvmPayer, EvmSettler, SettlerConfig};
use secp256k1::SecretKey;
use serde_json::value::RawValue;

const CONCURRENCY: usize = 16;

/// Counts transactions; nothing durable, so that the rail alone is measured.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

#[async_trait]
impl SettlementLog for Counter {
    async fn record(&self, _: &Broadcast) -> Result<(), RailError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

struct Bench {
    settler: Arc<EvmSettler>,
    payer: Arc<EvmPayer>,
    terms: Requirements,
    log: Arc<Counter>,
}

#[tokio::main(worker_threads = 1)]
async fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    let span = Duration::from_secs(seconds);
    let chain = Base::builder().start().await.expect("anvil starts");
    chain.mint(accounts::BUYER.address, 1_000_000_000_000).await.expect("USDC for the buyer");
    let bench = Arc::new(bench(chain.rpc_url()));

    run("verify", span, &bench, verify_one).await;
    run("verify, forged", span, &bench, verify_forged).await;
    run("settle", span, &bench, settle_one).await;
    println!("{} transactions were sent", bench.log.0.load(Ordering::Relaxed));
    chain.stop().await;
}

fn bench(url: &str) -> Bench {
    let secret =
        |account: farthing_devnet::Account| SecretKey::from_byte_array(account.private_key.0).unwrap();
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let chain = ChainConfig::new(Network::BASE_SEPOLIA, vec![url.parse().unwrap()]);
    let payer = EvmPayer::new(secret(accounts::BUYER), std::slice::from_ref(&chain), &entropy).unwrap();
    let config = SettlerConfig::new(vec![chain], secret(accounts::FACILITATOR));
    Bench {
        settler: Arc::new(EvmSettler::new(&config, Arc::new(SystemClock), &entropy).unwrap()),
        payer: Arc::new(payer),
        terms: Requirements {
            scheme: "exact".into(),
            network: Network::BASE_SEPOLIA,
            amount: BaseUnits::new(1),
            asset: Registry::builtin().usdc(&Network::BASE_SEPOLIA).unwrap().address.clone(),
            pay_to: accounts::PAYEE.address.to_string(),
            max_timeout_seconds: 3600,
            extra: serde_json::from_str(r#"{"name":"USDC","version":"2"}"#).unwrap(),
        },
        log: Arc::default(),
    }
}

impl Bench {
    fn sign(&self) -> SignedPayment {
        let registry = Registry::builtin();
        let usdc = registry.usdc(&Network::BASE_SEPOLIA).unwrap();
        self.payer.sign(&self.terms, usdc, Timestamp::now(), &OsEntropy).unwrap()
    }
}

async fn verify_one(bench: Arc<Bench>, signed: SignedPayment) {
    bench.settler.verify(&bench.terms, &signed.payload).await.expect("it is good");
}

async fn verify_forged(bench: Arc<Bench>, signed: SignedPayment) {
    let forged = signed.payload.get().replace("\"value\":\"1\"", "\"value\":\"2\"");
    let forged = RawValue::from_string(forged).unwrap();
    bench.settler.verify(&bench.terms, &forged).await.expect_err("it is forged");
}

async fn settle_one(bench: Arc<Bench>, signed: SignedPayment) {
    let settled = bench.settler.settle(&bench.terms, &signed.payload, &*bench.log).await;
    assert!(matches!(settled, Ok(Settlement::Confirmed { .. })), "{settled:?}");
}

/// Keeps [`CONCURRENCY`] operations going, each on a payment signed for it, and prints what was reached.
async fn run<F>(name: &str, span: Duration, bench: &Arc<Bench>, one: fn(Arc<Bench>, SignedPayment) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    one(bench.clone(), bench.sign()).await;
    let started = Instant::now();
    let workers: Vec<_> =
        (0..CONCURRENCY).map(|_| tokio::spawn(work(started, span, bench.clone(), one))).collect();
    let mut times = Vec::new();
    for worker in workers {
        times.extend(worker.await.expect("no worker panics"));
    }
    let elapsed_ms = started.elapsed().as_millis();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_micros();
    let rate = times.len() as u128 * 1000 / elapsed_ms.max(1);
    println!("{name}: {rate}/s at {CONCURRENCY} in flight, p50 {} us, p99 {} us", at(50), at(99));
}

async fn work<F>(
    started: Instant,
    span: Duration,
    bench: Arc<Bench>,
    one: fn(Arc<Bench>, SignedPayment) -> F,
) -> Vec<Duration>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut times = Vec::new();
    while started.elapsed() < span {
        let signed = bench.sign();
        let begun = Instant::now();
        one(bench.clone(), signed).await;
        times.push(begun.elapsed());
    }
    times
}
