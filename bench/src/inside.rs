//! Our facilitator as a process: over HTTP as `farthing facilitator` serves it, and at `/inside/…` in process: a whole
//! round's requests come in one body, are worked on as a gateway would, and the times go back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use farthing_ambient::{Entropy, OsEntropy, SystemClock};
use farthing_facilitator::{Facilitate as _, Facilitator, Limits, http};
use farthing_ledger::Ledger;
use farthing_money::Network;
use farthing_protocol::x402::FacilitatorRequest;
use farthing_rail_evm::{ChainConfig, EvmSettler, SettlerConfig};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::figures::say;
use crate::{Failure, process};

/// What it settles on, and with what.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The chain's RPC endpoint
    #[arg(long)]
    rpc: String,
    /// The private key that pays for gas
    #[arg(long)]
    key: String,
    /// The ledger's file; it must not exist yet
    #[arg(long)]
    ledger: PathBuf,
}

/// A round's work.
#[derive(Serialize, Deserialize)]
pub(crate) struct Work {
    /// How many are in flight.
    pub(crate) at_once: usize,
    /// What a facilitator is sent.
    pub(crate) bodies: Vec<String>,
}

/// What a round took.
#[derive(Serialize, Deserialize)]
pub(crate) struct Done {
    /// From the first to the last.
    pub(crate) elapsed_us: u64,
    /// This process's processor time meanwhile.
    pub(crate) cpu_ms: u64,
    /// Each one's time, sorted.
    pub(crate) latencies_us: Vec<u64>,
}

/// Serves until it is killed. One worker, so that a benchmark measures one core.
///
/// # Errors
/// The ledger, the key or the port could not be used.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: &Options) -> Result<(), Failure> {
    let facilitator = facilitator(options)?;
    facilitator.resume().await?;
    let inside = Router::new()
        .route("/inside/verify", post(verify))
        .route("/inside/settle", post(settle))
        .layer(DefaultBodyLimit::disable())
        .with_state(facilitator.clone());
    // Everything comes from one address.
    let config = http::HttpConfig { rate_limit: None, ..http::HttpConfig::default() };
    let router = http::router(facilitator.clone(), config).merge(inside);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (port, pid) = (listener.local_addr()?.port(), std::process::id());
    say(&format!(r#"{{"ready":true,"port":{port},"pid":{pid}}}"#));
    let limits = http::ServeLimits::default();
    http::serve(listener, router, facilitator, limits, std::future::pending()).await;
    Ok(())
}

fn facilitator(options: &Options) -> Result<Arc<Facilitator>, Failure> {
    let clock = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let chain = ChainConfig::new(Network::BASE_SEPOLIA, vec![options.rpc.parse()?]);
    let settler =
        EvmSettler::new(&SettlerConfig::new(vec![chain], options.key.parse()?), clock.clone(), &entropy)?;
    let ledger = Ledger::open(&options.ledger, clock.clone())?;
    Ok(Facilitator::new(vec![Arc::new(settler)], ledger, clock, Limits::default()))
}

type Shared = State<Arc<Facilitator>>;
type Answer = Result<Json<Done>, (StatusCode, String)>;

async fn verify(State(facilitator): Shared, Json(work): Json<Work>) -> Answer {
    timed(work, move |body| verify_one(facilitator.clone(), body)).await
}

async fn settle(State(facilitator): Shared, Json(work): Json<Work>) -> Answer {
    timed(work, move |body| settle_one(facilitator.clone(), body)).await
}

async fn verify_one(facilitator: Arc<Facilitator>, body: String) -> Result<(), Failure> {
    let answer = facilitator.verify(&FacilitatorRequest::read(body.as_bytes())?).await?;
    if answer.is_valid { Ok(()) } else { Err(format!("{answer:?}").into()) }
}

async fn settle_one(facilitator: Arc<Facilitator>, body: String) -> Result<(), Failure> {
    let answer = facilitator.settle(&FacilitatorRequest::read(body.as_bytes())?).await?;
    if answer.success { Ok(()) } else { Err(format!("{answer:?}").into()) }
}

/// Keeps so many in flight until all are done.
async fn timed<F>(work: Work, one: impl Fn(String) -> F) -> Answer
where
    F: Future<Output = Result<(), Failure>> + Send,
{
    let failed = |error: Failure| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let (cpu, began) = (process::own_cpu_time().map_err(failed)?, Instant::now());
    let each = work.bodies.into_iter().map(|body| {
        let answer = one(body);
        async move {
            let began = Instant::now();
            answer.await.map(|()| microseconds(began))
        }
    });
    let done: Result<Vec<u64>, Failure> =
        stream::iter(each).buffer_unordered(work.at_once).try_collect().await;
    let mut latencies_us = done.map_err(failed)?;
    latencies_us.sort_unstable();
    let elapsed_us = microseconds(began);
    let cpu = process::own_cpu_time().map_err(failed)?.saturating_sub(cpu);
    let cpu_ms = cpu.as_millis().try_into().unwrap_or(u64::MAX);
    Ok(Json(Done { elapsed_us, cpu_ms, latencies_us }))
}

fn microseconds(began: Instant) -> u64 {
    began.elapsed().as_micros().try_into().unwrap_or(u64::MAX)
}
