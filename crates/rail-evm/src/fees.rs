//! What a unit of gas costs now.

use alloy_primitives::aliases::U128;
use farthing_rail::RailError;
use serde::Deserialize;
use serde_json::json;

use crate::rpc::{Call, Rpc};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeeHistory {
    base_fee_per_gas: Vec<U128>,
    #[serde(default)]
    reward: Option<Vec<Vec<U128>>>,
}

/// The next block's base fee, and the tip that half of the latest transactions gave, in wei.
pub(crate) async fn fees(rpc: &Rpc) -> Result<(u128, u128), RailError> {
    let method = "eth_feeHistory";
    let history: FeeHistory = rpc.get(Call::new(method, json!(["0x5", "latest", [50]]))).await?;
    let base = history.base_fee_per_gas.last();
    let base = base.ok_or_else(|| rpc.nonsense(method, "no base fee"))?.to::<u128>();
    let mut tips: Vec<u128> = history
        .reward
        .unwrap_or_default()
        .iter()
        .filter_map(|block| block.first())
        .map(|tip| tip.to())
        .collect();
    tips.sort_unstable();
    Ok((base, tips.get(tips.len() / 2).copied().unwrap_or_default()))
}
