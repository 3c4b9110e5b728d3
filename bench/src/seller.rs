//! Our seller: the gateway's layer in a plain axum server, with its ledger on the disk.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use farthing_ambient::SystemClock;
use farthing_facilitator::{HttpFacilitator, RemoteConfig};
use farthing_gateway::{Config, PaymentLayer, Pricing};
use farthing_ledger::Ledger;
use tokio::net::TcpListener;

use crate::Failure;
use crate::figures::say;

/// What the peer's program takes, and a ledger.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The facilitator's base URL
    #[arg(long)]
    facilitator: String,
    /// Who is paid
    #[arg(long)]
    pay_to: String,
    /// The ledger's file; it must not exist yet
    #[arg(long)]
    ledger: PathBuf,
}

/// Serves until it is killed. One worker, so that a benchmark measures one core.
///
/// # Errors
/// The ledger, the facilitator's address or the port could not be used.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: &Options) -> Result<(), Failure> {
    let clock = Arc::new(SystemClock);
    let ledger = Ledger::open(&options.ledger, clock.clone())?;
    let facilitator = Arc::new(HttpFacilitator::new(RemoteConfig::new(options.facilitator.parse()?))?);
    let layer = PaymentLayer::new(pricing(&options.pay_to)?, facilitator, ledger, clock);
    layer.recover().await?;
    let app =
        Router::new().route("/free", get(async || "ok")).route("/paid", get(async || "ok")).layer(layer);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (port, pid) = (listener.local_addr()?.port(), std::process::id());
    say(&format!(r#"{{"ready":true,"port":{port},"pid":{pid}}}"#));
    Ok(axum::serve(listener, app).await?)
}

fn pricing(pay_to: &str) -> Result<Pricing, Failure> {
    let yaml = format!(
        "public_url: http://localhost\n\
         pay_to: \"{pay_to}\"\n\
         accepts: [base-sepolia]\n\
         routes:\n\
         - {{match: \"GET /paid\", price: \"$0.0025\"}}\n\
         - {{match: \"GET /free\", free: true}}\n"
    );
    Ok(Pricing::new(&Config::parse("gateway.yaml", &yaml)?)?)
}
