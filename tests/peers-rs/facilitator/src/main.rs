//! x402-rs's facilitator as a program, for benchmarks: its own provider, schemes and HTTP handlers, put together as its
//! README says, without telemetry. It prints `{"ready":true,"port":N,"pid":N}`; SIGTERM or Ctrl-C ends it.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::Arc;

use clap::Parser;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use x402_chain_eip155::chain::config::Eip155ChainConfig;
use x402_chain_eip155::chain::{Eip155ChainProvider, Eip155ChainReference};
use x402_chain_eip155::{V1Eip155Exact, V2Eip155Exact};
use x402_facilitator_local::{FacilitatorLocal, handlers};
use x402_types::chain::{ChainId, ChainProviderOps, ChainRegistry, FromConfig as _};
use x402_types::scheme::{
    SchemeBlueprints, SchemeConfig, SchemeRegistry, X402SchemeFacilitator, X402SchemeFacilitatorBuilder,
};

type Failure = Box<dyn std::error::Error>;

/// A facilitator on x402-facilitator-local 2.0.2, for Base Sepolia
#[derive(Parser)]
struct Arguments {
    /// The chain's RPC endpoint
    #[arg(long)]
    rpc: String,
    /// The private key that pays for gas, in hexadecimal
    #[arg(long, env = "SIGNER_KEY", hide_env_values = true)]
    key: String,
    /// Where to listen on 127.0.0.1; 0 takes a free port
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// One worker, so that a benchmark measures one core.
#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let facilitator = FacilitatorLocal::new(schemes(&arguments).await?);
    let app = handlers::routes().with_state(Arc::new(facilitator));
    let listener = TcpListener::bind(("127.0.0.1", arguments.port)).await?;
    let port = listener.local_addr()?.port();
    println!(r#"{{"ready":true,"port":{port},"pid":{}}}"#, std::process::id());
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    Ok(axum::serve(listener, app).with_graceful_shutdown(stop).await?)
}

async fn schemes(arguments: &Arguments) -> Result<SchemeRegistry, Failure> {
    // All that has a default is left at it.
    let inner = json!({ "signers": [arguments.key], "rpc": [{ "http": arguments.rpc }] });
    let config = Eip155ChainConfig {
        chain_reference: Eip155ChainReference::new(84_532),
        inner: serde_json::from_value(inner)?,
    };
    let chain = Chain(Arc::new(Eip155ChainProvider::from_config(&config).await?));
    let chains = ChainRegistry::new(HashMap::from([(chain.chain_id(), chain)]));
    let mut blueprints = SchemeBlueprints::new();
    blueprints.register(V1Eip155Exact);
    blueprints.register(V2Eip155Exact);
    let wanted = json!([
        { "id": "v1-eip155-exact", "chains": "eip155:*" },
        { "id": "v2-eip155-exact", "chains": "eip155:*" },
    ]);
    let wanted: Vec<SchemeConfig> = serde_json::from_value(wanted)?;
    Ok(SchemeRegistry::build(chains, blueprints, &wanted))
}

/// Their registry builds schemes from a reference to a provider of the program's own type.
struct Chain(Arc<Eip155ChainProvider>);

impl ChainProviderOps for Chain {
    fn signer_addresses(&self) -> Vec<String> {
        self.0.signer_addresses()
    }

    fn chain_id(&self) -> ChainId {
        self.0.chain_id()
    }
}

impl X402SchemeFacilitatorBuilder<&Chain> for V1Eip155Exact {
    fn build(
        &self,
        chain: &Chain,
        config: Option<serde_json::Value>,
    ) -> Result<Box<dyn X402SchemeFacilitator>, Failure> {
        self.build(chain.0.clone(), config)
    }
}

impl X402SchemeFacilitatorBuilder<&Chain> for V2Eip155Exact {
    fn build(
        &self,
        chain: &Chain,
        config: Option<serde_json::Value>,
    ) -> Result<Box<dyn X402SchemeFacilitator>, Failure> {
        self.build(chain.0.clone(), config)
    }
}
