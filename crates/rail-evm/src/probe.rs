//! How a network's endpoints are doing, and whether an account can pay for gas: for people who look after a wallet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, U64, U256};
use farthing_ambient::{Entropy, Timestamp};
use farthing_rail::RailError;
use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;

use crate::ChainConfig;
use crate::fees::fees;
use crate::rpc::{Call, Rpc};

/// More gas than a transfer of a token by authorization takes, with room for what a rollup charges for data.
const TRANSFER_GAS: u128 = 150_000;

/// One endpoint, asked for its latest block.
#[derive(Debug)]
pub struct EndpointReport {
    /// Its host, and its port where there is one; the rest of the address may be a key.
    pub host: String,
    /// How long the answer took.
    pub took: Duration,
    /// The block; the reason why there is none: silence, another chain.
    pub latest: Result<LatestBlock, RailError>,
}

/// A chain's latest block, as one endpoint has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatestBlock {
    /// Its number.
    pub number: u64,
    /// Its own time.
    pub at: Timestamp,
}

/// What an account holds for gas, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GasMoney {
    /// What it holds.
    pub held: u128,
    /// The most that a transfer of a token costs now.
    pub transfer: u128,
}

impl GasMoney {
    /// Whether a transfer can be paid for.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.held >= self.transfer
    }
}

/// Asks every endpoint of the network by itself, all at once. An endpoint of another chain is found out.
///
/// # Errors
/// [`RailError::Configuration`]
pub async fn probe(
    config: &ChainConfig,
    entropy: &Arc<dyn Entropy>,
) -> Result<Vec<EndpointReport>, RailError> {
    let asked = config.endpoints.iter().map(|endpoint| {
        let alone = ChainConfig { endpoints: vec![endpoint.clone()], ..config.clone() };
        let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = format!("{}{port}", endpoint.host_str().unwrap_or("?"));
        Ok((host, Rpc::new(&alone, entropy.clone())?))
    });
    let asked = asked.collect::<Result<Vec<_>, RailError>>()?;
    Ok(join_all(asked.into_iter().map(|(host, rpc)| report(host, rpc))).await)
}

async fn report(host: String, rpc: Rpc) -> EndpointReport {
    let began = Instant::now();
    let latest = latest_block(&rpc).await;
    EndpointReport { host, took: began.elapsed(), latest }
}

async fn latest_block(rpc: &Rpc) -> Result<LatestBlock, RailError> {
    #[derive(Deserialize)]
    struct Block {
        number: U64,
        timestamp: U64,
    }
    let method = "eth_getBlockByNumber";
    let block: Block = rpc.get(Call::new(method, json!(["latest", false]))).await?;
    let second = i64::try_from(block.timestamp.to::<u64>()).ok();
    let at = second.and_then(|second| Timestamp::from_second(second).ok());
    let at = at.ok_or_else(|| rpc.nonsense(method, "its time is none"))?;
    Ok(LatestBlock { number: block.number.to(), at })
}

/// What `address` holds for gas on this network, and what a transfer costs there.
///
/// # Errors
/// [`RailError::Configuration`] for an address that is none; [`RailError::Unavailable`].
pub async fn gas_money(
    config: &ChainConfig,
    address: &str,
    entropy: &Arc<dyn Entropy>,
) -> Result<GasMoney, RailError> {
    let bad = || RailError::Configuration(format!("`{}` is no EVM address", address.escape_debug()));
    let address: Address = address.parse().map_err(|_| bad())?;
    let rpc = Rpc::new(config, entropy.clone())?;
    let held: U256 = rpc.get(Call::new("eth_getBalance", json!([address, "latest"]))).await?;
    let (base, tip) = fees(&rpc).await?;
    let price = base.saturating_mul(2).saturating_add(tip);
    Ok(GasMoney {
        held: u128::try_from(held).unwrap_or(u128::MAX),
        transfer: price.saturating_mul(TRANSFER_GAS),
    })
}
